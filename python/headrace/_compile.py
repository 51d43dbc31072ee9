"""compile() and export(): from PyTorch to an archive, from the archive to an engine."""

from __future__ import annotations

import inspect
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch.export import Dim, ExportedProgram

from . import _core
from ._inputs import Input, device_name
from ._module import CompiledModule, EngineModule
from ._options import Options, parse

# Ops that Headrace takes whole: all overloads of these names stay as they are when a program is decomposed.
KEPT = frozenset("""scaled_dot_product_attention linear matmul conv1d conv2d conv3d convolution conv_transpose1d
conv_transpose2d conv_transpose3d layer_norm native_layer_norm rms_norm _fused_rms_norm group_norm native_group_norm
instance_norm batch_norm native_batch_norm _native_batch_norm_legit_no_training gelu silu softmax _softmax _safe_softmax
log_softmax _log_softmax embedding upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d
upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa pixel_shuffle
pixel_unshuffle""".split())


def decomposition_table() -> dict[Any, Any]:
    """PyTorch's default decompositions less the ops that Headrace takes whole."""
    table = torch.export.default_decompositions()
    for op in list(table.keys()):
        name = op.name() if callable(getattr(op, "name", None)) else str(op)
        if name.split("::")[-1].split(".")[0] in KEPT:
            table.pop(op)
    return table


def export(model: torch.nn.Module, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None, *,
           path: str | Path | None = None, dynamic_shapes: Any = None, strict: bool = False) -> ExportedProgram:
    """Exports a model as Headrace takes it best: functional, with composite ops whole.

    Parameters
    ----------
    model : in eval mode; its weights stay where they are
    args, kwargs : example arguments of a call
    path : where given, the archive (.pt2) is written there, ready for `headrace compile`
    dynamic_shapes, strict : as torch.export.export takes them

    Source: ``torch.export.export`` and ``ExportedProgram.run_decompositions``.
    """
    with torch.no_grad():
        program = torch.export.export(model, tuple(args), kwargs, dynamic_shapes=dynamic_shapes, strict=strict)
        program = program.run_decompositions(decomposition_table())
    if path is not None:
        torch.export.save(program, Path(path))
    return program


def compile(module: torch.nn.Module | ExportedProgram, inputs: Any = None, *, ir: str = "default", arg_inputs: Any = None,
            kwarg_inputs: dict[str, Any] | None = None, **options: Any) -> CompiledModule:
    """Compiles a model into an engine, and gives a module that runs it.

    Parameters
    ----------
    module : a model in eval mode, or a program that torch.export made of one
    inputs, arg_inputs : positional inputs, one or the other: tensors or `Input`s, also nested as the model takes them
    kwarg_inputs : keyword inputs
    device : torch.device, name, index or `Device`; by default the one that the model is on
    enable_weight_streaming : whether budgets of `headrace.runtime.weight_streaming` may be set
    enabled_precisions : torch.float16 (or bfloat16) in it computes floats in fp16 (bf16), unless use_explicit_typing is set
    disable_tf32 : on a GPU, compute products of f32 exactly; by default they may round their operands to TF32
    precision : "as-is", "fp32", "bf16" or "fp16"; goes before enabled_precisions
    engine_path : where the engine file goes; by default into a temporary folder that lives as long as the module
    tuning_seconds : on a GPU, how long kernels are tuned at most that no earlier load has tuned; 0: not at all
    deterministic : on a GPU, compute the same in every load, to the bit: no kernel is chosen by its time
    threads, memory_limit : of the engine's runs; by default as many as there are CPUs, and no limit (bytes)
    pool : a `headrace.runtime.Pool`, where modules that never run at once share their arena and scratch

    torch_tensorrt's other options are known: harmless ones are accepted with a warning, see docs/python_api.md.

    Raises
    ------
    TypeError
        An option is unknown, or inputs are missing.
    NotImplementedError
        The model has ops that are not supported (all are listed), or an option is not built yet.
    ValueError
        An input or option has a wrong value.
    """
    parsed = parse("compile", options, {"inputs", "arg_inputs", "kwarg_inputs", "ir"})
    if ir not in ("default", "dynamo", "exported_program"):
        raise NotImplementedError(f"compile(): ir={ir!r} is not built yet; leave it out")
    args = _positional("compile", inputs, arg_inputs)
    return _compile(module, args, kwarg_inputs, parsed)


def dynamo_compile(exported_program: ExportedProgram, inputs: Any = None, *, arg_inputs: Any = None,
                   kwarg_inputs: dict[str, Any] | None = None, **options: Any) -> CompiledModule:
    """Compiles a program that torch.export made; see `headrace.compile` for the options.

    The ranges of dynamic sizes come from the program, not from `inputs`, unless those are `Input`s with ranges.
    """
    if not isinstance(exported_program, ExportedProgram):
        raise TypeError(f"dynamo.compile() takes an ExportedProgram, found {type(exported_program).__name__}; "
                        "headrace.compile() takes modules")
    parsed = parse("dynamo.compile", options, {"inputs", "arg_inputs", "kwarg_inputs"})
    return _compile(exported_program, _positional("dynamo.compile", inputs, arg_inputs), kwarg_inputs, parsed)


