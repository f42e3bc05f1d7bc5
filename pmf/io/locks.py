"""One writer at a time; the second gets an error that names the first.

A lock is a small file that the system holds for a process and lets go when that ends, however it
ends: a lock that a killed process left is free. Where the system has no such locks (Windows) nobody
is kept out.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pmf.errors import InputError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

LOCK = ".pmf.lock"
MARK = "pmf lock: "  # what every lock file begins with
UNKNOWN = "another process"
PATIENCE = 100  # times 10 ms: a holder writes its name at once


class Busy(InputError):
    """Another process holds the lock; `holder` says which, and on which host."""

    def __init__(self, folder: Path, holder: str):
        super().__init__(
            f"{folder}: {holder} is writing there; wait until it is done, or name another folder"
        )
        self.holder = holder


@contextmanager
def only_writer(folder: Path, doing: str, name: str = LOCK) -> Iterator[None]:
    """Hold the lock file `name` of an existing `folder`; it says what this process is `doing`.

    Raises `Busy` where another process, or thread, holds it, and `InputError` where the folder
    cannot be written or something else has that name.
    """
    if fcntl is None:
        yield
        return
    path = folder / name
    try:
        handle = _acquired(path)
    except OSError as error:
        raise InputError(f"cannot lock {path}: {error.strerror}") from error
    try:
        _sign(handle, path, doing)
        yield
    finally:
        with suppress(OSError):  # the folder itself may be gone
            path.unlink()  # before it is free: afterwards it may be another's
        os.close(handle)


def holder_of(path: Path) -> str | None:
    """Who holds a lock file, as "process 7 on host (fit)"; None where nobody does."""
    if fcntl is None or not path.is_file():
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _named(handle, path) or UNKNOWN
    finally:
        os.close(handle)


def _acquired(path: Path) -> int:
    """The open lock file, held."""
    for _ in range(PATIENCE):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            holder = _try(handle, path)
        except BaseException:
            os.close(handle)
            raise
        if holder is None:
            return handle
        os.close(handle)
        if holder:
            raise Busy(path.parent, holder)
        time.sleep(0.01)
    raise Busy(path.parent, UNKNOWN)


def _try(handle: int, path: Path) -> str | None:
    """Lock an open file. None where it is ours now, else who holds it, "" where that is unknown."""
    holder = _named(handle, path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None if os.path.samestat(os.fstat(handle), path.stat()) else ""
    except FileNotFoundError:  # removed by its holder, who has just gone
        return ""
    except BlockingIOError:
        return holder  # or none: it is about to write its name


def _named(handle: int, path: Path) -> str:
    """The holder whose name stands in an open lock file. Raises `InputError` for another file."""
    text = os.pread(handle, 1000, 0).decode(errors="replace").strip()
    if text and not text.startswith(MARK):
        raise InputError(f"{path}: not a lock that pmf wrote; move it away, or name another folder")
    return text.removeprefix(MARK)


def _sign(handle: int, path: Path, doing: str) -> None:
    try:
        os.ftruncate(handle, 0)
        holder = f"process {os.getpid()} on {socket.gethostname()} ({doing})"
        os.pwrite(handle, f"{MARK}{holder}\n".encode(), 0)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
