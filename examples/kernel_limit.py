"""Memory limits that the kernel enforces on a child process: a cgroup where one can be made, else RLIMIT_DATA."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Ended:
    """How a child process ended: its exit code (negative: the signal that killed it), and what it printed to stderr."""

    code: int
    stderr: str


def cgroup_folders() -> Iterator[tuple[int, Path]]:
    """Version and folder of the cgroups that this process may make children of: its own and, in version 2, whose rules
    forbid children beside processes, those above it."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[1 if "memory" in controllers.split(",") else 2 if not controllers else 0] = path
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, mounted = left.split()[3:5]
        kind, _, options = right.split(maxsplit=2)
        version = {"cgroup2": 2, "cgroup": 1 if "memory" in options.split(",") else 0}.get(kind, 0)
        if version not in own or version == 0:
            continue
        inside = own[version].removeprefix(root.rstrip("/")).strip("/")
        folder = Path(mounted) / inside
        yield version, folder
        if version == 2:
            yield from ((2, above) for above in folder.parents if above.is_relative_to(mounted))


class KernelLimit:
    """Runs children inside a memory limit. As a context manager, so that a cgroup goes away at the end.

    In a cgroup all memory of the child counts, and the kernel kills it where it wants more. RLIMIT_DATA counts what the
    child allocates, and allocations beyond it fail.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.folder: Path | None = None
        self.version = 0

    @property
    def name(self) -> str:
        return f"a cgroup (version {self.version})" if self.folder else "RLIMIT_DATA"

    def __enter__(self) -> KernelLimit:
        try:
            for version, parent in cgroup_folders():
                if self._make(version, parent / f"headrace-{os.getpid()}"):
                    break
        except OSError:
            pass  # no cgroups here at all
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder:
            self._remove(self.folder)
            self.folder = None

    def _make(self, version: int, folder: Path) -> bool:
        try:
            folder.mkdir()
        except OSError:
            return False
        try:
            # Opened without O_CREAT: a cgroup without the memory controller has no such file.
            limits = {1: "memory.limit_in_bytes", 2: "memory.max"}
            self._set(folder / limits[version], self.limit)
            for file, value in (("memory.swappiness", 0), ("memory.swap.max", 0)):  # the limit is of memory, not of swap
                if (folder / file).exists():
                    self._set(folder / file, value)
            self.folder, self.version = folder, version
            if self.run(["true"]).code == 0:  # a process can join
                return True
        except OSError:
            pass
        self.folder = None
        self._remove(folder)
        return False

    @staticmethod
    def _set(file: Path, value: int) -> None:
        with open(file, "r+") as control:
            control.write(str(value))

    @staticmethod
    def _remove(folder: Path) -> None:
        for _ in range(50):
            try:
                folder.rmdir()
                return
            except OSError:  # its last process is still going
                time.sleep(0.1)

    def run(self, command: Sequence[str | Path], quiet: bool = True) -> Ended:
        """Runs a command inside the limit; stdout is shown unless `quiet`."""
        if self.folder:
            shell = ["sh", "-c", 'echo 0 > "$0" && exec "$@"', self.folder / "cgroup.procs"]
        else:
            shell = ["sh", "-c", 'ulimit -d "$0" && exec "$@"', str(self.limit >> 10)]
        done = subprocess.run([*shell, *command], stdout=subprocess.DEVNULL if quiet else None, stderr=subprocess.PIPE,
                              text=True, errors="replace")
        return Ended(done.returncode, done.stderr)
