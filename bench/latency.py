"""Latency of whole models, resident and streamed, beside OpenVINO's and PyTorch's in the same run.

    ./dev bench [--rounds N] [--threads N]

The peers and ours run in turn, round after round, so that a machine whose speed drifts is fair to all; the best call of
each counts. Compile times are from an archive on disk to a file on disk (ours) and to a loaded model (OpenVINO's).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
import transformers

import headrace as hr


def resnet18() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    return torchvision.models.resnet18().eval(), (torch.randn(1, 3, 224, 224),)


def bert_base() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel(transformers.BertConfig()).eval()

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = torch.randint(0, 30000, (1, 128))
    return Pooled().eval(), (ids, torch.ones_like(ids))


MODELS = {"resnet18 1x3x224x224": resnet18, "bert-base 1x128": bert_base}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def openvino_peer(program: torch.export.ExportedProgram, inputs: tuple[torch.Tensor, ...],
                  threads: int) -> tuple[Callable[[], object], float]:
    import openvino

    start = time.perf_counter()
    model = openvino.convert_model(program)
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                                     "INFERENCE_PRECISION_HINT": "f32"})
    took = time.perf_counter() - start
    request = compiled.create_infer_request()
    arrays = [tensor.numpy() for tensor in inputs]
    return (lambda: request.infer(arrays)), took


def measure(name: str, folder: Path, rounds: int, threads: int) -> None:
    torch.manual_seed(0)
    module, inputs = MODELS[name]()
    with torch.no_grad():
        program = hr.export(module, inputs, path=folder / "model.pt2")
        start = time.perf_counter()
        ours = hr.compile(program, arg_inputs=list(inputs), device="cpu", enable_weight_streaming=True)
        compile_s = time.perf_counter() - start
        openvino, openvino_compile_s = openvino_peer(torch.export.export(module, inputs), inputs, threads)
        error = (ours(*inputs) - module(*inputs)).abs().max().item()
        best = {"headrace": 1e9, "headrace, budget 0": 1e9, "openvino": 1e9, "pytorch eager": 1e9}
        with hr.runtime.weight_streaming(ours) as weights:
            for _ in range(rounds):
                for label, budget, call in (
                    ("headrace", weights.total_device_budget, lambda: ours(*inputs)),
                    ("headrace, budget 0", 0, lambda: ours(*inputs)),
                    ("openvino", None, openvino),
                    ("pytorch eager", None, lambda: module(*inputs)),
                ):
                    if budget is not None:
                        weights.device_budget = budget
                    call()
                    best[label] = min(best[label], *(seconds(call) for _ in range(3)))
    print(f"{name}   max difference from PyTorch {error:.1e}")
    for label, took in best.items():
        print(f"  {label:<20} {took * 1e3:8.2f} ms   {took / best['openvino']:5.2f} x openvino")
    print(f"  compile              {compile_s:8.2f} s    openvino {openvino_compile_s:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--models", default="", help="only models whose name holds this text")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in MODELS:
        if arguments.models in name:
            with tempfile.TemporaryDirectory() as folder:
                measure(name, Path(folder), arguments.rounds, arguments.threads)


if __name__ == "__main__":
    main()
