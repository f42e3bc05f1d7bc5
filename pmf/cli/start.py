"""How every command of this project starts, before anything heavy is imported."""

import _signal  # type: ignore[import-not-found]  # of `signal`, which takes its time to load
import os
import sys
from io import TextIOWrapper


def start() -> None:
    """Handle signals, and make the standard streams accept any text."""
    _hear_at_once()
    from pmf.process.signals import hear

    hear()
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what its encoding has not, as `\xe9`
            stream.reconfigure(errors="backslashreplace")


def _hear_at_once() -> None:
    """Until the import of `pmf.process.signals` is done, which takes some milliseconds, too."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _leave)


def _leave(signum: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + signum)


def _open_closed() -> None:
    """A closed standard stream leads nowhere: not to the other one, nor into the next file that is
    opened and gets its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this
            # By name: what is opened by number is a raw file no less.
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))
