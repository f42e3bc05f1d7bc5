"""Locks of a living process: the system releases them whenever, and however, it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove what is in use
    fcntl = None  # type: ignore[assignment]

DAY = 86_400.0  # seconds: what is younger may be about to be held


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """A lock on an existing file or folder. Raises `OSError` where another process has it."""
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def is_left(path: Path, age: float = DAY) -> bool:
    """Whether a file or folder is older than `age` seconds, and no living process holds it."""
    with suppress(OSError):  # gone by now, another user's, or locked
        if not path.is_symlink() and time.time() - path.stat().st_mtime >= age:
            with lock(path):
                return True
    return False
