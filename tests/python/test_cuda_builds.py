"""Engines for GPUs, built where there is none: whole models for sm_90, and one for every target."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
import zoo

import headrace as hr
from headrace import _core

MODELS = ["mlp", "resnet18", "resnet50", "minilm", "bert_base", "vit_b_16", "llama_small"]
CLI = os.environ.get("HEADRACE_CLI", "")


@pytest.fixture(scope="module", autouse=True)
def _cuda_is_built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    hr.export(torch.nn.Linear(2, 2).eval(), (torch.zeros(1, 2),), path=folder / "m.pt2")
    try:
        _core.compile_archive(folder / "m.pt2", folder / "m.engine", device="cuda:sm_90")
    except (RuntimeError, ValueError) as error:
        pytest.skip(str(error))


def archive_of(name: str, folder: Path, dtype: torch.dtype) -> Path:
    torch.manual_seed(20)
    model = zoo.ZOO[name].make()
    example = {k: v.to(dtype) if v.is_floating_point() else v for k, v in model.example.items()}
    archive = folder / f"{name}.pt2"
    hr.export(model.module.eval().to(dtype), kwargs=example, path=archive, dynamic_shapes=zoo.dynamic_shapes(model))
    return archive


def check_build(archive: Path, target: str) -> None:
    engine = archive.with_suffix(f".{target}.engine")
    report = _core.compile_archive(archive, engine, device=f"cuda:{target}")
    assert report.steps > 0 and report.warnings == []
    if CLI:
        subprocess.run([CLI, "verify", engine], check=True, capture_output=True)
        text = subprocess.run([CLI, "inspect", engine], check=True, capture_output=True, text=True).stdout
        assert f"cuda {target}" in text, text
    engine.unlink()


@pytest.mark.parametrize("name", MODELS)
def test_models_are_built_for_sm_90(tmp_path, name):
    check_build(archive_of(name, tmp_path, torch.float16), "sm_90")


@pytest.mark.parametrize("target", ["sm_80", "sm_86", "sm_89"])
def test_a_model_is_built_for_every_target(tmp_path, target):
    check_build(archive_of("bert_small", tmp_path, torch.bfloat16), target)
