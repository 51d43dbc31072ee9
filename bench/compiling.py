"""Compile times, from an archive on disk to an engine on disk, in a process of their own."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path

from archives import CLI, FOLDER, archive
from figures import Figure

MIB = 1 << 20


def forget(path: Path) -> None:
    """Takes a file out of the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def anonymous(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def compile_once(source: Path, target: Path) -> tuple[float, int]:
    """Seconds, and the largest anonymous memory that was seen."""
    peak = 0
    start = time.perf_counter()
    process = subprocess.Popen([CLI, "compile", source, "-o", target], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.002)
    took = time.perf_counter() - start
    if process.returncode != 0:
        raise RuntimeError(f"compiling {source} failed with {process.returncode}")
    return took, peak


def copy_once(source: Path, target: Path) -> float:
    start = time.perf_counter()
    subprocess.run(["cp", source, target], check=True)
    subprocess.run(["sync", target], check=True)
    return time.perf_counter() - start


def small(name: str, title: str, rounds: int, must: float, aim: float) -> Figure:
    source, target = archive(name), FOLDER / "compiled.engine"
    took = min(compile_once(source, target)[0] for _ in range(rounds))
    target.unlink()
    return Figure(f"compile {title}", took, must, aim, "s")


def large(rounds: int) -> list[Figure]:
    source, target = archive("llama"), FOLDER / "compiled.engine"
    ratios, peak, times = [], 0, []
    for _ in range(rounds):
        pair = []
        for make in (lambda: (copy_once(source, target), 0), lambda: compile_once(source, target)):
            target.unlink(missing_ok=True)
            forget(source)
            took, memory = make()
            pair.append(took)
            peak = max(peak, memory)
        ratios.append(pair[1] / pair[0])
        times.append(pair)
    target.unlink()
    best = min(pair[1] for pair in times) / min(pair[0] for pair in times)
    note = f"best of {rounds}: {min(p[1] for p in times):.1f} / {min(p[0] for p in times):.1f} s; median ratio {statistics.median(ratios):.2f}"
    return [Figure("compile Llama 2.2 GB / cp + fsync, source cold", best, 1.5, 1.1, note=note),
            Figure("anonymous memory while compiling it", peak / MIB, 300, 150, "MiB")]


def measure(rounds: int) -> list[Figure]:
    return [small("resnet18", "ResNet-18", rounds, 1, 0.3), small("bert_base", "BERT-base", rounds, 2, 1), *large(rounds)]
