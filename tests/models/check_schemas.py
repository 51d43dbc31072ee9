"""Compare the schemas of the lowering table (src/frontend/aten_*.cpp) with those of the installed PyTorch.

    python tests/models/check_schemas.py

Prints each row that differs; exits with 1 where one does.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

SOURCES = Path(__file__).resolve().parents[2] / "src" / "frontend"
ROW = re.compile(r'^ +\{((?:"(?:[^"\\]|\\.)*"\s*)+),', re.MULTILINE)
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')


def rows() -> list[str]:
    texts = []
    for source in sorted(SOURCES.glob("aten_*.cpp")):
        for row in ROW.finditer(source.read_text()):
            text = "".join(TEXT.findall(row.group(1))).replace('\\"', '"')
            if "->" in text:
                texts.append(text)
    return texts


def of_torch(text: str) -> str:
    name, _, overload = text.split("(")[0].partition(".")
    return str(getattr(getattr(torch.ops.aten, name), overload or "default")._schema).removeprefix("aten::")


def main() -> None:
    found, failed = rows(), 0
    for text in found:
        try:
            wanted = of_torch(text)
        except AttributeError:
            wanted = "no such overload"
        if text != wanted:
            failed += 1
            print(f"row:     {text}\nPyTorch: {wanted}")
    print(f"{len(found)} rows, {failed} differ")
    sys.exit(1 if failed or not found else 0)


if __name__ == "__main__":
    main()
