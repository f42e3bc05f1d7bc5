"""The race counts what it says. Catches: a clock that stops or starts early, a test RMSE of other
pairs or of another fit, a penalty or a row left to a rival's chance, a table of other numbers.
"""

import inspect
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import time_to_rmse
from benchmarks.racing import ours, rating_sets, rivals
from benchmarks.racing.rating_sets import write_parts
from benchmarks.racing.rivals import Rows
from benchmarks.racing.task import Trajectory, load
from benchmarks.time_to_rmse import RIVALS, Race, frame_of, kept, rows_of, thinned
from paper_figures.figures.time_to_rmse import numbers, seconds_to
from pmf import PMF
from pmf.data.sources.generated import Shape, generated
from pmf.fitting.fit import fit_ratings
from pmf.model.priors import Ridge, from_ridge
from pmf.types import Ratings

TINY = Shape(1_500, 60, 150)
PRIOR = from_ridge(Ridge(5.0, 5.0, 5.0, 5.0), tau=1.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("race") / "ratings.npz"
    write_parts(generated(TINY).ratings, TINY, path)
    return str(path)


def test_parts_are_disjoint_and_whole(path):
    task = load(path)
    n = len(task.value)
    assert n + len(task.test_value) == TINY.n and 1_250 < n < 1_450
    train, test = (u * 150 + i for u, i in ((task.user, task.item), task[3:5]))
    assert len(np.intersect1d(train, test)) == 0


@pytest.mark.parametrize(
    "method",
    ["vb", *(pytest.param(name, marks=pytest.mark.slow) for name in ("als", "map", "gibbs"))],
)
def test_our_trajectories_are_of_one_fit(method, path, monkeypatch):
    """The clock runs on, the prior's search before the first sweep, and RMSE is that of `fit`."""
    short = {"als": {"prior": PRIOR}, "map": {"prior": PRIOR}, "vb": {}}
    short["gibbs"] = {"store_draws": False, "tau": 1.5, "burn_in": 2}
    monkeypatch.setitem(ours.METHODS, method, short[method])
    fit = Trajectory(**ours.trajectory(method, path, 3, steps=4, budget=np.inf, watched=True))
    assert fit.steps == [1, 2, 3, 4] and len(fit.rmse) == len(fit.seconds) == 4
    assert np.all(np.diff(fit.seconds) > 0) and fit.search_s == 0 < fit.preparation_s
    assert fit.seconds[0] > fit.preparation_s
    task, records = load(path), []
    fit_ratings(
        PMF(3, method, num_steps=4, **short[method]).settings,
        Ratings(*task[:3]),
        *task.shape,
        heldout=Ratings(*task[3:6]),
        on_record=records.append,
    )
    assert fit.rmse == [record.heldout_rmse for record in records[:4]]


@pytest.mark.slow
def test_a_search_is_counted_and_a_spent_budget_ends_the_fit(path):
    fit = Trajectory(**ours.trajectory("als", path, 2, steps=50, budget=0.0, watched=False))
    assert fit.steps == [1] and fit.rmse == []
    assert 0 < fit.search_s < fit.seconds[0] - fit.preparation_s


def test_rivals_rmse_by_hand(path):
    """A row without training ratings adds nothing, whatever a library's table has there."""
    task = load(path)._replace(
        user=np.array([0, 2]),
        item=np.array([1, 1]),
        test_user=np.array([0, 1, 2]),
        test_item=np.array([1, 1, 0]),
        test_value=np.array([4.0, 3.0, 2.0]),
        shape=(3, 2),
    )
    P, Q = np.array([[1.0], [np.nan], [2.0]]), np.array([[1e36], [0.5]])
    users = rivals.trained(task.user, P, np.array([0.1, np.nan, 0.2]))
    items = rivals.trained(task.item, Q)
    error = np.array([3 + 0.1 + 0.5 - 4, 3 - 3, 3 + 0.2 - 2])
    expected = np.sqrt(np.mean(error**2))
    assert rivals.test_rmse(task, 3.0, users, items) == pytest.approx(expected, rel=1e-6)
    assert isinstance(users, Rows) and users.number.tolist() == [0, 2]


def test_a_rival_is_run_anew_until_the_next_run_would_be_too_long(path, monkeypatch):
    clock, runs = iter(range(100)), []
    monkeypatch.setattr(rivals.time, "perf_counter", lambda: float(next(clock)))

    def race(budget: float) -> Trajectory:
        call = load(path), lambda task: "converted", lambda *said: runs.append(said)
        return Trajectory(**rivals.anew(*call, lambda *model: 0.9, steps=8, budget=budget))

    fit = race(99.0)
    assert runs == [("converted", n) for n in (1, 2, 4, 8)] and fit.steps == [1, 2, 4, 8]
    assert fit.preparation_s == 1 and fit.seconds == [2, 2, 2, 2]  # conversion, and a second each
    assert race(3.0).steps == [1]


def test_every_rival_has_its_penalty_by_its_own_name():
    for name, both in RIVALS.items():
        for penalty in both:
            assert [*inspect.signature(getattr(rivals, name)).parameters][4:] == [*penalty]


def test_a_table_takes_the_best_and_the_last_sweep(tmp_path):
    rmse = np.linspace(2, 1, 400)
    rmse[321] = 0.5
    places = thinned(rmse)
    assert {*range(30), 321, 399} <= {*places} and len(places) < 100
    assert [*thinned(rmse[:3])] == [0, 1, 2]
    fit = Trajectory([1, 2, 3], [1.0, 2.0, 3.0], [], 0.2, 0.3, 1.0)
    watched = fit._replace(rmse=[0.9, 0.8], steps=[1, 2])
    frame = frame_of(fit, watched, "warm", 1)
    assert frame["step"].tolist() == [1, 2] and frame["rmse"].tolist() == [0.9, 0.8]
    for seconds in (1.0, 5.0):  # the second in place of the first
        new = frame.assign(system="als", size="1m", rank=16, seconds=seconds)
        table = kept(tmp_path / "table.csv", new)
    assert table["seconds"].tolist() == [5.0, 5.0]
    other = frame.assign(system="vb", size="1m", rank=16)
    assert len(kept(tmp_path / "table.csv", other)) == 4


def test_a_rival_that_is_not_there_says_why(path, tmp_path):
    race = Race(Path(path), "1m", 2, 4, 9.0, 1, tmp_path, sys.executable)
    table = kept(tmp_path / "table.csv", rows_of(race, "libmf"))
    assert "No module named 'libmf'" in table["error"].iloc[0] and len(table) == 1
    shown = numbers(table)
    assert shown["best RMSE"].iloc[0].startswith("not here: ModuleNotFoundError")


def test_goals_are_of_the_rivals_and_of_ours():
    def line(system, cache, rmse, seconds):
        same = {"system": system, "size": "1m", "rank": 16, "cache": cache, "peak_gb": 1.0}
        facts = {"search_seconds": 0.5, "preparation_seconds": 0.1, "error": np.nan}
        sweeps = {"step": range(1, len(rmse) + 1), "rmse": rmse, "seconds": seconds}
        return pd.DataFrame(same | facts | sweeps)

    parts = [
        line("als", "cold", [0.9, 0.8], [5.0, 6.0]),
        line("als", "warm", [0.9, 0.8], [1.0, 2.0]),
        line("als", "warm", [0.9, 0.8], [3.0, 4.0]),
        line("lenskit", "none", [0.95, 0.85, 0.86], [1.0, 3.0, 4.0]),
    ]
    als, lenskit = numbers(pd.concat(parts)).to_numpy()
    assert [*als] == ["0.8000", "3", "3", "3", "0.5", "3", "1.00"]
    assert [*lenskit] == ["0.8500", "3", "–", "4", "–", "–", "1.00"]
    reached = pd.DataFrame({"rmse": [0.81, 0.8007], "seconds": [1.0, 2.0]})
    assert seconds_to(reached, 0.8) == 2.0


def test_the_command_names_what_it_does_not_know(tmp_path):
    said = ["--size", "1m", "--out", str(tmp_path), "--only", "lunch"]
    done = CliRunner().invoke(time_to_rmse.app, said)
    assert done.exit_code == 2 and "lunch: say als" in done.output
    assert rating_sets.NAMES.keys() == {size.value for size in time_to_rmse.Size}
