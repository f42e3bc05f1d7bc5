"""Temporary folders for ratings that stay in files; those that a killed process left are removed.

A process holds a lock on its folder, which the system lets go whenever and however it ends.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pmf.process.living import is_left, lock
from pmf.process.signals import passing

PREFIX = "pmf-ratings-"
NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")
MARK = ".pmf-ratings"  # a file inside: the folder is ours


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    remove_left(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with passing(folder), lock(folder):
        (folder / MARK).touch()
        yield folder


def remove_left(parent: Path) -> None:
    """Remove what `left_in` finds."""
    for folder in left_in(parent):
        shutil.rmtree(folder, ignore_errors=True)


def left_in(parent: Path) -> list[Path]:
    """The folders in `parent` that killed processes left more than a day ago."""
    paths = sorted(parent.glob(f"{PREFIX}*"))
    return [one for one in paths if NAME.fullmatch(one.name) and _is_ours(one) and is_left(one)]


def _is_ours(folder: Path) -> bool:
    """Whether a folder has our mark in it, or nothing yet."""
    with suppress(OSError):  # gone by now, or another user's
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else ["no folder"]
        return MARK in names or not names
    return False
