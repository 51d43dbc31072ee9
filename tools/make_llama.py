#!/usr/bin/env python3
"""Writes an export of Llama in TinyLlama's shape (1.1 B weights, bf16, 2.2 GB), seeded, with a dynamic sequence."""

import argparse

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPE = dict(vocab_size=32000, hidden_size=2048, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4,
             intermediate_size=5632, max_position_embeddings=2048)


class Logits(torch.nn.Module):
    """The model with tokens in and logits out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids).logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=SHAPE["num_hidden_layers"])
    arguments = parser.parse_args()
    import headrace

    torch.manual_seed(arguments.seed)
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(**(SHAPE | {"num_hidden_layers": arguments.layers}), use_cache=False, attn_implementation="sdpa")
    model = Logits(LlamaForCausalLM(config)).eval()
    headrace.export(model, (torch.ones(1, 8, dtype=torch.long),), path=arguments.path,
                    dynamic_shapes={"input_ids": {1: torch.export.Dim("sequence", min=2, max=128)}})


if __name__ == "__main__":
    main()
