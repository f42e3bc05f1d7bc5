"""Sealed files with the facts and arrays of a step: read exactly as written, or refused.

A file is the mark, the sha256 of what follows, a line of JSON, and the arrays' bytes. Its name is
the step, the beginning of that sha256, and its kind: one that was altered, renamed or put in
another's place is not whole. It is written beside its place, synced and renamed, and never written
to again; as the time is in it, no two have one name. Only files with such names that begin with the
mark are ever removed.
"""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from pmf.errors import InputError
from pmf.io.atomic import left_in, replacing
from pmf.io.pytrees import Named, Part, bytes_of, digest_of

MARK = b"pmf checkpoint\n"
NAME = re.compile(r"(\d{8,})-[0-9a-f]{16}(\.pmf-[a-z]+)")
# What reading raises where a file is missing, cut short or altered.
DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)

Facts = dict[str, Any]  # what JSON can hold; floats come back bit for bit, NaN and infinity too


def write(folder: Path, step: int, kind: str, facts: Facts, arrays: Named) -> Path:
    """Seal facts and arrays in a file of that step and kind, and give its path.

    Raises `InputError` where the system refuses: then there is no such file.
    """
    shapes = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
    text = json.dumps([time.time_ns(), step, kind, facts, shapes]).encode() + b"\n"
    parts: list[Part] = [text, *map(bytes_of, arrays.values())]
    sha256 = digest_of(*parts)
    path = folder / _name(step, sha256, kind)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines([MARK, f"{sha256}\n".encode(), *parts])
    return path


def read(path: Path) -> tuple[Facts, Named]:
    """What `write` was given. Raises one of `DAMAGE` where the file is not what was written."""
    if not path.is_file():  # opening a pipe would wait for ever
        raise ValueError(f"{path.name} is not a file" if path.exists() else f"no {path.name}")
    with path.open("rb") as file:
        mark, sha256, text = file.readline(100), file.readline(100), file.readline()
        content = file.read()
    digest = digest_of(text, content)
    if mark != MARK or sha256 != f"{digest}\n".encode():
        raise ValueError(f"{path.name} was altered since it was written")
    (_, step, kind, facts, shapes), arrays, begin = json.loads(text), {}, 0
    if path.name != _name(step, digest, kind):
        raise ValueError(f"{path.name} is another file, renamed")
    for name, (dtype, shape) in shapes.items():
        arrays[name] = np.ndarray(shape, np.dtype(dtype), content, begin)
        begin += arrays[name].nbytes
    return facts, arrays


def _name(step: int, sha256: str, kind: str) -> str:
    return f"{step:08d}-{sha256[:16]}{kind}"


def step_of(path: Path) -> int:
    """The step in a file's name."""
    return int(path.name.split("-")[0])


def named(folder: Path, kind: str = "") -> list[Path]:
    """What has the name of a file of that kind, or of any, the newest first."""
    paths = [path for path in folder.glob(f"*{kind}") if NAME.fullmatch(path.name)]
    return sorted(paths, key=step_of, reverse=True)


def remove(paths: list[Path]) -> None:
    """Remove those that are ours. Raises `InputError` where the system refuses."""
    for path in filter(is_ours, paths):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot remove {path}: {error.strerror}") from error


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes had begun to write to a folder that nobody else writes to."""
    for begun in left_in(folder, age=0):
        shutil.rmtree(begun, ignore_errors=True)


def is_ours(path: Path) -> bool:
    """Whether it is a file, and no link to one, that begins with the mark, whole or not."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False
