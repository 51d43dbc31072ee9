"""A plain O_DIRECT reader of a file: threads that read blocks, nothing else."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
# Block and depth: those of the streamer (32 MiB of scratch in pieces of 512 KiB), and others that some disks like better.
SETTINGS = ((512 * KIB, 64), (512 * KIB, 16), (MIB, 32), (MIB, 16), (MIB, 4), (4 * MIB, 4), (8 * MIB, 1), (8 * MIB, 2))
HUGE_PAGE = 2 * MIB


def read_rate(path: Path, block: int, depth: int) -> float:
    """Bytes per second over the whole file, into memory of huge pages (half the rate is lost without them)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    blocks = iter(range(0, os.fstat(fd).st_size, block))
    memory = mmap.mmap(-1, block * depth + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    begin = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % HUGE_PAGE
    view = memoryview(memory)
    for at in range(begin, begin + block * depth, mmap.PAGESIZE):
        view[at] = 1  # the pages are there before the clock starts
    done = [0] * depth

    def work(index: int) -> None:
        buffer = view[begin + index * block : begin + (index + 1) * block]
        for at in blocks:  # next() of a range iterator holds the interpreter's lock
            done[index] += os.preadv(fd, [buffer], at)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(depth)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    os.close(fd)
    return sum(done) / took
