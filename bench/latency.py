"""Latency of whole models, resident and streamed, beside OpenVINO's and PyTorch's in the same run.

    ./dev bench latency [--rounds N] [--threads N]

The peers and ours run in turn, round after round, so that a machine whose speed drifts is fair to all; the best call of
each counts. Compile times are from an archive on disk to a file on disk (ours) and to a loaded model (OpenVINO's).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from archives import bert_base, resnet18
from figures import Figure

import headrace as hr

MODELS = {"ResNet-18 1x3x224x224": resnet18, "BERT-base 1x128": bert_base}


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


def measure_model(name: str, folder: Path, rounds: int, threads: int) -> Figure:
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
    note = f"{best['headrace'] * 1e3:.1f} / {best['openvino'] * 1e3:.1f} ms"
    return Figure(f"{name} fp32 latency / OpenVINO", best["headrace"] / best["openvino"], 1.3, 1.0, note=note)


def measure(rounds: int, threads: int) -> list[Figure]:
    torch.set_num_threads(threads)
    figures = []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measure_model(name, Path(folder), rounds, threads))
    return figures
