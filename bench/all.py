"""Each benchmark in turn, then one table: measured, what it must reach, what we aim at.

    ./dev bench [latency] [compiling] [streaming] [overhead] [alternating]
                [--rounds N] [--threads N] [--json PATH]

What is compared runs in turn in the same process or machine state, round after round, and the best of each counts; on a
machine that does other work too, read the ratios. The models are exported once, into build/bench (8 GB with engines).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import alternating
import compiling
import latency
import overhead
import streaming
from figures import machine, table, to_json

PARTS = ("latency", "compiling", "streaming", "overhead", "alternating")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; default: all")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; {', '.join(PARTS)} are")
    where = machine()
    figures = []
    if "latency" in parts:
        figures += latency.measure(arguments.rounds, arguments.threads)
    if "compiling" in parts:
        figures += compiling.measure(max(3, arguments.rounds // 3))
    if "streaming" in parts:
        figures += streaming.measure(arguments.rounds, arguments.threads)
    if "overhead" in parts:
        figures += overhead.measure(arguments.rounds, arguments.threads)
    if "alternating" in parts:
        figures += alternating.measure(arguments.rounds, arguments.threads)
    print(table(figures, where))
    if arguments.json:
        arguments.json.write_text(to_json(figures, where) + "\n")


if __name__ == "__main__":
    main()
