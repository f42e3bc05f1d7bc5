"""Files appear whole or not at all; what a killed process left half-written is removed.

A file is written in a hidden folder beside its place, and renamed. Whatever a library leaves there
goes with the folder, whose name carries a seal: no other program makes such a name by accident.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from pmf.errors import InputError
from pmf.process.living import DAY, is_left, lock
from pmf.process.signals import passing

TABLES = (".csv", ".parquet")  # kinds of tables that are written
PART = re.compile(r"(\..*\.[0-9a-f]{8})([0-9a-f]{8})\.part", re.DOTALL)
LONGEST = 150  # bytes of a name that its hidden folder repeats: file systems allow 255, or 143


def check_target(
    path: Path, suffixes: tuple[str, ...] = (), reads: Sequence[Path | str] = ()
) -> None:
    """Raise `InputError` if `path` cannot be written, before the work.

    With `suffixes`, also where it ends in none of them. `reads` are the files and folders that are
    read; raises where `path` is one of them, by whatever name, or lies in one of the folders.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: its name must end in {' or '.join(suffixes)}")
    with _refusals_named([path]):
        place = _place(path)
        for source in reads:
            _check_apart(path, place, Path(source))
        with _part_of(place):
            pass


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on success it is synced and renamed to `path`.

    Where `path` is a symbolic link, the file that it leads to is replaced. On failure `path` is as
    it was and the temporary file is gone. Raises `InputError` naming the path where the system
    refuses (no such folder, no permission, disk full).
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The same for several files: all are whole and synced before the first is renamed.

    Between two renames only a kill, or a system that refuses the second, leaves one new alone.
    """
    with _refusals_named(paths), ExitStack() as parts:
        places = [_place(path) for path in paths]
        temporaries = [parts.enter_context(_part_of(place)) for place in places]
        yield temporaries
        for temporary in temporaries:
            sync(temporary)
            # The folder's mode has the umask in it, which only a change of it would tell.
            temporary.chmod(temporary.parent.stat().st_mode & 0o666)
        for temporary, place in zip(temporaries, places, strict=True):
            temporary.replace(place)
        for folder in {place.parent for place in places}:
            sync(folder)


def left_in(folder: Path, age: float = DAY) -> list[Path]:
    """What killed processes left half-written in a folder at least `age` seconds ago."""
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".part")]
        return [folder / name for name in sorted(names) if _is_ours(folder / name, age)]
    return []


def _is_ours(path: Path, age: float) -> bool:
    """Whether a hidden folder's name has our seal, and no living process works in it."""
    match = PART.fullmatch(path.name)
    is_sealed = match is not None and match[2] == _seal(match[1])
    return is_sealed and path.is_dir() and is_left(path, age)


@contextmanager
def _refusals_named(paths: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = " and ".join(map(str, paths))
        raise InputError(f"cannot write {named}: {error.strerror or error}") from error


def _place(path: Path) -> Path:
    """Where `path` leads. Raises `InputError` where no file can be put there."""
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    shown = path if place is path else f"{path}, a link to {place}"
    if place.is_symlink():
        raise InputError(f"{path}: a circular link; name another")
    if place.exists() and not place.is_file():
        raise InputError(f"{shown}: it exists and is not a file; name another")
    if not place.absolute().parent.is_dir():
        raise InputError(f"{shown}: its folder does not exist; make it first")
    return place


def _check_apart(path: Path, place: Path, source: Path) -> None:
    """Raise `InputError` where a place is what is read, or in the folder that is."""
    if not os.path.exists(source):  # unlike Path's, False for a name that is too long
        return
    if source.is_dir() and place.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{path}: it is in an input folder; name another")
    files = [source, *source.rglob("*")] if source.is_dir() else [source]
    if place.exists() and any(file.exists() and place.samefile(file) for file in files):
        raise InputError(f"{path}: it is also an input; name another")


@contextmanager
def _part_of(place: Path) -> Iterator[Path]:
    """A new empty file in a hidden folder beside `place`; afterwards the folder is gone."""
    for left in left_in(place.parent):
        shutil.rmtree(left, ignore_errors=True)
    short = os.fsencode(place.name)[:LONGEST].decode(errors="ignore")
    name = f".{short}.{secrets.token_hex(4)}"
    folder = place.with_name(f"{name}{_seal(name)}.part")
    with passing(folder):
        folder.mkdir()
        with lock(folder):
            (folder / place.name).touch()
            yield folder / place.name


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk, so that they survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _seal(name: str) -> str:
    return sha256(f"pmf writes {name}".encode()).hexdigest()[:8]
