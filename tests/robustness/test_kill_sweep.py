"""The judge of killed sweeps, and a kill. Catches: a judge that calls different tables the same."""

import numpy as np
import pandas as pd
import pytest

from pmf.fitting.checkpoint import STATE
from tests.robustness.kill_sweep import differences, live, make

CHECKPOINT = f"sweep/.*.checkpoints/*{STATE}"


def tables(folder, value=0.5, seconds=1.0, mean=3.0):
    run = folder / "abc"
    run.mkdir(parents=True)
    (run / "config.json").touch()
    pd.DataFrame({"mean": [mean]}).to_parquet(run / "predictions.parquet")
    scores = {"id": "abc", "metric": ["rmse", "fit_seconds"], "value": [value, seconds]}
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    trace = {"id": "abc", "step": [1], "seconds": seconds, "metric": "rmse", "value": value}
    pd.DataFrame(trace).to_csv(folder / "trace.csv", index=False)


@pytest.mark.parametrize(
    ("change", "different"),
    [
        ({"seconds": 2.0}, []),
        ({"value": np.nextafter(0.5, 1)}, ["scores.csv", "trace.csv"]),
        ({"mean": np.nextafter(3.0, 4)}, ["abc/predictions.parquet"]),
    ],
)
def test_only_times_may_differ(change, different, tmp_path):
    tables(tmp_path / "one")
    tables(tmp_path / "two", **change)
    assert differences(tmp_path / "one", tmp_path / "two") == different


def test_a_missing_table_or_run_is_a_difference(tmp_path):
    for name in ("one", "two"):
        tables(tmp_path / name)
    (tmp_path / "two" / "trace.csv").unlink()
    (tmp_path / "two" / "abc" / "predictions.parquet").unlink()
    names = differences(tmp_path / "one", tmp_path / "two")
    assert names == ["trace.csv", "abc/predictions.parquet"]


@pytest.mark.slow
def test_a_killed_sweep_ends_as_an_undisturbed_one(tmp_path):
    """At its first checkpoint."""
    sweep = make(tmp_path, jobs=1, trials=2, draws=4, folds=[1], arms=["Gibbs"])
    truth, killed = tmp_path / "truth", tmp_path / "killed"
    live(sweep, truth)
    was_killed, _ = live(sweep, killed, lambda seconds: any(killed.glob(CHECKPOINT)))
    assert was_killed
    live(sweep, killed)
    assert differences(truth / "sweep", killed / "sweep") == []
    assert len(list((killed / "sweep").glob("*/manifest.json"))) == 1
