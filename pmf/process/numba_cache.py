"""Loops that numba compiles, kept on disk for the next process where that is possible.

Numba's own cache fails where no folder can be written, and where one of its files is damaged; and
one whose damage is in the machine code runs. Here each file begins with the sha256 of the rest:
what is damaged is compiled and written again.
"""

import os
import pickle  # numba's own format: a process of the same user wrote it
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    NullCache,
    UserWideCacheLocator,
)
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature

SEAL = sha256().digest_size
# Without one the user's folder would be one named "~", here.
HAS_HOME = os.path.isabs(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~"))


class _Files(IndexDataCacheFile):
    """An index, and the code that it lists, as sealed files."""

    def _load_index(self) -> dict:
        try:
            version, stamp, overloads = _read(self._index_path)
        except OSError:
            return {}
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return _read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(path) as file:
            file.write(sha256(content).digest() + content)


class _Places(CompileResultCacheImpl):
    _locator_classes = [
        one
        for one in CompileResultCacheImpl._locator_classes
        if HAS_HOME or one is not UserWideCacheLocator
    ]


class _Cache(FunctionCache):
    """Raises `RuntimeError` where nothing can be written."""

    _impl_class = _Places

    def __init__(self, function: Callable):
        super().__init__(function)
        name, stamp = self._impl.filename_base, self._impl.locator.get_source_stamp()
        self._cache_file = _Files(self._cache_path, f"{name}.sealed", stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk: it is compiled again
            super().save_overload(sig, data)


def compiled(**options: Any) -> Callable:
    """As `numba.njit(cache=True, **options)`."""

    def decorate(function: Callable) -> Any:
        dispatcher = njit(**options)(function)
        dispatcher._cache = _cache_of(function)
        return dispatcher

    return decorate


def callback(signature: Any) -> Callable:
    """As `numba.cfunc(signature, cache=True)`."""

    def decorate(function: Callable) -> Any:
        made = CFunc(function, normalize_signature(signature), locals={}, options={})
        made._cache = _cache_of(function)
        made.compile()
        return made

    return decorate


def folder() -> str | None:
    """Where compiled loops are kept; None where nothing can be written."""
    return _cache_of(_read).cache_path


def _cache_of(function: Callable) -> Any:
    try:
        return _Cache(function)
    except RuntimeError:
        return NullCache()


def _read(path: str) -> Any:
    """Raises `OSError` for a file that is damaged, as for one that is gone."""
    content = Path(path).read_bytes()
    if sha256(content[SEAL:]).digest() != content[:SEAL]:
        raise OSError(f"{path}: damaged")
    return pickle.loads(content[SEAL:])
