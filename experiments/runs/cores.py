"""Cores of this machine that a process may run on. Their number can move the last bits of a sum."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

CAN_NARROW = hasattr(os, "sched_setaffinity")


def available() -> list[int]:
    """The cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if CAN_NARROW else list(range(os.cpu_count() or 1))


def share(cores: list[int], slot: int, jobs: int) -> list[int]:
    """The cores of one of several jobs: equally many each, whatever is left over.

    With more jobs than cores, each has one, and some have the same.
    """
    size = max(1, len(cores) // jobs)
    first = slot % (len(cores) // size) * size
    return cores[first : first + size]


@contextmanager
def narrowed(cores: list[int]) -> Iterator[None]:
    """Run on these cores only; so does what starts inside, processes and pools of threads.

    Libraries count cores when they are imported. Where the system cannot narrow, nothing changes.
    """
    before = available()
    if not CAN_NARROW or cores == before:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
