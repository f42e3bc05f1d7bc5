"""The ways this package fails, or stops, on purpose."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. The message names the file, the row or the column, and the remedy."""


class NotFiniteError(FloatingPointError):
    """An inference step produced NaN or infinity. The message names method, step and seed."""


class Interrupted(SystemExit):
    """A run with checkpoints was asked to stop by SIGINT or SIGTERM, and wrote a checkpoint.

    A `SystemExit`: no `except Exception` swallows it, and a script that does not catch it ends as
    shells and schedulers expect of that signal, with code 128 + `signum`: 130 or 143.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum
        self.code = 128 + signum


def one_line(error: Exception) -> str:
    """What a library says, short enough for a message of one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def hint(name: str, known: Iterable[str], others: Iterable[str] = ()) -> str:
    """The nearest of the known names and of others; where none is near, the known ones."""
    known = list(known)
    near = difflib.get_close_matches(name, [*known, *others], 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
