"""Whether numba is there, and works."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec


@cache
def fault() -> str | None:
    """Why numba compiles nothing here, in one line; None where it can.

    A numba that is broken, in whatever way, is as good as none.
    """
    if find_spec("numba") is None:
        return "numba is not installed: pip install 'pmf[fast]'"
    reason = broken("pmf.process.numba_cache")
    return reason and f"numba cannot be used: {reason}"


def broken(name: str) -> str | None:
    """What a module raises when it is imported."""
    try:
        import_module(name)
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None
