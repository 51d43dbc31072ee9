"""Latency of whole models on a GPU beside PyTorch's compiler (inductor with CUDA graphs), in the same run.

    ./dev gpu-bench latency [--models bert,resnet50] [--rounds N] [--json FILE]

GPU time: CUDA events around many calls in a row, over their number. Wall: a call and a synchronisation, the median of
many. Ours and PyTorch's run in turn, round after round; the best round of each counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
import transformers

import headrace as hr
from gpu_timing import gpu_ms


class Bert(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bert = transformers.BertModel(transformers.BertConfig(attn_implementation="sdpa"))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state


def tokens(batch: int, length: int) -> tuple[torch.Tensor, ...]:
    ids = torch.randint(0, 30000, (batch, length))
    return ids, torch.ones_like(ids)


def image(batch: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    return (torch.randn(batch, 3, 224, 224, dtype=dtype),)


# name -> module, inputs, dtype, must and aim as shares of PyTorch's GPU time
MODELS: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[torch.dtype], tuple[torch.Tensor, ...]], torch.dtype, float, float]] = {
    "bert-base 1x128": (Bert, lambda _: tokens(1, 128), torch.float16, 0.70, 0.55),
    "bert-base 32x128": (Bert, lambda _: tokens(32, 128), torch.float16, 0.80, 0.65),
    "resnet50 b1": (torchvision.models.resnet50, lambda dtype: image(1, dtype), torch.float16, 0.80, 0.60),
    "resnet18 b1": (torchvision.models.resnet18, lambda dtype: image(1, dtype), torch.float16, 0.80, 0.60),
    "resnet50 b100": (torchvision.models.resnet50, lambda dtype: image(100, dtype), torch.float16, 0.80, 0.65),
    "resnet18 b100": (torchvision.models.resnet18, lambda dtype: image(100, dtype), torch.float16, 0.80, 0.65),
    "resnet18 b100 fp32": (torchvision.models.resnet18, lambda dtype: image(100, dtype), torch.float32, 0.80, 0.65),
}


def wall_ms(call: Callable[[], object], calls: int = 50) -> float:
    times = []
    for _ in range(calls):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3


def measure(name: str, rounds: int) -> dict[str, object]:
    make, make_inputs, dtype, must, aim = MODELS[name]
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    module, inputs = make().eval().to(dtype), make_inputs(dtype)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        archive, engine = Path(folder) / "model.pt2", Path(folder) / "model.engine"
        hr.export(module, inputs, path=archive)
        start = time.perf_counter()
        hr._core.compile_archive(archive, engine, device="cuda", allow_tf32=True)
        compile_s = time.perf_counter() - start
        start = time.perf_counter()
        ours = hr.load(engine)
        module, inputs = module.cuda(), tuple(x.cuda() for x in inputs)
        if "resnet" in name:
            module = module.to(memory_format=torch.channels_last)
        got = ours(*inputs)
        torch.cuda.synchronize()
        load_s = time.perf_counter() - start
        torch._dynamo.reset()
        start = time.perf_counter()
        theirs = torch.compile(module, mode="reduce-overhead")
        want = theirs(*inputs).clone()
        for _ in range(3):
            theirs(*inputs)
            ours(*inputs)
        torch.cuda.synchronize()
        their_compile_s = time.perf_counter() - start
        error = ((got.float() - want.float()).abs().max() / want.float().abs().max()).item()
        row: dict[str, object] = {"model": name, "error": error, "compile_s": compile_s, "load_s": load_s,
                                  "pytorch_compile_s": their_compile_s, "must": must, "aim": aim}
        for label, call in (("headrace", lambda: ours(*inputs)), ("pytorch", lambda: theirs(*inputs))) * rounds:
            for kind, timer in (("gpu", gpu_ms), ("wall", wall_ms)):
                row[f"{label}_{kind}_ms"] = min(row.get(f"{label}_{kind}_ms", 1e9), timer(call))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", default="", help="texts, comma separated: only models whose name holds one")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print(f"{'model':<20} {'GPU ms':>8} {'PyTorch':>8} {'ratio':>6} {'must':>5} {'aim':>5} {'wall ms':>8} {'PyTorch':>8} {'ratio':>6} "
          f"{'compile':>8} {'load':>6} {'PyTorch':>8} {'error':>8}")
    rows = []
    for name in MODELS:
        if not any(text in name for text in arguments.models.split(",")):
            continue
        try:
            row = measure(name, arguments.rounds)
        except Exception as failure:  # one model must not hide the others' figures
            print(f"{name:<20} failed: {failure}")
            continue
        rows.append(row)
        print(f"{name:<20} {row['headrace_gpu_ms']:8.3f} {row['pytorch_gpu_ms']:8.3f} "
              f"{row['headrace_gpu_ms'] / row['pytorch_gpu_ms']:6.2f} {row['must']:5.2f} {row['aim']:5.2f} "
              f"{row['headrace_wall_ms']:8.3f} {row['pytorch_wall_ms']:8.3f} "
              f"{row['headrace_wall_ms'] / row['pytorch_wall_ms']:6.2f} {row['compile_s']:8.2f} {row['load_s']:6.2f} "
              f"{row['pytorch_compile_s']:8.2f} {row['error']:8.1e}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
