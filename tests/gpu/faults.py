"""Faults on real hardware, each in a process of its own that must end in time: `./dev gpu-test faults`.

Every one must be a typed error that says what happened, and must leave what was there before in working order.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import headrace as hr

MIB = 1 << 20
ALL = 2**63 - 1
SECONDS = 120
AT_ONCE = 4
CASES: dict[str, Callable[[Path], None]] = {}
ALONE: set[str] = set()  # those that take all of the device's memory


def case(function: Callable[[Path], None]) -> Callable[[Path], None]:
    CASES[function.__name__] = function
    return function


def case_alone(function: Callable[[Path], None]) -> Callable[[Path], None]:
    ALONE.add(function.__name__)
    return case(function)


class Layers(torch.nn.Module):
    """256 MiB of weights, each layer's streamable."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(4096, 4096, bias=False) for _ in range(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


class Wide(torch.nn.Module):
    """Little weights, little in and out, and 16 KiB of activations for each row between."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = torch.nn.Linear(64, 8192), torch.nn.Linear(8192, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(torch.nn.functional.gelu(self.widen(x)))


def compiled(folder: Path, model: torch.nn.Module, columns: int, device: str = "cuda", most: int = 1 << 17) -> Path:
    archive, engine = folder / "model.pt2", folder / "model.engine"
    rows = torch.export.Dim("rows", min=2, max=most)
    hr.export(model.half().eval(), (torch.randn(8, columns).half(),), path=archive, dynamic_shapes=({0: rows},))
    hr._core.compile_archive(archive, engine, device=device)
    return engine


def rows_of(count: int, columns: int) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.randn(count, columns).half().cuda()


def fill(leave: int) -> torch.Tensor:
    """Takes all memory of the device but so much."""
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    return torch.empty(torch.cuda.mem_get_info()[0] - leave, dtype=torch.uint8, device="cuda")


def fails(kind: type[BaseException], *texts: str, call: Callable[[], object]) -> str:
    """Checks that the call raises exactly that class, with all of the texts in the message."""
    start = time.monotonic()
    try:
        call()
    except BaseException as error:
        message = str(error)
        if type(error) is not kind or any(text not in message for text in texts):
            raise AssertionError(f"expected {kind.__name__} with {texts}, got {type(error).__name__}: {message}") from error
        print(f"    {kind.__name__} after {time.monotonic() - start:.1f} s: {message.splitlines()[0][:180]}")
        return message
    raise AssertionError(f"expected {kind.__name__} with {texts}, nothing was raised")


def same(got: torch.Tensor, want: torch.Tensor) -> None:
    assert torch.equal(got.cpu(), want.cpu()), "the result changed"  # on the host: the device may be full


@case_alone
def memory_runs_out_at_load(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), rows_of(8, 4096)
    small = hr._core.Engine(path, weight_budget=0)
    small.run((x,))
    want = small.run((x,))[0].clone()
    rest = fill(224 * MIB)
    fails(MemoryError, "cannot allocate", "resident weights", "free", call=lambda: hr._core.Engine(path, weight_budget=ALL))
    same(small.run((x,))[0], want)
    automatic = hr._core.Engine(path)  # takes what there is
    assert automatic.weight_budget < automatic.streamable, "an automatic budget is more than the memory that was free"
    same(automatic.run((x,))[0], want)
    del rest, automatic
    torch.cuda.empty_cache()
    same(hr._core.Engine(path, weight_budget=ALL).run((x,))[0], want)


@case_alone
def memory_runs_out_as_the_arena_grows(folder: Path) -> None:
    path = compiled(folder, Wide(), 64)
    few, many = rows_of(8, 64), rows_of(1 << 16, 64)
    engine = hr._core.Engine(path, weight_budget=ALL)
    want = engine.run((few,))[0].clone()
    torch.empty(1 << 16, 16, dtype=torch.float16, device="cuda")  # so that PyTorch has memory for the output
    rest = fill(256 * MIB)
    fails(MemoryError, "cannot allocate", "the arena", "free", call=lambda: engine.run((many,)))
    for _ in range(3):
        same(engine.run((few,))[0], want)
    del rest
    torch.cuda.empty_cache()
    assert engine.run((many,))[0].isfinite().all()
    same(engine.run((few,))[0], want)


@case_alone
def memory_runs_out_as_the_budget_changes(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), rows_of(8, 4096)
    engine = hr._core.Engine(path, weight_budget=0)
    total = engine.streamable
    engine.set_weight_budget(total // 4)
    want = engine.run((x,))[0].clone()
    engine.run((x,))
    before = engine.weight_budget
    rest = fill(24 * MIB)
    fails(MemoryError, "cannot allocate", "weight '", call=lambda: engine.set_weight_budget(total))
    assert engine.weight_budget == before, f"the budget is {engine.weight_budget} now, and was {before}"
    assert engine.memory().resident <= before
    for _ in range(3):
        same(engine.run((x,))[0], want)
    engine.set_weight_budget(0)
    same(engine.run((x,))[0], want)
    del rest
    torch.cuda.empty_cache()
    engine.set_weight_budget(total)
    same(engine.run((x,))[0], want)
    assert engine.memory().host_pinned == 0, "the file stays pinned though all is resident"


@case
def runs_of_a_pool_are_on_several_streams(folder: Path) -> None:
    pool = hr.runtime.Pool()
    inputs = [rows_of(8, 4096), rows_of(1 << 12, 64)]
    engines, wants, arenas, streams = [], [], [], [torch.cuda.Stream(), torch.cuda.Stream()]
    for name, model, x in zip("ab", (Layers(), Wide()), inputs, strict=True):
        (folder / name).mkdir()
        path = compiled(folder / name, model, x.shape[1])
        alone = hr._core.Engine(path, weight_budget=0)
        wants.append(alone.run((x,))[0].clone())
        torch.cuda.synchronize()
        arenas.append(alone.memory().arena)
        engines.append(hr._core.Engine(path, weight_budget=0, pool=pool))
    del alone
    torch.cuda.synchronize()
    for count in (1, 4, 16):  # calls that are under way at the same time; none may touch another's arena or scratch
        results = []
        for i in [0, 1] * count:
            with torch.cuda.stream(streams[i]):
                results.append((i, engines[i].run((inputs[i],))[0]))
        torch.cuda.synchronize()
        for i, result in results:
            same(result, wants[i])
    assert pool.arena == max(arenas), f"the pool's arena has {pool.arena} bytes, engines of their own {arenas}"
    engines.clear()
    gc.collect()
    assert pool.arena == pool.scratch == 0, f"{pool.arena} and {pool.scratch} bytes stay in a pool without engines"


FAULTY = b""".version 7.0
.target sm_80
.address_size 64
.visible .entry faulty() {
  .reg .b64 %rd<2>;
  .reg .b32 %r<2>;
  mov.u64 %rd1, 64;
  mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}
