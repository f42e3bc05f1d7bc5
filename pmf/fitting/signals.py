"""SIGINT and SIGTERM as a question that a loop asks between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SIGNALS = signal.SIGINT, signal.SIGTERM


@dataclass
class Caught:
    """The signal that came, or none yet."""

    signum: int | None = None


@contextmanager
def signals_noted() -> Iterator[Caught]:
    """Note the first SIGINT or SIGTERM instead of obeying it; afterwards all is as it was.

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
