"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
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
    check_target(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
