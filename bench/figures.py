"""Figures: what was measured, beside what it must reach and what we aim at."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Figure:
    name: str
    measured: float
    must: float
    aim: float
    unit: str = "x"  # of all three
    more_is_better: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        def reached(goal: float) -> bool:
            return self.measured >= goal if self.more_is_better else self.measured <= goal

        return "aim" if reached(self.aim) else "must" if reached(self.must) else "MISSED"

    def text(self, value: float) -> str:
        return f"{value:.0f} %" if self.unit == "%" else f"{value:.3g} {self.unit}"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{model}, {len(os.sched_getaffinity(0))} CPUs, {memory:.0f} GiB, Linux {platform.release()}, "
            f"load before {os.getloadavg()[0]:.1f}")


def table(figures: list[Figure], where: str) -> str:
    rows = [("", "measured", "must", "aim", "", "")]
    rows += [(f.name, f.text(f.measured), f.text(f.must), f.text(f.aim), f.verdict, f.note) for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = [where]
    for row in rows:
        numbers = "  ".join(row[i].rjust(widths[i]) for i in range(1, 4))
        lines.append(f"{row[0]:<{widths[0]}}  {numbers}  {row[4]:<{widths[4]}}  {row[5]}".rstrip())
    return "\n".join(lines)


def to_json(figures: list[Figure], where: str) -> str:
    rows = [asdict(figure) | {"verdict": figure.verdict} for figure in figures]
    return json.dumps({"machine": where, "figures": rows}, indent=2)
