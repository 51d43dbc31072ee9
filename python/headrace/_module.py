"""The modules that compile() and load() give."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree

from . import _core, _specs
from ._options import TUNING_SECONDS

ALL_RESIDENT = 2**63 - 1  # as a weight budget: more than there can be, which is taken as all


def _tell(tuning: _core.TuningReport) -> None:
    if text := str(tuning):
        logging.getLogger("headrace").info("%s", text)
    for warning in tuning.warnings:
        warnings.warn(warning, stacklevel=4)


class EngineModule(torch.nn.Module):
    """One engine: flat inputs in, a tuple of outputs out.

    Parameters
    ----------
    path : the engine file; it stays open, and must stay, while the module lives
    weight_streaming : whether budgets may be set; without it all weights are resident
    folder : where the file lies in a temporary folder, the owner of that
    device : "cuda:1" to choose among GPUs; by default the first that the engine was compiled for
    model : the archive to pack the weights again from, where need be; by default the engine's name with .pt2
    tuning_seconds, deterministic : on a GPU, how kernels are chosen; as `headrace.compile` has them
    pool : of arena and scratch, with other modules
    """

    def __init__(self, path: Path, weight_streaming: bool, threads: int = 0, memory_limit: int | None = None,
                 folder: tempfile.TemporaryDirectory | None = None, device: str = "",
                 weight_budget: int | None = None, model: Path | None = None, tuning_seconds: float = TUNING_SECONDS,
                 deterministic: bool = False, pool: _core.Pool | None = None) -> None:
        super().__init__()
        self.weight_streaming = weight_streaming
        self._folder = folder
        self.engine = _core.Engine(path, weight_budget=weight_budget if weight_streaming else ALL_RESIDENT, threads=threads,
                                   memory_limit=memory_limit, device=device, model=model,
                                   tuning_seconds=tuning_seconds, deterministic=deterministic, pool=pool)
        _tell(self.engine.tuning)
        self.budget = weight_budget  # as asked for; None: automatic

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        return self.engine.run(inputs)

    def get_streamable_device_memory_budget(self) -> int:
        """Bytes of weights that a budget can leave in the file; 0 without weight streaming."""
        return self.engine.streamable if self.weight_streaming else 0

    def get_automatic_device_memory_budget(self) -> int:
        return self.engine.automatic_weight_budget if self.weight_streaming else 0

    def get_device_memory_budget(self) -> int:
        return self.engine.weight_budget if self.weight_streaming else 0

    def set_device_memory_budget(self, budget: int | None) -> None:
        """In bytes; None: automatic. Takes effect before the next run.

        Raises
        ------
        RuntimeError
            The module was compiled without weight streaming.
        """
        if not self.weight_streaming:
            raise RuntimeError("the module was compiled without weight streaming, so it has no weight budget; "
                               "compile it with enable_weight_streaming=True")
        self.engine.set_weight_budget(budget)
        self.budget = budget

    def extra_repr(self) -> str:
        return f"{self.engine.device}, {len(self.engine.inputs)} inputs, {len(self.engine.outputs)} outputs"


class CompiledModule(torch.nn.Module):
    """A compiled model, called as the exported one: same arguments, same result, PyTorch tensors in and out.

    Tensors go in and come out without a copy. Calls from several threads run at the same time.
    """

    def __init__(self, engine: EngineModule, in_spec: pytree.TreeSpec | None = None,
                 out_spec: pytree.TreeSpec | None = None) -> None:
        super().__init__()
        self._run_on_acc_0 = engine
        native = engine.engine
        self._run = native.run
        ports = native.inputs
        in_spec = in_spec or _specs.load_spec(native.in_spec)
        if in_spec is None:  # an engine of a graph without a call: its inputs by position
            in_spec = pytree.tree_structure((tuple(range(len(ports))), {}))
        self._arguments = _specs.Arguments(in_spec, [port.name for port in ports])
        self._only_positional = self._arguments.only_positional
        self._count = len(ports)
        self._constants = [(i, p.name, json.loads(p.constant)) for i, p in enumerate(ports) if p.constant]
        self._single = (out_spec or _specs.load_spec(native.out_spec) or pytree.treespec_tuple([])).is_leaf()
        self._result = _specs.result_maker(out_spec or _specs.load_spec(native.out_spec))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or not self._only_positional or len(args) != self._count:
            args = self._arguments.flatten(args, kwargs)
        if self._constants:
            self._check_constants(args)
        outputs = self._run(args)
        return outputs[0] if self._single else self._result(outputs)

    def _check_constants(self, values: Any) -> None:
        for i, name, exported in self._constants:
            if type(values[i]) is not type(exported) or values[i] != exported:
                raise ValueError(f"'{name}' is {values[i]!r}, but the model was exported with {exported!r}, which is part of "
                                 "the engine; export it again for another value")

    @property
    def engine(self) -> _core.Engine:
        return self._run_on_acc_0.engine

    @property
    def tuning(self) -> _core.TuningReport:
        """On a GPU: the kernels that loading has tuned or knew."""
        return self.engine.tuning

    def memory(self) -> _core.MemoryReport:
        """Memory held, and what the last run moved."""
        return self.engine.memory()

    def report(self) -> str:
        """The same in one line for people."""
        return self.engine.report()