\0"""


def launch_faulty_kernel() -> None:
    """Writes where no memory is, in the context that PyTorch and engines use. Waits for nothing."""
    driver = ctypes.CDLL("libcuda.so.1")

    def call(name: str, *arguments) -> None:
        error = getattr(driver, name)(*arguments)
        assert error == 0, f"{name} gives error {error}"

    torch.zeros(1, device="cuda")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    call("cuModuleLoadData", ctypes.byref(module), FAULTY)
    call("cuModuleGetFunction", ctypes.byref(function), module, b"faulty")
    call("cuLaunchKernel", function, *[ctypes.c_uint(1)] * 6, ctypes.c_uint(0), None, None, None)


@case
def a_kernel_of_somebody_faults(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), torch.randn(8, 4096).half()
    resident, streamed = hr._core.Engine(path, weight_budget=ALL), hr._core.Engine(path, weight_budget=0)
    for engine in (resident, streamed):
        engine.run((x,))
        engine.run((x,))
    launch_faulty_kernel()
    for engine in (streamed, resident, streamed):
        fails(RuntimeError, "CUDA_ERROR_", call=lambda: engine.run((x,)))
    fails(RuntimeError, "CUDA_ERROR_", call=lambda: streamed.set_weight_budget(ALL))
    fails(RuntimeError, "CUDA_ERROR_", call=lambda: hr._core.Engine(path, weight_budget=0))
    del resident, streamed
    gc.collect()
    print("    engines were closed on the failed device")
    sys.stdout.flush()
    os._exit(0)  # PyTorch's own end may complain of the fault


@case
def a_fault_of_one_process_leaves_others_alone(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), rows_of(8, 4096)
    engine = hr._core.Engine(path, weight_budget=0)
    want = engine.run((x,))[0].clone()
    script = (f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport faults, torch\n"
              "faults.launch_faulty_kernel()\ntry:\n  torch.cuda.synchronize()\nexcept RuntimeError:\n  import os; os._exit(3)\n")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 3, f"the faulty kernel did not fault: {ended.returncode}\n{ended.stderr[-2000:]}"
    for _ in range(3):
        same(engine.run((x,))[0], want)


@case
def an_engine_is_for_another_gpu(folder: Path) -> None:
    major, minor = torch.cuda.get_device_capability()
    other = "sm_80" if (major, minor) != (8, 0) else "sm_90"
    path = compiled(folder, Wide(), 64, device=f"cuda:{other}")
    fails(RuntimeError, f"compile the model for cuda:sm_{major}{minor}", call=lambda: hr._core.Engine(path))


@case
def there_is_no_such_device(folder: Path) -> None:
    path = compiled(folder, Wide(), 64)
    count = torch.cuda.device_count()
    fails(RuntimeError, f"there is no CUDA device {count}: the driver shows {count}",
          call=lambda: hr._core.Engine(path, device=f"cuda:{count}"))


@case
def the_file_changes_under_the_map(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), rows_of(8, 4096)
    content = path.read_bytes()

    def opened(name: str, **options) -> tuple[Path, hr._core.Engine, torch.Tensor]:
        copy = folder / name
        copy.write_bytes(content)
        time.sleep(0.05)  # times of files are coarse
        engine = hr._core.Engine(copy, weight_budget=0, **options)
        engine.run((x,))
        return copy, engine, engine.run((x,))[0].clone()

    for name, options in (("pinned", {}), ("ring", {"host_limit": 8 * MIB})):
        copy, engine, want = opened(f"{name}_cut.engine", **options)
        os.truncate(copy, len(content) // 2)
        fails(RuntimeError, "changed while it was open", "open it again", call=lambda: engine.run((x,)))
        fails(RuntimeError, "changed while it was open", call=lambda: engine.set_weight_budget(ALL))
        copy, engine, want = opened(f"{name}_written.engine", **options)
        with open(copy, "r+b") as file:
            file.seek(len(content) - 4096)
            file.write(b"\0" * 64)
        fails(RuntimeError, "was written to while it was open", call=lambda: engine.run((x,)))
        copy, engine, want = opened(f"{name}_replaced.engine", **options)
        other = folder / "other.engine"
        other.write_bytes(b"something else")
        other.rename(copy)
        same(engine.run((x,))[0], want)  # the old file lives on as long as it is open
        copy, engine, want = opened(f"{name}_removed.engine", **options)
        copy.unlink()
        same(engine.run((x,))[0], want)
    copy, engine, want = opened("resident.engine")
    engine.set_weight_budget(ALL)
    engine.run((x,))
    os.truncate(copy, 4096)
    same(engine.run((x,))[0], want)  # nothing is read of it any more
    fails(RuntimeError, call=lambda: engine.set_weight_budget(0))
    same(engine.run((x,))[0], want)


@case
def little_host_memory_may_be_pinned(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), rows_of(8, 4096)
    free = hr._core.Engine(path, weight_budget=0)
    want = free.run((x,))[0].clone()
    print(f"    without a limit {free.memory().host_pinned / MIB:.0f} MiB are pinned")
    for limit in (8 * MIB, MIB):
        engine = hr._core.Engine(path, weight_budget=0, host_limit=limit)
        for _ in range(3):
            same(engine.run((x,))[0], want)
        pinned = engine.memory().host_pinned
        assert 0 < pinned <= limit, f"{pinned} bytes are pinned, {limit} are allowed"
    fails(MemoryError, "host memory", "are allowed", call=lambda: hr._core.Engine(path, weight_budget=0, host_limit=4096))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))  # root may lock more all the same
    engine = hr._core.Engine(path, weight_budget=0)
    same(engine.run((x,))[0], want)
    print(f"    with RLIMIT_MEMLOCK at 64 KiB {engine.memory().host_pinned / MIB:.0f} MiB are pinned")


@case
def the_memory_limit_is_too_small(folder: Path) -> None:
    path, x = compiled(folder, Layers(), 4096), rows_of(8, 4096)
    fails(MemoryError, "does not fit a memory limit of", "it needs at least", call=lambda: hr._core.Engine(path, memory_limit=MIB))
    engine = hr._core.Engine(path, weight_budget=0)
    want = engine.run((x,))[0].clone()
    fails(MemoryError, "does not fit a memory limit of", call=lambda: engine.set_memory_limit(MIB))
    same(engine.run((x,))[0], want)


def outcome(name: str) -> tuple[str, str]:
    """Runs a case in a process of its own: nothing, or why it failed; and what it printed."""
    command = [sys.executable, __file__, "--case", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return f"no end within {SECONDS} s", process.communicate()[0]
    return f"ended with {process.returncode}" if process.returncode else "", text


def main() -> int:
    torch.set_grad_enabled(False)
    if sys.argv[1:2] == ["--case"]:
        with tempfile.TemporaryDirectory() as folder:
            CASES[sys.argv[2]](Path(folder))
        return 0
    names = sys.argv[1:] or list(CASES)
    failed = []

    def tell(name: str, result: tuple[str, str]) -> None:
        why, text = result
        lines = text.splitlines() if why else [line for line in text.splitlines() if line.startswith("    ")]
        print("\n".join([name.replace("_", " ") + (f": FAILED, {why}" if why else ""), *lines]), flush=True)
        if why:
            failed.append(name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        beside = [name for name in names if name not in ALONE]
        for name, result in zip(beside, pool.map(outcome, beside)):
            tell(name, result)
    for name in names:
        if name in ALONE:
            tell(name, outcome(name))
    print(f"{len(names)} faults, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
