"""Export the models of zoo.py as .pt2 archives, with inputs and PyTorch's outputs beside each.

    ./dev python tests/models/export_models.py OUT [--models mlp,bert_small | --full] [--forms raw,core,kept]
                                                   [--shapes static,dynamic] [--dtypes f32,bf16]

writes, for each model, form, kind of shapes and dtype,

    OUT/<model>.<form>.<shapes>.<dtype>.pt2           the archive
    OUT/<model>.<shapes>.<dtype>.<case>.inputs.npz    forward's arguments by name; case 0 is the exported example
    OUT/<model>.<shapes>.<dtype>.<case>.outputs.npz   PyTorch's results by output name

and OUT/index.json, which lists them all. Forms: "raw" is torch.export.export's own, "core" went through
run_decompositions() with the default table, "kept" is what headrace.export writes: that table less the ops that Headrace
takes whole. bf16 arrays are stored as float32; "bf16" in index.json lists their names.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zoo

from headrace._compile import decomposition_table

FORMS = ("raw", "core", "kept")

def decompose(program: torch.export.ExportedProgram, form: str) -> torch.export.ExportedProgram:
    if form == "core":
        return program.run_decompositions()
    if form == "kept":
        return program.run_decompositions(decomposition_table())
    return program


def named_outputs(result: Any) -> dict[str, torch.Tensor]:
    """By the names that Headrace gives: keys where the result has them, else "output", "output_1", …"""
    if isinstance(result, torch.Tensor):
        return {"output": result}
    if isinstance(result, dict):
        return {k: v for k, v in result.items() if v is not None}
    return {"output" if i == 0 else f"output_{i}": v for i, v in enumerate(result)}


def save_arrays(path: Path, tensors: dict[str, torch.Tensor]) -> list[str]:
    """Returns the names of those that were bf16."""
    bf16 = [k for k, v in tensors.items() if v.dtype == torch.bfloat16]
    np.savez(path, **{k: (v.float() if k in bf16 else v).detach().contiguous().numpy() for k, v in tensors.items()})
    return bf16


def write_cases(out: Path, stem: str, module: torch.nn.Module, cases: list[dict[str, torch.Tensor]]) -> list[dict]:
    written = []
    for i, case in enumerate(cases):
        inputs, outputs = f"{stem}.{i}.inputs.npz", f"{stem}.{i}.outputs.npz"
        with torch.no_grad():
            result = named_outputs(module(**case))
        bf16 = save_arrays(out / inputs, case) + save_arrays(out / outputs, result)
        written.append({"inputs": inputs, "outputs": outputs, "bf16": bf16})
    return written


def export_model(out: Path, name: str, forms: list[str], shapes: list[str], dtypes: list[str]) -> list[dict]:
    entries = []
    for dtype in dtypes:
        torch.manual_seed(20)
        m = zoo.ZOO[name].make()
        module = m.module.eval().to(torch.bfloat16 if dtype == "bf16" else torch.float32)

        def typed(case: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {k: v.bfloat16() if dtype == "bf16" and v.is_floating_point() else v for k, v in case.items()}

        for shape in shapes:
            example = typed(m.example)
            dynamic = zoo.dynamic_shapes(m) if shape == "dynamic" else None
            program = torch.export.export(module, (), example, dynamic_shapes=dynamic)
            stem = f"{name}.{shape}.{dtype}"
            cases = [example] + ([typed(c) for c in m.cases] if shape == "dynamic" else [])
            files = write_cases(out, stem, module, cases)
            for form in forms:
                archive = f"{name}.{form}.{shape}.{dtype}.pt2"
                torch.export.save(decompose(program, form), out / archive)
                entries.append({"archive": archive, "model": name, "form": form, "shapes": shape, "dtype": dtype,
                                "cases": files})
                print(f"wrote {archive}", flush=True)
    return entries


def chosen(text: str, allowed: tuple[str, ...]) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in allowed:
            sys.exit(f"unknown name {name!r}; known are {', '.join(allowed)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="folder to write into")
    parser.add_argument("--list", action="store_true", help="list the models")
    parser.add_argument("--models", help="names, comma separated (default: all small ones)")
    parser.add_argument("--full", action="store_true", help="the full-size models too")
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--shapes", default="static,dynamic")
    parser.add_argument("--dtypes", default="f32,bf16")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name}{'  (full size)' if entry.full else ''}" for name, entry in zoo.ZOO.items()))
        return
    if options.out is None:
        parser.error("OUT is missing: the folder to write into")
    warnings.filterwarnings("ignore")
    default = [name for name, entry in zoo.ZOO.items() if options.full or not entry.full]
    models = chosen(options.models, tuple(zoo.ZOO)) if options.models else default
    options.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for name in models:
        entries += export_model(options.out, name, chosen(options.forms, FORMS),
                                chosen(options.shapes, ("static", "dynamic")), chosen(options.dtypes, ("f32", "bf16")))
    index = options.out / "index.json"
    known = json.loads(index.read_text()) if index.exists() else []
    new = {e["archive"] for e in entries}
    index.write_text(json.dumps([e for e in known if e["archive"] not in new] + entries, indent=1))


if __name__ == "__main__":
    main()
