"""What the README shows, run as it stands."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch
from conftest import ROOT, run

BINARY = Path(os.environ.get("HEADRACE_CLI", ROOT / "build" / "dev" / "bin" / "headrace")).resolve()


def block(section: str, language: str) -> str:
    """The first block of code below a heading of the README."""
    page = (ROOT / "README.md").read_text()
    (text,) = re.search(rf"^## {re.escape(section)}$.*?^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL).groups()
    return text


class Text(torch.nn.Module):
    """Takes what a language model takes, and has weights large enough to stream."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(50, 256), torch.nn.Linear(256, 256)

    def forward(self, input_ids):
        return self.head(self.embedding(input_ids))


def export(path):
    torch.export.save(torch.export.export(Text().eval(), (torch.zeros(1, 8, dtype=torch.int64),)), path)


def test_the_cpp_code_compiles_and_runs_against_an_installed_tree(tmp_path):
    run("cmake", "--install", BINARY.parents[1], "--prefix", tmp_path / "prefix")
    lines = block("C++", "cpp").splitlines()
    includes = [line for line in lines if line.startswith("#include")]
    body = [line for line in lines if not line.startswith("#include")]
    (tmp_path / "main.cpp").write_text("\n".join([
        *includes, "#include <iostream>", "int main() {",
        "headrace::Tensor ids = headrace::Tensor::make(headrace::DType::kI64, {1, 8}).value();", *body, "}", ""]))
    libraries = next((tmp_path / "prefix").glob("lib*/**/libheadrace.so")).parent
    run("g++", "-std=c++20", tmp_path / "main.cpp", "-o", tmp_path / "main", "-I", tmp_path / "prefix" / "include",
        "-L", libraries, "-lheadrace", "-lheadrace_runtime", f"-Wl,-rpath,{libraries}")
    export(tmp_path / "llama.pt2")
    assert "resident" in run(tmp_path / "main", cwd=tmp_path)


def test_the_commands_run(tmp_path):
    export(tmp_path / "model.pt2")
    for line in block("Command line", "").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "headrace"
        run(BINARY, *arguments, cwd=tmp_path)


def test_the_python_code_runs():
    pytest.importorskip("headrace")
    names = {"model": Text().eval(), "x": torch.zeros(1, 8, dtype=torch.int64)}
    exec(block("Python", "python"), names)  # noqa: S102  the README's own code
    assert torch.allclose(names["y"], names["model"](names["x"]), atol=1e-5)
