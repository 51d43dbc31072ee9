"""Weight streaming: the disk's share, what it costs where compute is the limit, memory, and the time to open."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import torch
from archives import CLI, archive, engine
from figures import Figure
from headrace import _core
from plain_reader import MIB, SETTINGS, read_rate

ALL = 2**63 - 1


def open_engine(name: str, budget: int, threads: int) -> _core.Engine:
    return _core.Engine(engine(name), weight_budget=budget, threads=threads, memory_limit=None, device="")


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def disk_share(rounds: int, threads: int) -> list[Figure]:
    """The whole forward, from call to result, against the best plain reader. Alternated, the best of each in a round."""
    streamed = open_engine("llama", 0, threads)
    tokens = (torch.ones(1, 2, dtype=torch.long),)
    streamed.run(tokens)
    ours, plain = [], []
    for _ in range(rounds):
        plain.append(max(read_rate(engine("llama"), block, depth) for block, depth in SETTINGS))
        runs = [seconds(lambda: streamed.run(tokens)) for _ in range(len(SETTINGS))]
        ours.append(streamed.memory().streamed_last_run / min(runs))
    share = 100 * statistics.median(a / b for a, b in zip(ours, plain))
    best = 100 * max(ours) / max(plain)
    note = f"median of {rounds} rounds; best/best {best:.0f} %: {max(ours) / 1e9:.2f} of {max(plain) / 1e9:.2f} GB/s"
    return [Figure("stream Llama 2.2 GB, budget 0 / plain O_DIRECT reader", share, 95, 99, "%", True, note)]


def compute_bound(rounds: int, threads: int) -> list[Figure]:
    resident, streamed = open_engine("bert_base_8", ALL, threads), open_engine("bert_base_8", 0, threads)
    ids = torch.randint(0, 30000, (8, 128))
    inputs = (ids, torch.ones_like(ids))
    best = [1e9, 1e9]
    for _ in range(max(rounds, 5)):
        for i, module in enumerate((resident, streamed)):
            module.run(inputs)
            best[i] = min(best[i], *(seconds(lambda: module.run(inputs)) for _ in range(3)))
    note = f"{best[1] * 1e3:.0f} / {best[0] * 1e3:.0f} ms"
    return [Figure("BERT-base 8x128 fp32, budget 0 / resident", best[1] / best[0], 1.10, 1.05, note=note)]


def resident_memory(process: subprocess.Popen) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(sizes.get("VmRSS", 0)) * 1024


def process_memory(threads: int) -> list[Figure]:
    """Resident memory of `headrace run`, its libraries included, sampled from /proc while it runs."""
    import json

    worst, note = -1e9, ""
    for budget in ("0", "10%", "50%"):
        command = [CLI, "run", engine("llama"), "--random", "1", "--weight-budget", budget, "--repeat", "3", "--json",
                   "--threads", str(threads)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_memory(process))
            time.sleep(0.002)
        memory = json.loads(process.stdout.read())["memory"]
        named = sum(memory[f"{part}_bytes"] for part in ("weight_budget", "always_resident", "scratch", "arena"))
        above = (peak - named) / MIB
        if above > worst:
            worst, note = above, f"at budget {budget}: {peak / MIB:.0f} MiB, of which {named / MIB:.0f} accounted for"
    return [Figure("memory of a run above budget, always-resident, scratch, arena", worst, 32, 16, "MiB", note=note)]


def opening(rounds: int, threads: int) -> list[Figure]:
    times = []
    for _ in range(max(10, rounds)):
        start = time.perf_counter()
        opened = open_engine("llama", 0, threads)
        times.append(time.perf_counter() - start)
        del opened
    note = f"median {statistics.median(times) * 1e3:.1f} ms"
    return [Figure("open the 2.2 GB engine to a context, budget 0", min(times) * 1e3, 10, 3, "ms", note=note)]


def measure(rounds: int, threads: int) -> list[Figure]:
    archive("llama")
    return (disk_share(rounds, threads) + compute_bound(rounds, threads) + process_memory(threads)
            + opening(rounds, threads))
