"""Llama 2 7B's shape on a GPU under weight budgets from 0 to 100 %, beside what the link allows.

    ./dev gpu-bench streaming [--layers 32] [--length 192] [--json FILE]

The bound of a budget is the larger of the resident latency and the streamed bytes over the link's rate, which a copy of
pinned memory measures in the same run. Latencies are GPU times of captured runs, the median of several. With all weights
resident also those of PyTorch's compiler, where it fits. And the time from opening the engine file, in the page cache, to the
first result.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import headrace as hr
from gpu_timing import gpu_ms, rested_gpu_ms

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from weight_streaming import export, make_model  # noqa: E402


def link_rate() -> float:
    """Bytes a second from pinned memory to the device, the best of five copies of 4 GiB."""
    host = torch.empty(1 << 32, dtype=torch.uint8, pin_memory=True)
    device = torch.empty_like(host, device="cuda")
    best = min(gpu_ms(lambda: device.copy_(host, non_blocking=True), 1) for _ in range(5))
    return host.numel() / best * 1e3


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) << 10
    return 0


def used_on_device() -> int:
    free, total = torch.cuda.mem_get_info()
    return total - free


def resident_ms(call: Callable[[], object]) -> dict[str, float]:
    """Of calls that come alone, and of calls without a pause, which power limits."""
    for _ in range(4):
        call()
    return {"alone": rested_gpu_ms(call), "sustained": statistics.median(gpu_ms(call, 20) for _ in range(5))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--length", type=int, default=192)
    parser.add_argument("--budgets", default="100,90,80,70,60,50,40,30,20,10,0", help="in per cent")
    parser.add_argument("--skip-pytorch", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_grad_enabled(False)
    ids = torch.randint(0, 32000, (1, options.length), device="cuda")
    positions = torch.arange(options.length, device="cuda").unsqueeze(0)
    rate = link_rate()
    gc.collect()
    torch.cuda.empty_cache()
    print(f"{torch.cuda.get_device_name()}, link {rate / 1e9:.1f} GB/s")
    report = {"device": torch.cuda.get_device_name(), "link": rate, "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        archive, engine = Path(folder) / "llama.pt2", Path(folder) / "llama.engine"
        model = make_model(options.layers)
        torch.export.save(export(model, max(256, options.length), options.length), archive)
        start = time.perf_counter()
        hr._core.compile_archive(archive, engine, device="cuda")
        report["compile_s"] = time.perf_counter() - start
        archive.unlink()
        print(f"compiled in {report['compile_s']:.1f} s, {engine.stat().st_size / 1e9:.2f} GB")
        if not options.skip_pytorch:
            compiled = torch.compile(model.cuda(), mode="reduce-overhead")
            theirs = report["pytorch_ms"] = resident_ms(lambda: compiled(ids, positions))
            print(f"PyTorch, compiled, resident: {theirs['alone']:.2f} ms alone, {theirs['sustained']:.2f} ms sustained")
            del compiled
        del model
        torch._dynamo.reset()
        gc.collect()
        torch.cuda.empty_cache()

        before, host_before = used_on_device(), anonymous_bytes()
        total = hr._core.Engine(engine, weight_budget=0).streamable
        gc.collect()
        start = time.perf_counter()
        module = hr.load(engine, weight_budget=total // 10)
        module(ids, position_ids=positions)
        torch.cuda.synchronize()
        report["open_s"] = time.perf_counter() - start
        print(f"opened to the first result, budget 10 %: {report['open_s']:.2f} s")
        resident = None
        print(f"{'budget':>7} {'latency':>9} {'bound':>9} {'ratio':>6} {'streamed':>9} {'device':>9} {'host':>9}")
        with hr.runtime.weight_streaming(module) as weights:
            for share in (int(text) for text in options.budgets.split(",")):
                weights.device_budget = total * share // 100
                for _ in range(3):
                    module(ids, position_ids=positions)
                torch.cuda.synchronize()
                latency = statistics.median(gpu_ms(lambda: module(ids, position_ids=positions), 2) for _ in range(5))
                if share == 100:
                    ours = report["headrace_ms"] = resident_ms(lambda: module(ids, position_ids=positions))
                    print(f"Headrace, resident: {ours['alone']:.2f} ms alone, {ours['sustained']:.2f} ms sustained")
                resident = resident or latency
                streamed = module.memory().streamed_last_run
                bound = max(resident, streamed / rate * 1e3)
                row = {"budget": share, "ms": latency, "bound_ms": bound, "streamed": streamed,
                       "device_bytes": used_on_device() - before, "host_bytes": anonymous_bytes() - host_before}
                report["rows"].append(row)
                print(f"{share:>5} % {latency:9.2f} {bound:9.2f} {latency / bound:6.3f} {streamed / 2**30:7.2f} G "
                      f"{row['device_bytes'] / 2**30:7.2f} G {row['host_bytes'] / 2**20:7.0f} M", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
