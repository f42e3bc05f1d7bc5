"""The row update as one fused kernel for CPUs, compiled by numba (the extra `fast`)."""

from functools import cache

from pmf.process.compiler import broken, fault

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
    if all(map(broken, POOLS)):
        return "numba lacks a pool of threads for several callers (OpenMP or TBB)"
    return None
