"""What every system is given, and what it answers. Nothing of `pmf`: rivals are without it."""

from typing import Any, NamedTuple

import numpy as np


class Task(NamedTuple):
    """Training and test ratings as row numbers below `shape` (users, items), and stars."""

    user: np.ndarray
    item: np.ndarray
    value: np.ndarray
    test_user: np.ndarray
    test_item: np.ndarray
    test_value: np.ndarray
    shape: tuple[int, int]


class Trajectory(NamedTuple):
    """A system's sweeps. The clock starts with a `Task` in memory and the library imported.

    Its stops are for the test ratings alone.
    """

    steps: list[int]  # numbers of the sweeps
    seconds: list[float]  # on the clock after each
    rmse: list[float]  # of the test ratings after each, and maybe after more; none if not watched
    search_s: float  # of the seconds, those in which the prior was chosen
    preparation_s: float  # the others before the first sweep: layout, compilation, or conversion
    peak_gb: float  # of the process


def load(path: str) -> Task:
    """A file of `benchmarks.racing.rating_sets`."""
    with np.load(path) as file:
        arrays: dict[str, Any] = dict(file)
    users, items = arrays.pop("shape").tolist()
    return Task(**arrays, shape=(users, items))
