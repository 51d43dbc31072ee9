"""Times on a GPU, by its own clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def gpu_ms(call: Callable[[], object], calls: int = 50) -> float:
    """Milliseconds a call, of `calls` in a row, once what was queued before is done."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls


def rested_gpu_ms(call: Callable[[], object], calls: int = 2, samples: int = 11) -> float:
    """Milliseconds a call, the median of samples with a pause before each: of a request that comes alone.

    Calls without a pause may draw more power than the device's limit, which then lowers its clock, by a fifth on an H200.
    """
    times = []
    for _ in range(samples):
        torch.cuda.synchronize()
        time.sleep(0.1)
        times.append(gpu_ms(call, calls))
    return statistics.median(times)
