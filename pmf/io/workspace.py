"""Temporary folders for ratings that stay in files; those that a killed process left are removed.

A process holds a lock on its folder, which the system lets go whenever and however it ends.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove what is in use
    fcntl = None  # type: ignore[assignment]

PREFIX = "pmf-ratings-"
ONCE = re.compile(r"pmf-[a-z0-9_]{8}")  # of earlier versions: one for each file that was fitted
LEAST_AGE = 3600.0  # seconds: a younger one may be about to be locked


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    remove_left(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        with _held(Path(name)):
            yield Path(name)


def remove_left(parent: Path) -> None:
    """Remove the old folders in `parent` that no process holds, and empty ones of old kind."""
    for folder in parent.glob("pmf-*"):
        with suppress(OSError):  # gone by now, or another user's
            if folder.is_symlink() or time.time() - folder.stat().st_mtime < LEAST_AGE:
                continue
            if ONCE.fullmatch(folder.name):
                folder.rmdir()
            elif folder.name.startswith(PREFIX):
                with _held(folder):
                    shutil.rmtree(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A lock on a folder. Raises `OSError` where another process has it."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
