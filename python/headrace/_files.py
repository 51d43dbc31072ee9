"""Engine files: save() and load()."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

from . import _core
from ._module import CompiledModule, EngineModule
from ._options import TUNING_SECONDS


def save(module: CompiledModule, path: str | Path) -> None:
    """Writes a module's engine to `path`, where nothing appears unless all of it is written."""
    if not isinstance(module, CompiledModule):
        raise TypeError(f"save() takes what headrace.compile() or headrace.load() gave, found {type(module).__name__}")
    path = Path(path)
    source = module.engine.path
    if path.exists() and path.samefile(source):
        return
    number, name = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file, source.open("rb") as data:
            shutil.copyfileobj(data, file, 1 << 22)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, source.stat().st_mode & 0o777)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: str | Path, *, enable_weight_streaming: bool = True, threads: int = 0,
         memory_limit: int | None = None, weight_budget: int | None = None, device: str = "",
         model: str | Path | None = None, tuning_seconds: float = TUNING_SECONDS,
         deterministic: bool = False, pool: _core.Pool | None = None) -> CompiledModule:
    """Opens an engine file; the options are those of `headrace.compile`.

    An engine for a CPU with other instructions, or for another oneDNN, is packed again first, with a warning: the file is
    replaced by one for this machine.

    Parameters
    ----------
    weight_budget : in bytes, from the start: what it leaves in the file is never read to memory; None: automatic
    device : "cuda:1" to choose among GPUs; by default the first that the engine was compiled for
    model : the archive that the engine was compiled from, looked at only to pack it again; by default the engine's name with .pt2

    Raises
    ------
    FileNotFoundError
        There is no such file.
    RuntimeError
        It is damaged, or was made by another version or for another machine.
    """
    engine = EngineModule(Path(path), enable_weight_streaming, threads, memory_limit, device=device, weight_budget=weight_budget,
                          model=None if model is None else Path(model), tuning_seconds=tuning_seconds,
                          deterministic=deterministic, pool=pool)
    if engine.engine.packed_again:
        warnings.warn(f"load(): '{path}' was made for another machine or version of oneDNN; its weights were packed again for "
                      "this one", stacklevel=2)
    return CompiledModule(engine)


def verify(path: str | Path) -> None:
    """Checks every byte of an engine file. Raises RuntimeError with what is wrong."""
    _core.verify_engine(Path(path))
