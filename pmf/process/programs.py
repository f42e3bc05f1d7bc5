"""The programs that JAX compiles for us: few, and none kept without end.

A program serves one shape. Requests are padded to sizes on a ladder, so that few programs serve
requests of any size; and of each function so many are held at the most, because a process that fits
one data set after another would keep them all. Other people's programs are left alone.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

import jax

from pmf.process.forked import computing

FEW, MANY = 8, 64  # programs of a function: one of a fit, and one that requests run

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result", covariant=True)


class Program(Protocol[Arguments, Result]):
    """A function that JAX compiles for each shape of its arguments."""

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result: ...

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """The program for these arguments, or for `jax.ShapeDtypeStruct` in their place."""


_ours: list[tuple[Any, int]] = []


def program(
    function: Callable[Arguments, Result], most: int = MANY, **options: Any
) -> Program[Arguments, Result]:
    """`jax.jit(function, **options)`, of which `forget` leaves `most` programs or none."""
    compiled = jax.jit(function, **options)
    _ours.append((compiled, most))
    return compiled


def forget() -> None:
    """Before work: free the programs of each function that exceeds its limit; it compiles again.

    What runs at the time, in another thread, runs on. Raises `InputError` in a forked process.
    """
    computing()
    for compiled, most in _ours:
        if compiled._cache_size() > most:
            compiled.clear_cache()


def rung(size: int, least: int = 1, step: int = 2) -> int:
    """The first of `least`, `least * step`, `least * step^2`, ... that is not below `size`."""
    size_on_ladder = least
    while size_on_ladder < size:
        size_on_ladder *= step
    return size_on_ladder


def piece(size: int, least: int = 1) -> int:
    """Rows to work on at a time: one of one; else the largest of `least * 4^k` that `size` fills.

    At most four pieces then hold them all, the last padded, but for less than `least` rows.
    """
    length = least
    while length * 4 <= size:
        length *= 4
    return length if size > 1 else 1
