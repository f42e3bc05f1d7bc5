"""Our inferences' trajectories, each in a process of its own: `benchmarks.process`.

python -m benchmarks.racing.ours METHOD ARGUMENTS        ARGUMENTS as JSON, of `trajectory`
"""

import time
from contextlib import suppress
from functools import partial
from typing import Any

from benchmarks.process import answer, peak_bytes
from benchmarks.racing.task import Task, Trajectory, load
from pmf.cli.compilation_cache import keep_compiled
from pmf.estimators.pmf import PMF
from pmf.fitting.fit import fit_ratings
from pmf.fitting.phases import Clock
from pmf.fitting.schedule import Record
from pmf.fitting.settings import Settings
from pmf.process.compiler import fault
from pmf.types import Ratings

METHODS: dict[str, dict[str, Any]] = {
    "als": {},
    "vb": {},
    "gibbs": {"store_draws": False},  # the test ratings are all that it predicts
    "map": {},
}


class Enough(Exception):
    """The steps are taken, or the seconds spent."""


def trajectory(
    method: str, path: str, rank: int, steps: int, budget: float, watched: bool
) -> dict[str, Any]:
    """A fit by the method's defaults, until it is done, `steps` sweeps or `budget` seconds.

    The clock's fit knows nothing of the test ratings. If `watched`, the same fit again, which the
    same seed makes the same bits, has their RMSE after each sweep; a sampler's, of the mean over
    the draws kept so far.
    """
    import optax  # noqa: F401  # before the clock starts, as numba is

    keep_compiled()  # as the commands do
    fault()
    task, settings = load(path), PMF(rank, method, **METHODS[method]).settings
    clocked = _clocked(settings, task, steps, budget)
    rmse = _watched(settings, task, steps, budget) if watched else []
    return clocked._replace(rmse=rmse)._asdict()


def _clocked(settings: Settings, task: Task, steps: int, budget: float) -> Trajectory:
    seconds, swept, clock = list[float](), 0.0, Clock()
    begin = time.perf_counter()

    def on_record(record: Record) -> None:
        nonlocal swept
        seconds.append(time.perf_counter() - begin)
        swept = swept or record.seconds  # of the first
        if len(seconds) >= steps or seconds[-1] >= budget:
            raise Enough

    _fit(settings, task, clock=clock, on_record=on_record)
    numbers = list(range(1, 1 + len(seconds)))
    searched = clock.spent.get("search", 0.0)
    preparation = seconds[0] - swept - searched
    return Trajectory(numbers, seconds, [], searched, preparation, peak_bytes() / 1e9)


def _watched(settings: Settings, task: Task, steps: int, budget: float) -> list[float]:
    """Beyond the clock's sweeps too, where that had to compile: a warm fit comes farther."""
    rmse = list[float]()

    def on_record(record: Record) -> None:
        rmse.append(record.heldout_rmse)
        if len(rmse) >= steps or record.seconds >= budget:
            raise Enough

    test = Ratings(task.test_user, task.test_item, task.test_value)
    _fit(settings, task, heldout=test, on_record=on_record)
    return rmse


def _fit(settings: Settings, task: Task, **options: Any) -> None:
    """Until it is done, or has had enough."""
    with suppress(Enough):
        fit_ratings(settings, Ratings(task.user, task.item, task.value), *task.shape, **options)


if __name__ == "__main__":
    answer({method: partial(trajectory, method) for method in METHODS})
