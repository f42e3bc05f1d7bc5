"""The ways this package fails, or stops, on purpose."""


class InputError(ValueError):
    """Bad input. The message names the file, the row or the column, and the remedy."""


class NotFiniteError(FloatingPointError):
    """An inference step produced NaN or infinity. The message names method, step and seed."""


class Interrupted(KeyboardInterrupt):
    """A run with checkpoints was asked to stop by SIGINT or SIGTERM, and wrote a checkpoint.

    A `KeyboardInterrupt` whichever signal it was: no `except Exception` swallows it, and code that
    expects Ctrl-C meets what it expects. `signum` is the signal; a process that ends for it
    exits with 128 + signum, as shells have it: 130 or 143.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum
