"""The models that are measured: exported once, kept in build/bench."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench"
CLI = ROOT / "build" / "release" / "bin" / "headrace"


def resnet18() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    import torchvision

    return torchvision.models.resnet18().eval(), (torch.randn(1, 3, 224, 224),)


def bert_base(batch: int = 1) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    import transformers

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel(transformers.BertConfig()).eval()

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = torch.randint(0, 30000, (batch, 128))
    return Hidden().eval(), (ids, torch.ones_like(ids))


def bert_base_8() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    return bert_base(8)


def one_op() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    return torch.nn.ReLU(), (torch.randn(8),)


def archive(name: str) -> Path:
    """build/bench/NAME.pt2: a function's of this module, or the 1.1 B Llama."""
    path = FOLDER / f"{name}.pt2"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    part = FOLDER / f"{name}.part.pt2"
    if name == "llama":
        subprocess.run([sys.executable, ROOT / "tools" / "make_llama.py", part], check=True)
    else:
        import headrace

        torch.manual_seed(0)
        module, inputs = globals()[name]()
        with torch.no_grad():
            headrace.export(module, inputs, path=part)
    os.rename(part, path)
    return path


def engine(name: str) -> Path:
    """The archive compiled by this build, again where the build is newer."""
    path = FOLDER / f"{name}.engine"
    source = archive(name)
    if not path.exists() or path.stat().st_mtime < max(CLI.stat().st_mtime, source.stat().st_mtime):
        subprocess.run([CLI, "compile", source, "-o", path], check=True, stdout=subprocess.DEVNULL)
    return path
