"""Memory in use on a GPU as its driver tells it (NVML), sampled every millisecond by a process of its own."""

from __future__ import annotations

import ctypes
import mmap
import struct
import subprocess
import sys
import tempfile
import time

FIELDS = struct.Struct("=6q")  # asked, answered, samples, used, peak, stop
ASKED, ANSWERED, SAMPLES, USED, PEAK, STOP = range(0, FIELDS.size, 8)


class _Info(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def open_nvml(uuid: str):
    """A function that gives the bytes in use on the GPU of that id, by all programs."""
    nvml = ctypes.CDLL("libnvidia-ml.so.1")

    def call(name: str, *arguments) -> None:
        if error := getattr(nvml, name)(*arguments):
            raise OSError(f"{name} gives error {error}")

    call("nvmlInit_v2")
    handle, info = ctypes.c_void_p(), _Info()
    try:
        call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(handle))
    except OSError:  # a slice of a GPU, or an id that NVML does not know here
        call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(0), ctypes.byref(handle))

    def used() -> int:
        call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(info))
        return info.used

    return used


class Sampler:
    """The GPU's memory in use: now, and the most since reset()."""

    def __init__(self, uuid: str) -> None:
        self.file = tempfile.NamedTemporaryFile(prefix="device_memory_")
        self.file.truncate(FIELDS.size)
        self.map = mmap.mmap(self.file.fileno(), FIELDS.size)
        self.process = subprocess.Popen([sys.executable, __file__, uuid, self.file.name])
        self.reset()

    def _get(self, field: int) -> int:
        return struct.unpack_from("=q", self.map, field)[0]

    def _set(self, field: int, value: int) -> None:
        struct.pack_into("=q", self.map, field, value)

    def reset(self) -> int:
        """Forgets the peak, and gives what is in use now."""
        asked = self._get(ASKED) + 1
        self._set(ASKED, asked)
        until = time.monotonic() + 30
        while self._get(ANSWERED) != asked:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the process that samples the GPU's memory does not answer")
            time.sleep(0.0005)
        return self._get(USED)

    @property
    def peak(self) -> int:
        return self._get(PEAK)

    @property
    def samples(self) -> int:
        return self._get(SAMPLES)

    def close(self) -> None:
        self._set(STOP, 1)
        self.process.wait(10)

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sample(uuid: str, path: str) -> None:
    used = open_nvml(uuid)
    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), FIELDS.size)
    get = lambda field: struct.unpack_from("=q", shared, field)[0]  # noqa: E731
    put = lambda field, value: struct.pack_into("=q", shared, field, value)  # noqa: E731
    answered = peak = samples = 0
    orphaned_after = time.monotonic() + 1800
    while not get(STOP) and time.monotonic() < orphaned_after:
        asked, now = get(ASKED), used()
        if asked != answered:
            peak = samples = 0
        peak, samples = max(peak, now), samples + 1
        for field, value in ((SAMPLES, samples), (USED, now), (PEAK, peak), (ANSWERED, asked)):
            put(field, value)
        answered = asked
        time.sleep(0.001)


if __name__ == "__main__":
    sample(sys.argv[1], sys.argv[2])
