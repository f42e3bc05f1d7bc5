"""A system of one's own: an object of a Python file that a configuration names, `FILE.py:NAME`.

The file is run where a configuration is read that names it, and nowhere else. Its sha256 is part of
a run's identity: a changed file is another system.
"""

import hashlib
import sys
import traceback
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from experiments.systems.base import System
from pmf.errors import InputError

MARK = ".py:"


def is_file(name: str) -> bool:
    """Whether a system's name is that of an object in a file."""
    return MARK in name


def located(name: str, folder: Path) -> str:
    """The name with the file's whole path: beside the configuration in `folder`, or here.

    Raises `InputError` where there is no such file.
    """
    path, attribute = _parts(name)
    for place in (folder / path, path):
        if place.is_file():
            return f"{place.resolve()}:{attribute}"
    raise InputError(f"{path}: no such file, beside the configuration or here")


def label(name: str) -> str:
    """What the system is called in tables, which know no folders."""
    path, attribute = _parts(name)
    return f"{path.name}:{attribute}"


def sha256(name: str) -> str:
    """The hash of the file as it is now, which is not run."""
    path, _ = _parts(name)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def load_system(name: str) -> System:
    """The system, from the file as it is now.

    Raises `InputError` naming the file: where it cannot be run, or has no such `System`.
    """
    path, attribute = _parts(name)
    system = getattr(_module(path, sha256(name)), attribute, None)
    if not isinstance(system, System):
        raise InputError(
            f"{path}: no System called {attribute!r}; experiments.systems.base says what is"
        )
    return system


@lru_cache(maxsize=16)  # a class of settings is one object, however often it is asked for
def _module(path: Path, code: str) -> ModuleType:
    name = f"own_{code}"
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)  # pydantic looks for annotations there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the file does is the user's to mend
        del sys.modules[name]
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        line = error.lineno if isinstance(error, SyntaxError) else line
        raise InputError(f"{path}: line {line}: {type(error).__name__}: {error}") from error
    return module


def _parts(name: str) -> tuple[Path, str]:
    path, _, attribute = name.rpartition(":")
    return Path(path).expanduser(), attribute
