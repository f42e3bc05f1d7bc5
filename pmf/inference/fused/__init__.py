"""The row update as one fused kernel for CPUs, compiled by numba (the extra `fast`)."""

from functools import cache
from importlib import import_module


@cache
def available() -> bool:
    """Whether the kernel can run: JAX computes on a CPU, and numba is installed with a pool of
    threads that several callers may use at once (numba's own cannot)."""
    import jax

    return jax.default_backend() == "cpu" and any(map(_imports, _POOLS))


_POOLS = ("numba.np.ufunc.omppool", "numba.np.ufunc.tbbpool")


def _imports(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True