def _positional(function: str, inputs: Any, arg_inputs: Any) -> tuple[Any, ...] | None:
    if inputs is not None and arg_inputs is not None:
        raise TypeError(f"{function}() takes inputs or arg_inputs, not both")
    given = inputs if inputs is not None else arg_inputs
    if given is None:
        return None
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _compile(module: torch.nn.Module | ExportedProgram, args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None,
             options: Options) -> CompiledModule:
    if not isinstance(module, (torch.nn.Module, ExportedProgram)):
        raise TypeError(f"compile() takes a torch.nn.Module or an ExportedProgram, found {type(module).__name__}")
    device = device_name(options.device if options.device is not None else _device_of(module))
    precision = options.chosen_precision()
    if isinstance(module, ExportedProgram):
        program = module
        if "ATEN" not in {verifier.dialect for verifier in module.verifiers}:
            with torch.no_grad():
                program = module.run_decompositions(decomposition_table())
    else:
        if args is None and kwargs is None:
            raise TypeError("compile() of a module needs example inputs: inputs=, arg_inputs= or kwarg_inputs=")
        program = _export(module, args or (), kwargs or {})
    profile = _profile(program, args or (), kwargs or {})
    if isinstance(module, torch.nn.Module):
        _widen(program, profile)

    folder = tempfile.TemporaryDirectory(prefix="headrace-")
    try:
        path = Path(options.engine_path or Path(folder.name) / "model.engine")
        archive = Path(folder.name) / "model.pt2"
        torch.export.save(program, archive)
        report = _core.compile_archive(archive, path, device=device, precision=precision, profile=profile,
                                       passes_off=list(options.passes_off), verify_passes=options.verify_passes,
                                       trace=options.trace, allow_tf32=not options.disable_tf32)
        for warning in report.warnings:
            warnings.warn(f"compile(): {warning}", stacklevel=3)
        archive.unlink()
        engine = EngineModule(path, options.enable_weight_streaming, options.threads, options.memory_limit, folder, device,
                              tuning_seconds=options.tuning_seconds, deterministic=options.deterministic,
                              pool=options.pool)
    except BaseException:
        folder.cleanup()
        raise
    if options.engine_path is not None:
        folder.cleanup()
    return CompiledModule(engine, program.call_spec.in_spec, program.call_spec.out_spec)


def _device_of(module: torch.nn.Module | ExportedProgram) -> torch.device:
    tensors = module.state_dict.values() if isinstance(module, ExportedProgram) else module.parameters()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _is_input(value: Any) -> bool:
    return isinstance(value, Input)


def _export(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    def example(value: Any) -> Any:
        return value.example() if _is_input(value) else value

    def dims(value: Any) -> Any:
        if not _is_input(value):
            return None
        return {axis: Dim.DYNAMIC(min=value.min_shape[axis], max=value.max_shape[axis]) for axis in value.dynamic_axes}

    example_args, example_kwargs = pytree.tree_map(example, (args, kwargs), is_leaf=_is_input)
    dynamic = None
    if any(_is_input(v) and v.dynamic_axes for v in pytree.tree_leaves((args, kwargs), is_leaf=_is_input)):
        bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        dynamic = {name: pytree.tree_map(dims, value, is_leaf=_is_input) for name, value in bound.items()}
    return export(module, example_args, example_kwargs, dynamic_shapes=dynamic)


def _profile(program: ExportedProgram, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[_core.ProfileRange]:
    """The ranges that `Input`s give to the program's symbols; those of the program hold for the others."""
    given = pytree.tree_leaves((args, kwargs), is_leaf=_is_input)
    if not any(_is_input(value) and value.dynamic_axes for value in given):
        return []
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = program.graph_signature.user_inputs
    ranges: dict[str, _core.ProfileRange] = {}
    for name, value in zip(names, given):
        if not _is_input(value) or not isinstance(values.get(name), torch.Tensor):
            continue
        for axis in value.dynamic_axes:
            size = values[name].shape[axis]
            if not isinstance(size, torch.SymInt):
                raise ValueError(f"input '{name}' has the static size {int(size)} in axis {axis} of the exported program, but "
                                 f"{value} gives a range; export with dynamic_shapes")
            if size.node.expr.is_symbol:
                symbol = str(size.node.expr)
                ranges[symbol] = _core.ProfileRange(symbol, value.min_shape[axis], value.opt_shape[axis],
                                                    value.max_shape[axis])
    return list(ranges.values())


def _widen(program: ExportedProgram, profile: list[_core.ProfileRange]) -> None:
    """Lets sizes be 1 where an `Input` says so.

    PyTorch traces every dynamic size as 2 or more, and goes below only in the ranges of named dims; but two dims of one
    size need one name, which `Input`s do not have.
    """
    wanted = {p.name: p for p in profile}
    for symbol, known in list(program.range_constraints.items()):
        if str(symbol) in wanted and wanted[str(symbol)].min < known.lower == 2:
            program.range_constraints[symbol] = type(known)(wanted[str(symbol)].min, known.upper)
