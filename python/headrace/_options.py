"""The options of compile(): Headrace's own, and those that torch_tensorrt has."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

# torch_tensorrt's options that change speed or building alone, with their defaults there: they may be left out of
# account. Another value gives one warning.
HARMLESS: dict[str, Any] = {
    "assume_dynamic_shape_support": False, "sparse_weights": False, "engine_capability": None,
    "debug": False, "num_avg_timing_iters": 1, "workspace_size": 0, "dla_sram_size": 1048576,
    "dla_local_dram_size": 1073741824, "dla_global_dram_size": 536870912, "truncate_double": False, "min_block_size": 5,
    "max_aux_streams": None, "version_compatible": False, "optimization_level": None, "use_python_runtime": False,
    "use_fast_partitioner": True, "enable_experimental_decompositions": False, "timing_cache_path": None,
    "lazy_engine_init": False, "cache_built_engines": False, "reuse_cached_engines": False, "engine_cache_dir": None,
    "engine_cache_size": None, "use_fp32_acc": False, "immutable_weights": True, "tiling_optimization_level": "none",
    "l2_limit_for_tiling": -1, "offload_module_to_cpu": False, "pass_through_build_failures": False,
    "require_full_compilation": False, "decompose_attention": False, "attn_bias_is_causal": True,
    "dynamically_allocate_resources": False,
}
# Those whose effect a user would miss, with the values that ask for nothing.
NOT_BUILT: dict[str, tuple[Any, ...]] = {
    "torch_executed_ops": (None, set(), [], ()), "torch_executed_modules": (None, set(), [], ()), "dryrun": (None, False),
    "hardware_compatible": (None, False), "custom_engine_cache": (None,), "refit_identical_engine_weights": (None, False),
    "strip_engine_weights": (None, False), "use_distributed_mode_trace": (None, False), "enable_autocast": (None, False),
    "autocast_low_precision_type": (None,), "autocast_excluded_nodes": (None, set(), []),
    "autocast_excluded_ops": (None, set(), []), "autocast_max_output_threshold": (None, 512),
    "autocast_max_depth_of_reduction": (None,), "autocast_calibration_dataloader": (None,),
    "enable_resource_partitioning": (None, False), "cpu_memory_budget": (None,), "gpu_memory_budget": (None,),
}
# A model in these types may be computed in others where the options allow it; nothing demands that.
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
TUNING_SECONDS = 10.0  # unless asked otherwise


@dataclass
class Options:
    """Those that are honoured."""

    device: Any = None  # None: where the module is
    enable_weight_streaming: bool = False
    enabled_precisions: Any = None
    use_explicit_typing: bool = False
    disable_tf32: bool = False
    # Headrace's own.
    precision: str | None = None  # "as-is", "fp32", "bf16", "fp16"
    engine_path: str | Path | None = None  # None: in a temporary folder, removed with the module
    threads: int = 0
    memory_limit: int | None = None
    pool: Any = None  # a runtime.Pool
    tuning_seconds: float = TUNING_SECONDS
    deterministic: bool = False
    passes_off: list[str] = field(default_factory=list)
    verify_passes: bool = False
    trace: str | Path | None = None

    def chosen_precision(self) -> str:
        """Of floats in the engine. Types follow the model, unless a smaller one is enabled or one is asked for."""
        if self.precision is not None:
            return self.precision
        if self.use_explicit_typing or self.enabled_precisions is None:
            return "as-is"
        given = self.enabled_precisions
        names = {PRECISIONS.get(p, str(p).lower().split(".")[-1])
                 for p in (given if isinstance(given, (set, frozenset, list, tuple)) else [given])}
        aliases = {"f32": "fp32", "float": "fp32", "float32": "fp32", "half": "fp16", "float16": "fp16", "f16": "fp16",
                   "bfloat16": "bf16"}
        names = {aliases.get(n, n) for n in names}
        if unknown := sorted(names - set(PRECISIONS.values())):
            raise NotImplementedError(f"enabled_precisions: {', '.join(unknown)} is not built yet; fp32, bf16 and fp16 are")
        return next((name for name in ("fp16", "bf16") if name in names), "as-is")


def parse(function: str, given: dict[str, Any], others: set[str]) -> Options:
    """Sorts the keyword arguments that a caller gave. `others` are the names that `function` itself takes.

    Raises
    ------
    TypeError
        An option is unknown; the message has the nearest name.
    NotImplementedError
        One asks for something that is not built yet.
    """
    own = set(Options.__dataclass_fields__)
    ignored = []
    for name, value in given.items():
        if name in own:
            continue
        if name in HARMLESS:
            if value != HARMLESS[name] and value is not None:
                ignored.append(name)
        elif name in NOT_BUILT:
            if not any(type(value) is type(nothing) and value == nothing for nothing in NOT_BUILT[name]):
                raise NotImplementedError(f"{function}(): {name}={value!r} is not built yet; leave it out")
        else:
            near = difflib.get_close_matches(name, own | set(HARMLESS) | set(NOT_BUILT) | others, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise TypeError(f"{function}() got an unknown option '{name}'{hint}")
    if ignored:
        # require_full_compilation holds by itself: nothing is left to PyTorch.
        named = ", ".join(n for n in ignored if n != "require_full_compilation")
        if named:
            warnings.warn(f"{function}(): Headrace has no use for these options and goes on without them: {named}",
                          stacklevel=3)
    return Options(**{name: value for name, value in given.items() if name in own})
