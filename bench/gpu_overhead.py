"""What a call of an engine of one small op costs the host on a GPU: the time to enqueue it, from C++ and from Python.

    ./dev gpu-bench overhead [--rounds 5] [--json FILE]

Tensors lie on the device and the run is captured. Nothing is waited for inside the time; every 256 calls the stream is, outside
of it. C++ is bench/call_overhead.cpp (Google Benchmark), into tensors that are there; Python is the module's call, its output
allocated by PyTorch. The best round of each counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from archives import archive, one_op

import headrace as hr

CALLS = 256


def cpp_us(program: Path, rounds: int) -> float:
    command = [program, archive("one_op"), "cuda", "--benchmark_format=json", f"--benchmark_repetitions={rounds}",
               "--benchmark_min_time=0.2"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout
    runs = [run for run in json.loads(text)["benchmarks"] if run["run_type"] == "iteration"]
    if failed := [run["error_message"] for run in runs if run.get("error_occurred")]:
        raise RuntimeError(f"call_overhead: {failed[0]}")
    return min(run["real_time"] for run in runs) / 1e3  # of nanoseconds


def enqueue_us(call, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds * 20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - start) / CALLS)
    torch.cuda.synchronize()
    return best * 1e6


def python_us(rounds: int) -> tuple[float, float]:
    """A call of ours, and of the op itself, which PyTorch enqueues."""
    module, inputs = one_op()
    inputs = tuple(x.cuda() for x in inputs)
    ours = hr.compile(module, arg_inputs=list(inputs), device="cuda")
    for _ in range(3):
        torch.testing.assert_close(ours(*inputs), module(*inputs))
    return enqueue_us(lambda: ours(*inputs), rounds), enqueue_us(lambda: module(*inputs), rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", type=Path, required=True, help="the program call_overhead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    (python, eager), cpp = python_us(options.rounds), cpp_us(options.program, options.rounds)
    print(f"{torch.cuda.get_device_name()}: host time to enqueue a call of one small op")
    good = True
    for name, value, must, aim in (("C++", cpp, 10, 6), ("Python", python, 25, 15)):
        good = good and value <= must
        print(f"{name:<8} {value:7.2f} us   must {must:>3}   aim {aim:>3}   {'ok' if value <= must else 'TOO SLOW'}")
    print(f"PyTorch's own op, eager: {eager:.2f} us")
    if options.json:
        options.json.write_text(json.dumps({"device": torch.cuda.get_device_name(), "cpp_us": cpp, "python_us": python,
                                            "pytorch_op_us": eager}, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
