"""Compare whole models with PyTorch, each through an archive, an engine file and runs of other sizes.

    ./dev python tests/models/accuracy.py [--models resnet18,minilm] [--forms raw,core,kept] [--shapes static,dynamic]
                                          [--dtypes f32,bf16] [--device cuda] [--results FILE]
                                          [--page docs/models.md]

A row is one model in one form (see export_models.py), with static or dynamic sizes, in f32, bf16 or f16. Errors are the
largest difference of any element, of any output and case, over the largest element of that output. An f32 model is
compared with PyTorch's f32. A bf16 (f16) model is compared with the same weights and inputs in f32, and so is PyTorch's
on the same device:
ours may not be further off than KEEPS_UP times that. Results of earlier runs stay in FILE; --page writes the table of all.
Exits with 1 where a row fails.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import zoo
from export_models import FORMS, chosen, decompose, named_outputs

import headrace as hr
from headrace import _core

LARGEST_F32_ERROR = 2e-5
# The largest of many roundings varies with their order; on a GPU PyTorch leaves batch norm out of 16-bit weights.
KEEPS_UP = {"cpu": 1.5, "cuda": 2.5}

TORCH_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

Tensors = dict[str, torch.Tensor]


def run(module: Any, case: Tensors) -> Tensors:
    with torch.no_grad():
        return {name: value.float().cpu() for name, value in named_outputs(module(**case)).items()}


def error(got: Tensors, want: Tensors) -> float:
    if list(got) != list(want) or any(got[name].shape != want[name].shape for name in want):
        raise AssertionError(f"outputs are {[(n, list(v.shape)) for n, v in got.items()]}, "
                             f"not {[(n, list(v.shape)) for n, v in want.items()]}")
    worst = 0.0
    for name in want:
        if not torch.isfinite(got[name]).all():
            return float("inf")
        worst = max(worst, ((got[name] - want[name]).abs().max() / want[name].abs().max()).item())
    return worst


class Expected:
    """What PyTorch gives for each case: in the model's dtype, and for bf16 and f16 in f32 of the same weights and inputs."""

    def __init__(self, module: torch.nn.Module, cases: list[Tensors], dtype: str, device: str) -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        module = module.to(device)
        cases = [{k: v.to(device) for k, v in case.items()} for case in cases]
        self.same = [run(module, case) for case in cases]
        self.truth = self.same
        if dtype != "f32":
            module.float()
            self.truth = [run(module, {k: v.float() if v.is_floating_point() else v for k, v in case.items()}) for case in cases]


def sizes_text(model: zoo.Model, case: Tensors) -> str:
    found = {dim: case[name].shape[axis] for name, axes in model.dims.items() for axis, dim in axes.items()}
    return "×".join(str(n) for n in found.values())


def check(archive: Path, cases: list[Tensors], expected: Expected, dtype: str, device: str) -> dict[str, Any]:
    engine = archive.with_suffix(".engine")
    start = time.perf_counter()
    try:
        report = _core.compile_archive(archive, engine, device=device)
        compile_s = time.perf_counter() - start
        module = hr.load(engine)
        got = [run(module, case) for case in cases]
        ours = max(error(g, t) for g, t in zip(got, expected.truth))
        row = {"error": ours, "from_pytorch": max(error(g, s) for g, s in zip(got, expected.same)), "compile_s": compile_s,
               "steps": report.steps, "warnings": report.warnings}
        limit = LARGEST_F32_ERROR
        if dtype != "f32":
            row["pytorch_error"] = max(error(s, t) for s, t in zip(expected.same[:len(got)], expected.truth))
            limit = KEEPS_UP.get(device, 1.5) * row["pytorch_error"]
        return {**row, "ok": ours <= limit}
    except (RuntimeError, ValueError, NotImplementedError, AssertionError) as failure:
        return {"ok": False, "failure": str(failure)}
    finally:
        engine.unlink(missing_ok=True)


