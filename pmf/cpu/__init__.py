"""The row update as one fused kernel for CPUs, compiled by numba (the extra `fast`)."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec

POOLS = ("numba.np.ufunc.omppool", "numba.np.ufunc.tbbpool")


@cache
def available() -> bool:
    """Whether the kernel can run."""
    return why_not() is None


def why_not() -> str | None:
    """What keeps the kernel from running: JAX computes elsewhere, numba is not there or broken, or
    lacks a pool of threads that several callers may use at once (its own they cannot). None where
    nothing does.
    """
    import jax

    if jax.default_backend() != "cpu":
        return "JAX does not compute on a CPU"
    if fault() is not None:
        return fault()
    if all(map(_broken, POOLS)):
        return "numba lacks a pool of threads for several callers (OpenMP or TBB)"
    return None


@cache
def fault() -> str | None:
    """Why numba compiles nothing here, in one line; None where it can.

    A numba that is broken, in whatever way, is as good as none.
    """
    if find_spec("numba") is None:
        return "numba is not installed: pip install 'pmf[fast]'"
    broken = _broken("pmf.cpu.kept")
    return broken and f"numba cannot be used: {broken}"


def _broken(name: str) -> str | None:
    """What a module raises when it is imported."""
    try:
        import_module(name)
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None
