"""SIGINT and SIGTERM: how a command ends, and how a loop checks for them between steps.

Imports nothing heavy: `hear` comes before everything that takes time.
"""

import _thread
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from pmf.errors import Interrupted

SIGNALS = signal.SIGINT, signal.SIGTERM
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
AGAIN = 0.05  # seconds until what a callback swallowed is sent once more

_passing: set[Path] = set()  # files and folders that do not outlive the process


@dataclass
class _Hearing:
    """The reaction to the next signal, and the signals and messages so far."""

    process: int = 0  # whose signals these are: not a forked child's
    inside: bool = False  # the command is at work
    raises: bool = False  # the next signal is raised; else it ends the process at once
    came: int | None = None
    has_spoken: bool = False  # the last word


_hearing = _Hearing()


@contextmanager
def passing(path: Path) -> Iterator[None]:
    """A file or folder that is removed afterwards, and by a signal that ends the process at once.

    Known before it is made: no signal falls in between.
    """
    _passing.add(path)
    try:
        yield
    finally:
        _remove(path)
        _passing.discard(path)


def hear() -> None:
    """From now on SIGINT and SIGTERM end this process with one word and 128 + the signal.

    For commands alone: the library leaves signals as they are. What the process ignores already,
    as under `nohup`, stays so.
    """
    _hearing.process = os.getpid()
    for number in SIGNALS:
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, _heard)
    sys.unraisablehook = _unraisable


@contextmanager
def raising() -> Iterator[None]:
    """Within, the first signal is raised as `Interrupted`, so that what was begun is undone.

    A second one ends the process at once, and leaves no half-written file either. Whatever a signal
    became on its way (an import that it broke says so in its own way) is `Interrupted` again.
    """
    _hearing.inside = _hearing.raises = True
    try:
        yield
    except BaseException as error:
        if _hearing.came is None or isinstance(error, Interrupted):
            raise
        raise _interrupted(_hearing.came) from None
    finally:
        _hearing.inside = _hearing.raises = False
        _remove_passing()


def say_last(line: str) -> None:
    """One line on standard error, which no signal says once more."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))
    _hearing.has_spoken = True


def _heard(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _hearing.process:
        os._exit(128 + signum)
    _hearing.came = signum
    if _hearing.raises and not _imports(frame):
        _hearing.raises = False
        raise _interrupted(signum)
    _remove_passing()
    if not _hearing.has_spoken:
        say_last(WORDS[signal.Signals(signum)])
    os._exit(128 + signum)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: many make something else of what is raised then, and
    there is nothing to undo but `passing` files.
    """
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _interrupted(signum: int) -> Interrupted:
    return Interrupted(WORDS[signal.Signals(signum)], signum)


def _unraisable(unraisable: Any) -> None:
    """A signal that was raised in a callback, where Python drops it, is sent once more."""
    error = unraisable.exc_value
    if isinstance(error, Interrupted):
        _hearing.raises = _hearing.inside
        # Of `threading`, which may be what was interrupted, nothing.
        _thread.start_new_thread(_send_again, (error.signum,))
    else:
        sys.__unraisablehook__(unraisable)


def _send_again(signum: int) -> None:
    time.sleep(AGAIN)
    _thread.interrupt_main(signal.Signals(signum))


def _remove_passing() -> None:
    for path in list(_passing):
        _remove(path)
        _passing.discard(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@dataclass
class Caught:
    """The signal that came, or none yet."""

    signum: int | None = None


@contextmanager
def signals_noted() -> Iterator[Caught]:
    """Note the first SIGINT or SIGTERM instead of obeying it; afterwards restore the handlers.

    The first one puts the former handlers back, so a second one stops at once. (Python runs
    handlers between bytecodes: two of a kind within one call into XLA are one.) A signal that came
    too late for the block to see is sent again on leaving it. Outside the main thread, where Python
    allows no handlers, and for a signal that the process ignores, nothing is changed.
    """
    caught = Caught()
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    former = {number: signal.getsignal(number) for number in SIGNALS}
    former = {n: old for n, old in former.items() if old not in (None, signal.SIG_IGN)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def note(signum: int, frame: object) -> None:
        caught.signum = signum
        restore()

    for number in former:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        restore()
    if caught.signum is not None:
        signal.raise_signal(caught.signum)
