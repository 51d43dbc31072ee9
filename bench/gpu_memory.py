"""What an engine takes on a GPU and on the host, as the driver and the system tell it, under memory limits.

    ./dev gpu-bench memory [--layers 8] [--limits 1.0,0.6,0.3] [--json FILE]

Llama 2 7B's shape with so many layers, fp16. Run it alone on the device. Each limit has a process of its own, so that what
libraries load on their first use falls into it. The driver's figure is NVML's, sampled every millisecond by another process,
over what was in use once CUDA had started; it must never pass the limit, and must be what we count within 2 %.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import torch

import headrace as hr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from device_memory import Sampler  # noqa: E402
from weight_streaming import export, make_model  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
LENGTHS = (192, 17, 64, 256)


def make_engine(folder: Path, layers: int) -> Path:
    archive, engine = folder / "llama.pt2", folder / "llama.engine"
    torch.export.save(export(make_model(layers), max(LENGTHS)), archive)
    hr._core.compile_archive(archive, engine, device="cuda")
    archive.unlink()
    return engine


def gpu_id() -> str:
    """As NVML knows it; the context is made by this."""
    torch.zeros(1, device="cuda")
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"


def inputs_of(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(length)
    return torch.randint(0, 32000, (1, length)).cuda(), torch.arange(length).unsqueeze(0).cuda()


def anonymous_bytes() -> int:
    """Of this process, without what is mapped from files."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) << 10
    raise RuntimeError("/proc/self/smaps_rollup has no line 'Anonymous'")


class HostSampler(threading.Thread):
    """The most anonymous memory of this process, sampled."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.peak = anonymous_bytes()
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.005):
            self.peak = max(self.peak, anonymous_bytes())

    def growth(self) -> int:
        self.ended.set()
        self.join()
        return max(self.peak, anonymous_bytes()) - self.before


def run_all(engine: hr._core.Engine, tensors: dict[int, tuple[torch.Tensor, torch.Tensor]], runs: int = 3) -> dict[int, torch.Tensor]:
    results = {}
    for length, (ids, positions) in tensors.items():
        for _ in range(runs):
            logits = engine.run((ids, positions))[0]
        results[length] = logits.argmax(-1).cpu()
        del logits
    torch.cuda.synchronize()
    return results


def reserve_of_pytorch(tensors: dict[int, tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Outputs are PyTorch's: its allocator takes their memory before the first sample, and keeps it."""
    blocks = [torch.zeros(1, length, 32000, dtype=torch.float16, device="cuda") for length in tensors for _ in range(2)]
    for block in blocks:
        block.argmax(-1).cpu()  # its kernels are loaded now, too


