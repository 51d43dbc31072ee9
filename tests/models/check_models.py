"""Run exported models (export_models.py's folder) through a back end's plan and compare with PyTorch's results.

    python tests/models/check_models.py FOLDER --program build/dev/bin/headrace_model_check [--backend reference,cpu]
                                        [--passes all,none] [--only TEXT]

Prints one line an archive, back end and choice of passes; exits with 1 where one differs.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DTYPES = [np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64, np.float16, "bf16", np.float32, np.float64]


def write_tensors(path: Path, arrays: dict[str, np.ndarray], bf16: set[str]) -> None:
    with path.open("wb") as file:
        for name, array in arrays.items():
            shape = array.shape
            if name in bf16:  # stored as the float32 of the same value
                number, data = 7, (np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16)
            else:
                number, data = DTYPES.index(array.dtype.type), np.ascontiguousarray(array)
            encoded = name.encode()
            file.write(struct.pack("<I", len(encoded)) + encoded + struct.pack(f"<BB{len(shape)}q", number, len(shape), *shape))
            file.write(data.tobytes())


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    data, at, arrays = path.read_bytes(), 0, {}
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        name = data[at + 4:at + 4 + length].decode()
        at += 4 + length
        number, rank = struct.unpack_from("<BB", data, at)
        shape = struct.unpack_from(f"<{rank}q", data, at + 2)
        at += 2 + 8 * rank
        kind = np.dtype(np.uint16 if DTYPES[number] == "bf16" else DTYPES[number])
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(data, kind, count, at)
        at += count * kind.itemsize
        if DTYPES[number] == "bf16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = array.reshape(shape)
    return arrays


def differs(got: np.ndarray, want: np.ndarray, bf16: bool) -> str:
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    if not np.issubdtype(want.dtype, np.floating):
        return "" if np.array_equal(got, want) else f"{np.sum(got != want)} elements differ"
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return "NaN or infinities differ"
    finite = np.isfinite(want)
    if not finite.any():
        return ""
    scale = float(np.abs(want[finite]).max())
    error = float(np.abs(got[finite].astype(np.float64) - want[finite]).max()) / max(scale, 1e-6)
    return "" if error <= (0.06 if bf16 else 2e-4) else f"off by {error:.2g} of the largest"


def check(folder: Path, entry: dict, program: Path, backend: str, passes: str) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        given, made = Path(temporary) / "in", Path(temporary) / "out"
        for case in entry["cases"]:
            bf16 = set(case["bf16"])
            write_tensors(given, dict(np.load(folder / case["inputs"])), bf16)
            run = subprocess.run([program, folder / entry["archive"], backend, passes, given, made], capture_output=True, text=True)
            if run.returncode != 0:
                return run.stderr.strip() or f"ended with {run.returncode}"
            got, want = read_tensors(made), dict(np.load(folder / case["outputs"]))
            if list(got) != list(want):
                return f"outputs {list(got)}, not {list(want)}"
            for name in want:
                if why := differs(got[name], want[name], entry["dtype"] == "bf16"):
                    return f"{case['inputs']}: {name}: {why}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--backend", default="reference")
    parser.add_argument("--passes", default="all,none")
    parser.add_argument("--only", default="", help="archives whose name has this text")
    options = parser.parse_args()
    failed = 0
    for entry in json.loads((options.folder / "index.json").read_text()):
        if options.only not in entry["archive"]:
            continue
        for backend in options.backend.split(","):
            for passes in options.passes.split(","):
                why = check(options.folder, entry, options.program, backend, passes)
                failed += bool(why)
                print(f"{'FAILED' if why else 'ok':6} {entry['archive']} {backend} passes={passes} {why}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
