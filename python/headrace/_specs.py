"""How the arguments of a call become the flat inputs of an engine, and its flat outputs the result."""

from __future__ import annotations

import importlib
import json
from typing import Any, Callable

import torch.utils._pytree as pytree

# Packages whose classes register themselves with PyTorch when they are imported.
REGISTERED_BY = ("transformers",)


def load_spec(text: str) -> pytree.TreeSpec | None:
    """The spec that an engine stores as text; None where it stores none.

    Raises
    ------
    RuntimeError
        A class in it is not registered with PyTorch.
    """
    if not text:
        return None
    for name in class_names(json.loads(text)[1]):
        module = name.rpartition(".")[0]
        if module.split(".")[0] in REGISTERED_BY:
            importlib.import_module(module)
    try:
        return pytree.treespec_loads(text)
    except (NotImplementedError, KeyError) as error:
        raise RuntimeError(f"the engine's inputs or outputs use a class that is not registered: {error}; import its module, "
                           "or call torch.export.register_dataclass(…, serialized_type_name=…), before loading") from error


def class_names(node: dict[str, Any]) -> set[str]:
    own = {node["type"]} if node["type"] else set()
    return own.union(*(class_names(child) for child in node["children_spec"]))


class Arguments:
    """Binds the arguments of a call as the export took them: (args, kwargs) of the tree `spec`.

    Arguments that are plain values in the export may be given by position or by name, whichever it used.
    """

    def __init__(self, spec: pytree.TreeSpec, names: list[str]) -> None:
        self.spec = spec
        args, kwargs = spec.children()
        self.args, self.keys = args.children(), list(kwargs.context or ())
        self.kwargs = kwargs.children()
        self.plain = all(s.is_leaf() for s in (*self.args, *self.kwargs))
        self.only_positional = self.plain and not self.keys
        # Names of the positional ones are the export's placeholders, where each is one value.
        self.order = (names[:len(self.args)] if self.plain else [f"argument {i}" for i in range(len(self.args))]) + self.keys

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        if not args and self.plain and kwargs.keys() == set(self.order):
            return [kwargs[name] for name in self.order]
        values = self.bind(args, kwargs)
        if self.plain:
            return values
        flat: list[Any] = []
        for name, spec, value in zip(self.order, (*self.args, *self.kwargs), values):
            leaves, found = pytree.tree_flatten(value)
            if found != spec:
                raise TypeError(f"{name} was exported as {spec}, found {found}")
            flat += leaves
        return flat

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        takes = f"the model was exported with {', '.join(self.order) or 'no arguments'}"
        if len(args) > len(self.order):
            raise TypeError(f"forward() takes {len(self.order)} arguments, {len(args)} given; {takes}")
        bound = dict(zip(self.order, args))
        for name, value in kwargs.items():
            if name not in self.order:
                raise TypeError(f"forward() got an argument '{name}' that the export does not have; {takes}")
            if name in bound:
                raise TypeError(f"forward() got '{name}' twice")
            bound[name] = value
        if missing := [name for name in self.order if name not in bound]:
            raise TypeError(f"forward() is missing {', '.join(repr(m) for m in missing)}; {takes}")
        return [bound[name] for name in self.order]


def result_maker(spec: pytree.TreeSpec | None) -> Callable[[tuple[Any, ...]], Any]:
    """Makes the result of a call from the tuple of outputs; the common shapes without walking a tree."""
    if spec is None:
        return lambda outputs: outputs[0] if len(outputs) == 1 else outputs
    if spec.is_leaf():
        return lambda outputs: outputs[0]
    if spec.type is tuple and all(s.is_leaf() for s in spec.children()):
        return lambda outputs: outputs
    return lambda outputs: pytree.tree_unflatten(outputs, spec)
