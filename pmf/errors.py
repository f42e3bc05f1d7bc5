"""The ways this package fails, or stops, on purpose."""


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