def under_limit(path: Path, limit: int, share: float) -> dict[str, object]:
    """Opens, runs and changes budgets under a limit; everything that is measured, in bytes."""
    tensors = {length: inputs_of(length) for length in LENGTHS}
    reserve_of_pytorch(tensors)
    with Sampler(gpu_id()) as driver:
        time.sleep(0.2)
        before, host = driver.reset(), HostSampler()
        engine = hr._core.Engine(path, memory_limit=limit)
        first = run_all(engine, tensors)
        opening, host = host.growth(), HostSampler()
        total = engine.streamable
        same = True
        for budget in (0, total // 10, total // 2, total, None):
            engine.set_weight_budget(budget)
            again = run_all(engine, tensors)
            same = same and all(torch.equal(again[length], first[length]) for length in LENGTHS)
        lower = int(limit * 0.8)
        peak, samples = driver.peak, driver.samples
        memory = engine.memory()
        row = {"share": share, "limit": limit, "driver_peak": peak - before, "driver_now": driver.reset() - before,
               "samples": samples, "context": before, "counted_now": memory.device_used, "counted_peak": memory.device_peak,
               "fixed": memory.driver, "resident": memory.resident, "scratch": memory.scratch, "arena": memory.arena,
               "pinned": memory.host_pinned, "host_growth": host.growth(), "host_opening": opening, "same": same}
        try:
            engine.set_memory_limit(lower)
            driver.reset()
            again = run_all(engine, tensors)
            row |= {"lower_limit": lower, "lower_peak": driver.peak - before,
                    "same": same and all(torch.equal(again[length], first[length]) for length in LENGTHS)}
        except MemoryError as refused:  # the limit was near the least that runs
            row["lower_refused"] = str(refused)
        del engine
        gc.collect()
        row["left"] = driver.reset() - before
    return row


def reopened(path: Path, times: int) -> dict[str, object]:
    """Opens, runs and destroys an engine again and again: what the driver has in use after each."""
    tensors = {length: inputs_of(length) for length in LENGTHS[:2]}
    reserve_of_pytorch(tensors)
    after = []
    with Sampler(gpu_id()) as driver:
        before = driver.reset()
        for i in range(times):
            engine = hr._core.Engine(path, weight_budget=(0, 2**63 - 1)[i % 2])
            run_all(engine, tensors, 2)
            del engine
            gc.collect()
            after.append(driver.reset() - before)
    return {"left": after}


def child(path: Path, *arguments: str) -> dict[str, object]:
    command = [sys.executable, __file__, "--engine", str(path), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def gib(row: dict[str, object], key: str) -> str:
    return f"{row[key] / GIB:8.3f}"


def print_limits(rows: list[dict[str, object]]) -> bool:
    print("GiB; driver: NVML's figure over that of a started context; counted: our allocations; fixed: what we measured beside them;\n"
          "host: growth of anonymous memory while weights stream, and (opening) from before the engine was opened to its first runs")
    print(f"{'limit':>8} {'driver':>8} {'counted':>8} {'fixed':>8} {'off':>7} {'context':>8} {'resident':>8} {'scratch':>8} {'pinned':>8} "
          f"{'host MiB':>8} {'opening':>8} {'samples':>8}")
    good = True
    for row in rows:
        off = (row["driver_now"] - row["counted_now"] - row["fixed"]) / max(1, row["counted_now"])
        wrong = [text for bad, text in (
            (row["driver_peak"] > row["limit"], "above the limit"), (abs(off) > 0.02, "counted wrong by more than 2 %"),
            (row.get("lower_peak", 0) > row.get("lower_limit", 1), "above the lowered limit"),
            (not row["same"], "results depend on the budget"), (row["host_growth"] > 256 * MIB, "too much of the host")) if bad]
        good = good and not wrong
        print(f"{gib(row, 'limit')} {gib(row, 'driver_peak')} {gib(row, 'counted_peak')} {gib(row, 'fixed')} {100 * off:6.2f}% "
              f"{gib(row, 'context')} {gib(row, 'resident')} {gib(row, 'scratch')} {gib(row, 'pinned')} "
              f"{row['host_growth'] / MIB:8.0f} {row['host_opening'] / MIB:8.0f} {row['samples']:8} {'; '.join(wrong) or 'ok'}"
              f"{'; lowered: ' + gib(row, 'lower_peak').strip() if 'lower_peak' in row else ''}", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--limits", default="1.0,0.6,0.3,0.2", help="as shares of what the engine takes with all resident")
    parser.add_argument("--reopen", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_grad_enabled(False)
    if options.engine:
        work = under_limit(options.engine, options.one, options.share) if options.one else reopened(options.engine, options.reopen)
        print(json.dumps(work))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = make_engine(Path(folder), options.layers)
        size = path.stat().st_size
        print(f"{torch.cuda.get_device_name()}, engine of {size / 1e9:.2f} GB", flush=True)
        gc.collect()
        torch.cuda.empty_cache()
        report = {"device": torch.cuda.get_device_name(), "engine": size, "rows": []}
        for share in (float(text) for text in options.limits.split(",")):
            limit = int(size * share) + 512 * MIB
            try:
                report["rows"].append(child(path, "--one", str(limit), "--share", str(share)))
            except RuntimeError as failure:
                print(f"limit of {limit / GIB:.2f} GiB: {failure}")
        good = print_limits(report["rows"]) and len(report["rows"]) > 0
        report |= child(path, "--reopen", str(options.reopen))
    left = report["left"]
    steady = left[-1] - left[1] <= 4 * MIB
    print(f"opened, run and destroyed {len(left)} times; the driver keeps MiB: {' '.join(f'{b / MIB:.0f}' for b in left)}: "
          f"{'all comes back' if steady else 'IT GROWS'}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    return 0 if good and steady else 1


if __name__ == "__main__":
    sys.exit(main())
