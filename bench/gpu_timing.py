"""Times on a GPU, by its own clock."""

from __future__ import annotations

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
