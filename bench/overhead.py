"""What a call costs: an engine of one small op, called from C++ into tensors that are there, and from Python.

C++ is measured by Google Benchmark in bench/call_overhead.cpp, Python here: the module's call, its output allocated.
"""

from __future__ import annotations

import json
import subprocess
import timeit
from pathlib import Path

import torch
from archives import ROOT, archive, one_op
from figures import Figure

import headrace as hr

PROGRAM = ROOT / "build" / "release" / "bin" / "call_overhead"


def cpp_us(model: Path, rounds: int) -> float:
    text = subprocess.run([PROGRAM, model, "--benchmark_format=json", f"--benchmark_repetitions={rounds}",
                           "--benchmark_min_time=0.2"], check=True, capture_output=True, text=True).stdout
    runs = [run for run in json.loads(text)["benchmarks"] if run["run_type"] == "iteration"]
    if failed := [run["error_message"] for run in runs if run.get("error_occurred")]:
        raise RuntimeError(f"call_overhead: {failed[0]}")
    return min(run["real_time"] for run in runs) / 1e3  # of nanoseconds


def python_us(rounds: int, threads: int) -> float:
    module, inputs = one_op()
    torch.set_num_threads(threads)
    ours = hr.compile(module, arg_inputs=list(inputs), device="cpu")
    torch.testing.assert_close(ours(*inputs), module(*inputs))
    calls = 2000
    return min(timeit.repeat(lambda: ours(*inputs), number=calls, repeat=rounds)) / calls * 1e6


def measure(rounds: int, threads: int) -> list[Figure]:
    return [Figure("call of an engine of one small op, C++", cpp_us(archive("one_op"), rounds), 5, 2, "us"),
            Figure("call of an engine of one small op, Python", python_us(rounds, threads), 20, 10, "us")]
