"""Several engines that stream over one link at the same time, and other work on the GPU meanwhile.

    ./dev gpu-bench sharing [--layers 6] [--json FILE]

Llama 2 7B's shape with so many layers, fp16, budget 0. One engine alone, then two in two threads, each with contexts, a
stream and a file of its own, then one beside another process that multiplies matrices all the time. Every result is compared
with that of the engine alone, to the bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import torch
from gpu_memory import inputs_of, make_engine

import headrace as hr

LENGTH = 64

FOREIGN = """
import sys, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
b = a @ a
torch.cuda.synchronize()
print("ready", flush=True)
while True:
    for _ in range(20):
        torch.mm(a, a, out=b)
    torch.cuda.synchronize()
"""


class Streaming:
    """An engine with budget 0 that is run again and again on a stream of its own, for some seconds."""

    def __init__(self, path: Path) -> None:
        self.engine = hr._core.Engine(path, weight_budget=0)
        self.stream = torch.cuda.Stream()
        self.inputs = inputs_of(LENGTH)
        torch.cuda.synchronize()
        self.result = self.run()
        self.run()
        self.rate, self.runs, self.wrong = 0.0, 0, 0

    def run(self) -> torch.Tensor:
        with torch.cuda.stream(self.stream):
            logits = self.engine.run(self.inputs)[0]
            self.stream.synchronize()
        return logits

    def measure(self, seconds: float, want: torch.Tensor) -> None:
        self.runs = self.wrong = 0
        start = time.perf_counter()
        results = []
        while time.perf_counter() - start < seconds:
            results.append(self.run())
            self.runs += 1
            if len(results) > 8:
                results.pop(0)
        elapsed = time.perf_counter() - start
        self.rate = self.runs * self.engine.memory().streamed_last_run / elapsed
        self.wrong = sum(not torch.equal(result, want) for result in results)


def together(engines: list[Streaming], seconds: float, want: torch.Tensor) -> tuple[float, int]:
    """Bytes a second of all, and the results that are not as they should be."""
    threads = [threading.Thread(target=engine.measure, args=(seconds, want)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(engine.rate for engine in engines), sum(engine.wrong for engine in engines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        path = make_engine(Path(folder), options.layers)
        other = path.with_name("other.engine")
        shutil.copyfile(path, other)
        print(f"{torch.cuda.get_device_name()}, engine of {path.stat().st_size / 1e9:.2f} GB, budget 0", flush=True)
        engines = [Streaming(path), Streaming(path), Streaming(other)]
        want = engines[0].result
        wrong = sum(not torch.equal(engine.result, want) for engine in engines)
        report: dict[str, object] = {"device": torch.cuda.get_device_name()}

        def show(name: str, rate: float, bad: int) -> None:
            nonlocal wrong
            wrong += bad
            report[name] = {"bytes_per_s": rate, "wrong": bad}
            print(f"{name:<44} {rate / 1e9:7.2f} GB/s  {'results are right' if not bad else f'{bad} RESULTS ARE WRONG'}", flush=True)

        show("one engine", *together(engines[:1], options.seconds, want))
        show("two engines of one file, at once", *together(engines[:2], options.seconds, want))
        show("two engines of two files, at once", *together(engines[1:], options.seconds, want))
        foreign = subprocess.Popen([sys.executable, "-c", FOREIGN], stdout=subprocess.PIPE, text=True)
        try:
            if foreign.stdout.readline().strip() != "ready":
                raise RuntimeError("the other process did not start its work")
            show("one engine, another process multiplying", *together(engines[:1], options.seconds, want))
            show("two engines, another process multiplying", *together(engines[:2], options.seconds, want))
        finally:
            foreign.kill()
            foreign.wait()
        show("one engine again", *together(engines[:1], options.seconds, want))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
