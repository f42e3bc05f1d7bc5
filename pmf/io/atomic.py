"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pmf.errors import InputError

TABLES = (".csv", ".parquet")  # kinds of tables that are written


def check_target(path: Path, suffixes: tuple[str, ...] = ()) -> None:
    """Raise `InputError` where `path` could not be written: better now than after the work.

    With `suffixes`, also where it ends in none of them.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: its name must end in {' or '.join(suffixes)}")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: there is something that is not a file; name another")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on success it is synced and renamed to `path`.

    On failure `path` is as it was and the temporary file is gone. Raises `InputError` naming the
    path where the system refuses (no such folder, no permission, disk full).
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The same for several files: all are whole and synced before the first is renamed.

    Between two renames only a kill, or a system that refuses the second, leaves one new alone.
    """
    temporaries: list[Path] = []
    try:
        for path in paths:
            check_target(path)
            temporaries.append(_beside(path))
        yield temporaries
        for temporary in temporaries:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
    except OSError as error:
        named = " and ".join(map(str, paths))
        raise InputError(f"cannot write {named}: {error.strerror or error}") from error
    finally:
        for temporary in temporaries:
            with suppress(FileNotFoundError):
                temporary.unlink()


def _beside(path: Path) -> Path:
    """A new empty file in the folder of `path`."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    return Path(name)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
