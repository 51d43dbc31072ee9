"""PyTorch's ops and ours in turn, in one process: they share one pool of threads, so neither waits for the other to spin down.

The time of an op of PyTorch's followed by one of ours, over the sum of both alone; the largest over sizes from a product that
takes some microseconds to one that takes milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from figures import Figure

import headrace as hr

SIZES = (64, 256, 1024)


def seconds(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def ratio(size: int, rounds: int) -> float:
    torch.manual_seed(0)
    module, x = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU()).eval(), torch.randn(size, size)
    ours = hr.compile(module, arg_inputs=[x], device="cpu")

    def both() -> None:
        module(x)
        ours(x)

    calls = max(5, 20_000_000 // size**2 // 10)
    best = {"pytorch": float("inf"), "ours": float("inf"), "both": float("inf")}
    with torch.no_grad():
        both()
        for _ in range(rounds):
            for name, call in (("pytorch", lambda: module(x)), ("ours", lambda: ours(x)), ("both", both)):
                best[name] = min(best[name], seconds(call, calls))
    return best["both"] / (best["pytorch"] + best["ours"])


def measure(rounds: int, threads: int) -> list[Figure]:
    torch.set_num_threads(threads)
    return [Figure("PyTorch's ops and ours in turn / each alone", max(ratio(size, rounds) for size in SIZES), 1.2, 1.0, "x")]
