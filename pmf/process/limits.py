"""The limits of a process, checked before the work instead of an abort during it."""

import os

from pmf.errors import InputError

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

GIB = 1 << 30
# Measured: JAX's and numba's code, their compilers and pools of threads; the data comes on top.
NEEDED = 4 * GIB  # of address space, on two cores
A_CORE = GIB // 4  # more on each further core: stacks and heaps of its threads


def check_memory() -> None:
    """Raise `InputError` where a limit on memory (`ulimit -v`) is below what computing takes.

    The libraries would abort, or say that they are not installed.
    """
    limit, needed = address_space(), NEEDED + A_CORE * max(0, num_threads() - 2)
    if limit is not None and limit < needed:
        raise InputError(
            f"the limit on memory is {limit / GIB:.1f} GiB of addresses, and JAX alone needs some "
            f"{needed / GIB:.1f} GiB on {num_threads()} cores; raise it (ulimit -v "
            f"{needed // 1024}, or unlimited)"
        )


def address_space() -> int | None:
    """Bytes of address space that this process may have; None where nobody limits it."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def num_threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
