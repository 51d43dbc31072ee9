"""A language model on a GPU, its weights streamed: latency under several weight budgets.

    python examples/weight_streaming.py [--layers 32] [--runs 2] [--tokens 256]

Makes a model of Llama 2 7B's configuration with random fp16 weights, compiles it with weight streaming and generates
tokens greedily, the whole context at each step, so that every call has a length of its own. Coming from torch_tensorrt,
change the import: `import headrace as torch_tensorrt` runs the same calls.
"""

from __future__ import annotations

import argparse
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import headrace

DEVICE = torch.device("cuda:0")
PROMPT = 128


class CausalLM(torch.nn.Module):
    """Tokens and their positions in, logits out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits


def make_model(layers: int) -> torch.nn.Module:
    """Its weights on the CPU; the GPU makes random numbers faster."""
    torch.manual_seed(0)
    config = LlamaConfig(num_hidden_layers=layers, use_cache=False, attn_implementation="sdpa")  # its defaults are Llama 2 7B
    torch.set_default_dtype(torch.float16)
    try:
        with DEVICE:
            model = CausalLM(LlamaForCausalLM(config)).eval()
        model = model.cpu()
        torch.cuda.empty_cache()
        return model
    finally:
        torch.set_default_dtype(torch.float32)


def export(model: torch.nn.Module, longest: int, example: int = PROMPT) -> torch.export.ExportedProgram:
    """`example`: the length that kernels are chosen for."""
    ids = torch.randint(0, 32000, (1, example))
    positions = torch.arange(example).unsqueeze(0)
    sequence = torch.export.Dim("sequence", min=2, max=longest)
    return headrace.export(model, (ids,), {"position_ids": positions},
                           dynamic_shapes={"input_ids": {1: sequence}, "position_ids": {1: sequence}})


def generate(module: torch.nn.Module, ids: torch.Tensor, tokens: int) -> torch.Tensor:
    while ids.shape[1] < tokens:
        positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        logits = module(ids, position_ids=positions)
        ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return ids


def mean_latency(module: torch.nn.Module, ids: torch.Tensor, tokens: int, runs: int) -> float:
    """Of one token, in milliseconds."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(runs):
        generate(module, ids, tokens)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / (runs * (tokens - ids.shape[1])) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256, help="generate up to so many, from 128")
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()

    program = export(make_model(options.layers), options.tokens)
    ids = torch.randint(0, 32000, (1, PROMPT), device=DEVICE)
    start = time.perf_counter()
    module = headrace.dynamo.compile(program, inputs=[ids], enabled_precisions={torch.float32}, truncate_double=True,
                                     device=DEVICE, use_explicit_typing=True, enable_weight_streaming=True)
    print(f"compiled in {time.perf_counter() - start:.1f} s")
    del program

    def report(label: str, budget: int, total: int) -> None:
        generate(module, ids, options.tokens)  # each length once: captured from then on
        latency = mean_latency(module, ids, options.tokens, options.runs)
        print(f"{label:<24} {100 * budget / total:5.1f} %  {budget:>14,} of {total:,} bytes  {latency:9.2f} ms a token",
              flush=True)

    # A budget through the object: it stays until the next one.
    weights = headrace.runtime.weight_streaming(module)
    total = weights.total_device_budget
    report("default", weights.device_budget, total)
    weights.device_budget = weights.get_automatic_weight_streaming_budget()
    report("automatic", weights.device_budget, total)
    weights.device_budget = total // 10
    report("10 %", weights.device_budget, total)

    # As a context manager: the budget from before comes back at the end.
    with headrace.runtime.weight_streaming(module) as weights:
        weights.device_budget = total // 10
        report("10 %, in a context", weights.device_budget, total)
    print(module.report())


if __name__ == "__main__":
    main()
