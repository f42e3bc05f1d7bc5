"""The two ways this package fails on purpose."""


class InputError(ValueError):
    """Bad input. The message names the file, the row or the column, and the remedy."""


class NotFiniteError(FloatingPointError):
    """An inference step produced NaN or infinity. The message names method, step and seed."""