def measure(name: str, dtype: str, forms: list[str], shapes: list[str], device: str, folder: Path):
    """Yields rows. The largest batch runs in the first form only: the others differ in their graphs, not in sizes."""
    torch.manual_seed(20)
    model = zoo.ZOO[name].make()
    module = model.module.eval().to(TORCH_DTYPES[dtype])
    cases = [{k: v.to(TORCH_DTYPES[dtype]) if v.is_floating_point() else v for k, v in case.items()}
             for case in [model.example, *model.cases]]
    archives = []
    for shape in shapes:
        program = torch.export.export(module, (), cases[0],
                                      dynamic_shapes=zoo.dynamic_shapes(model) if shape == "dynamic" else None)
        for form in forms:
            archive = folder / f"{name}.{form}.{shape}.{dtype}.pt2"
            torch.export.save(decompose(program, form), archive)
            archives.append((archive, form, shape))
    expected = Expected(module, cases if "dynamic" in shapes else cases[:1], dtype, device)
    del module, program, model.module
    gc.collect()
    for archive, form, shape in archives:
        count = 1 if shape == "static" else len(cases) if form == forms[0] else max(1, len(cases) - 1)
        row = check(archive, cases[:count], expected, dtype, device)
        archive.unlink()
        sizes = [sizes_text(model, case) for case in cases[:count]]
        yield {"model": name, "dtype": dtype, "form": form, "shapes": shape, "sizes": sizes, **row}


def key(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return (list(zoo.ZOO).index(row["model"]), list(TORCH_DTYPES).index(row["dtype"]), ("static", "dynamic").index(row["shapes"]),
            FORMS.index(row["form"]))


def describe(row: dict[str, Any]) -> str:
    if "failure" in row:
        return row["failure"]
    own = f", PyTorch's own {row['pytorch_error']:.1e}" if "pytorch_error" in row else ""
    return f"error {row['error']:.1e}{own}, between the two {row['from_pytorch']:.1e}"


def table(rows: list[dict[str, Any]], dtype: str) -> list[str]:
    """One line a model: the error in each form; for bf16 also PyTorch's own."""
    columns = [(shape, form) for shape in ("static", "dynamic") for form in FORMS]
    own = ["PyTorch's bf16"] if dtype == "bf16" else []
    lines = ["| " + " | ".join(["model", "sizes run", *own, *(f"{s}, {f}" for s, f in columns)]) + " |",
             "|---" * (2 + len(own) + len(columns)) + "|"]
    for name in zoo.ZOO:
        found = {(r["shapes"], r["form"]): r for r in rows if r["model"] == name and r["dtype"] == dtype}
        if not found:
            continue
        sizes = max((r["sizes"] for r in found.values()), key=len)
        cells = [f"{r['error']:.1e}" if (r := found.get(c)) and "error" in r else "failed" if r else "" for c in columns]
        errors = [f"{max(r.get('pytorch_error', 0) for r in found.values()):.1e}"] if own else []
        lines.append("| " + " | ".join([f"`{name}`", ", ".join(sizes), *errors, *cells]) + " |")
    return lines


MARKS = ("<!-- accuracy: begin -->", "<!-- accuracy: end -->")


def write_page(page: Path, rows: list[dict[str, Any]]) -> None:
    before, rest = page.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    tables = ["f32, against PyTorch's f32:", "", *table(rows, "f32"), "",
              "bf16, against the same weights and inputs in f32, as is PyTorch's bf16:", "", *table(rows, "bf16")]
    page.write_text("\n".join([before + MARKS[0], *tables, MARKS[1] + after]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", help="names, comma separated (default: all)")
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--shapes", default="static,dynamic")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=Path("build/accuracy.json"))
    parser.add_argument("--page", type=Path, help="a page whose table between the marks is replaced")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    names = chosen(options.models, tuple(zoo.ZOO)) if options.models else list(zoo.ZOO)
    rows = json.loads(options.results.read_text()) if options.results.exists() else []
    for name in names:
        for dtype in chosen(options.dtypes, tuple(TORCH_DTYPES)):
            if dtype != "f16" and dtype not in zoo.ZOO[name].dtypes:
                continue
            with tempfile.TemporaryDirectory() as folder:
                for row in measure(name, dtype, chosen(options.forms, FORMS),
                                   chosen(options.shapes, ("static", "dynamic")), options.device, Path(folder)):
                    print(f"{'ok' if row['ok'] else 'FAILED':6} {name} {row['form']} {row['shapes']} {dtype}: {describe(row)}",
                          flush=True)
                    rows = sorted([r for r in rows if key(r) != key(row)] + [row], key=key)
                    options.results.parent.mkdir(parents=True, exist_ok=True)
                    options.results.write_text(json.dumps(rows, indent=1))
    if options.page:
        write_page(options.page, rows)
    sys.exit(0 if all(row["ok"] for row in rows) else 1)


if __name__ == "__main__":
    main()
