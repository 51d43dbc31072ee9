"""Several GPUs in one process: `./dev gpu-test devices`. Where there is one GPU, it says so and checks nothing.

A net whose weights stream runs on each device, on the stream that is current there, whatever device is current; on all of them
at once from threads; and leaves nothing behind on any. Its results are those of the first device, to the bit.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import headrace as hr
from faults import ALL, Layers, compiled, fails, rows_of, same

CALLS = 20
BUDGETS = (ALL, 64 << 20, 0)


def name_of(index: int) -> str:
    return f"cuda:{index}"


def run_on(engine: hr._core.Engine, x: torch.Tensor, want: torch.Tensor) -> None:
    """On a stream of its own, under every budget, with the input made on that stream just before."""
    stream = torch.cuda.Stream(x.device)
    for budget in BUDGETS:
        engine.set_weight_budget(min(budget, engine.streamable))
        for _ in range(CALLS):
            with torch.cuda.stream(stream):
                fresh = x * 1
                (got,) = engine.run((fresh,))
                assert got.device == x.device, f"the result lies on {got.device}"
                twice = got + got
            stream.synchronize()
            same(twice / 2, want)


def every_index_runs(path: Path, x: torch.Tensor, want: torch.Tensor) -> None:
    for index in range(torch.cuda.device_count()):
        before = torch.cuda.current_device()
        engine = hr._core.Engine(path, device=name_of(index), weight_budget=0)
        assert engine.device == name_of(index), engine.device
        run_on(engine, x.to(name_of(index)), want)
        assert torch.cuda.current_device() == before, "the current device has changed"


def all_run_at_once(path: Path, x: torch.Tensor, want: torch.Tensor) -> None:
    engines = [hr._core.Engine(path, device=name_of(i), weight_budget=0) for i in range(torch.cuda.device_count())]
    inputs = [x.to(name_of(i)) for i in range(len(engines))]
    with ThreadPoolExecutor(len(engines)) as pool:
        for done in [pool.submit(run_on, engine, own, want) for engine, own in zip(engines, inputs)]:
            done.result()


def a_tensor_of_another_device_is_refused(path: Path, x: torch.Tensor, want: torch.Tensor) -> None:
    engine = hr._core.Engine(path, device=name_of(1), weight_budget=0)
    fails(ValueError, "is on cuda:0, but the engine runs on cuda:1; pass .to('cuda:1') of it", call=lambda: engine.run((x,)))
    same(engine.run((x.to(name_of(1)),))[0], want)


def a_device_that_is_not_there_is_refused(path: Path, x: torch.Tensor, want: torch.Tensor) -> None:
    missing = name_of(torch.cuda.device_count())
    fails(RuntimeError, missing.removeprefix("cuda:"), call=lambda: hr._core.Engine(path, device=missing))


def nothing_stays(path: Path, x: torch.Tensor, want: torch.Tensor) -> None:
    def used() -> list[int]:
        gc.collect()
        torch.cuda.empty_cache()
        return [total - free for free, total in map(torch.cuda.mem_get_info, range(torch.cuda.device_count()))]

    in_use = []
    for _ in range(4):
        all_run_at_once(path, x, want)
        in_use.append(used())
    assert all(b <= a for a, b in zip(in_use[1], in_use[-1])), f"in use after each round: {in_use}"


def main() -> int:
    if torch.cuda.device_count() < 2:
        print("one GPU: nothing to check here")
        return 0
    torch.set_grad_enabled(False)
    for index in range(torch.cuda.device_count()):
        torch.ones(1, device=name_of(index)).sum().item()  # what PyTorch keeps for itself is there from now on
    with tempfile.TemporaryDirectory() as folder:
        path, x = compiled(Path(folder), Layers(), 4096), rows_of(8, 4096)
        want = hr._core.Engine(path, weight_budget=0).run((x,))[0].clone()
        for case in (every_index_runs, all_run_at_once, a_tensor_of_another_device_is_refused,
                     a_device_that_is_not_there_is_refused, nothing_stays):
            case(path, x, want)
            print(case.__name__.replace("_", " "), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
