from __future__ import annotations

import warnings
from types import TracebackType

import torch

from .._module import EngineModule


class weight_streaming:
    """The weight budget of a compiled module: how many bytes of its weights may stay in memory.

    Usable as an object, or as a context manager, which puts the budget back that was in force before. Results do not
    depend on the budget, to the bit.

    Parameters
    ----------
    module : as headrace.compile() or load() gave it

    Raises
    ------
    TypeError
        `module` has no compiled part.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._engines = [part for part in module.modules() if isinstance(part, EngineModule)]
        if not self._engines:
            raise TypeError("weight_streaming() takes a module compiled by Headrace; "
                            f"{type(module).__name__} has no compiled part")
        self._before = [engine.budget for engine in self._engines]

    @property
    def total_device_budget(self) -> int:
        """Bytes of weights that can be streamed; 0 where the module was compiled without weight streaming."""
        return sum(engine.get_streamable_device_memory_budget() for engine in self._engines)

    @property
    def device_budget(self) -> int:
        """Bytes that may be resident. Setting it takes effect before the next run.

        Raises
        ------
        RuntimeError
            The module was compiled without weight streaming.
        ValueError
            The budget is negative; the old one stays in force.
        """
        return sum(engine.get_device_memory_budget() for engine in self._engines)

    @device_budget.setter
    def device_budget(self, budget: int) -> None:
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise TypeError(f"device_budget must be an int, in bytes, found {type(budget).__name__}")
        total = self.total_device_budget
        if total and budget > total:
            warnings.warn(f"device_budget {budget} is more than the {total} bytes that can be streamed; "
                          "all weights stay resident", stacklevel=2)
            budget = total
        for engine, share in zip(self._engines, self._shares(budget, total)):
            engine.set_device_memory_budget(share)

    def get_automatic_weight_streaming_budget(self) -> int:
        """The budget that the memory available now suggests. Does not set it."""
        return sum(engine.get_automatic_device_memory_budget() for engine in self._engines)

    def _shares(self, budget: int, total: int) -> list[int]:
        """Splits a budget over the engines by their streamable bytes; the shares sum up to it."""
        if len(self._engines) == 1 or budget < 0:
            return [budget] * len(self._engines)
        sizes = [engine.get_streamable_device_memory_budget() for engine in self._engines]
        shares = [budget * size // max(total, 1) for size in sizes]
        for i in range(budget - sum(shares) if total else 0):
            shares[i % len(shares)] += 1
        return shares

    def __enter__(self) -> weight_streaming:
        self._before = [engine.budget for engine in self._engines]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for engine, budget in zip(self._engines, self._before):
            if engine.weight_streaming and engine.budget != budget:
                engine.set_device_memory_budget(budget)
