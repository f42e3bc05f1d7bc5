"""Run folders, tables and figures. Catches: a run half-written, a table that lacks a run, a mean
over the wrong runs."""

import json
import os
import signal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.config.files import load_experiment
from experiments.config.identity import identify
from experiments.config.schema import RankingConfig
from experiments.runs import execute as runs
from experiments.runs.collect import collect, thinned
from experiments.runs.execute import execute
from experiments.runs.folders import write_manifest
from experiments.sweeps.sweep import sweep_here
from experiments.sweeps.tasks import Options, Show, tasks_of
from experiments.systems.base import Outcome
from experiments.systems.registry import SYSTEMS
from experiments.tables.summary import summary
from paper_figures.figures import calibration, convergence
from paper_figures.figures.build import build
from pmf.data.splits import Split
from pmf.errors import InputError, Interrupted, NotFiniteError
from pmf.evaluate.ranking import Ranking
from tests.helpers.grids import quiet, write

TABLES = ["calibration.csv", "metrics.csv", "pit.csv", "strata.csv", "users.csv"]


@pytest.fixture
def experiment(tmp_path):
    return load_experiment(write(tmp_path), [])


@pytest.mark.slow
def test_run_folders_become_tables_and_figures(experiment, tmp_path):
    folder, points = tmp_path / "runs", identify(experiment)
    with pytest.raises(InputError, match="4 of 4 runs of tiny are missing; run it first"):
        collect(experiment, points, folder)
    for point in points:
        execute(point, folder / point.id, quiet)
    files = {path.name for path in (folder / points[0].id).iterdir()}
    assert files == {"config.json", "manifest.json", "predictions.parquet", *TABLES}
    manifest = json.loads((folder / points[1].id / "manifest.json").read_text())
    known = {"git_commit", "versions", "machine", "cores", "split_hash", "compile_seconds"}
    assert known <= set(manifest) and manifest["data_sha256"] == points[1].data

    users = []
    tables = collect(experiment, points, folder, lambda table: users.append(table) or table)
    assert list(tables["runs"]["id"]) == [point.id for point in points]
    assert {"arm", "system", "split.fold", "model.prior.tau", "error"} <= set(tables["runs"])
    scores = tables["scores"].pivot(index="id", columns="metric", values="value")
    for point in points:  # the table's numbers are the predictions' own
        predicted = pd.read_parquet(folder / point.id / "predictions.parquet")
        error = predicted["rating"] - predicted["mean"]
        assert scores["rmse"][point.id] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
        user_lines = users[0].query("id == @point.id")
        by_user = (error**2).groupby(predicted["user_id"]).sum()
        np.testing.assert_allclose(
            user_lines.set_index("user_id")["squared_error"], by_user, rtol=1e-12
        )
        assert user_lines["n"].sum() == 200 and set(user_lines["model.method"]) == {
            point.config.model.method
        }
    share = tables["pit"].groupby("id")["share"]
    np.testing.assert_allclose(share.sum(), 1.0)
    assert (share.size() == 20).all() and (tables["calibration"].groupby("id").size() == 19).all()

    lines = summary(tables["runs"], tables["scores"]).splitlines()
    assert len(lines) == 1 + 2 and "90 % coverage" in lines[0]
    assert lines[1].split()[:3] == ["ALS", "2", "2"] and "Gibbs" in lines[2]
    mean = np.mean([scores["rmse"][p.id] for p in points if p.config.model.method == "als"])
    assert lines[1].split()[3] == f"{mean:.4f}"

    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    pictures = build(folder, tmp_path / "out")
    assert {"convergence.png", "calibration.png", "pit.png"} <= {path.name for path in pictures}
    assert all(path.stat().st_size > 10_000 for path in pictures)
    assert (tmp_path / "out" / "convergence.pdf").read_bytes().startswith(b"%PDF")

    copy = folder / points[1].id / "metrics.csv"
    lines = copy.read_text()
    for spoilt in (lines + lines.splitlines()[-1] + "\n", lines.splitlines()[0] + "\n"):
        copy.write_text(spoilt)
        with pytest.raises(
            InputError, match=f"{copy}: altered since it was written; remove .* run runs"
        ):
            collect(experiment, points, folder)
        write_manifest(copy.parent, opened_anyway(copy.parent))
        with pytest.raises(InputError, match=f"scores: none, or one twice, of {points[1].id}"):
            collect(experiment, points, folder)
    copy.write_text(lines)
    write_manifest(copy.parent, opened_anyway(copy.parent))
    (folder / points[0].id / "pit.csv").unlink()
    with pytest.raises(InputError, match=r"pit\.csv: cannot be read \(No such file"):
        collect(experiment, points, folder)
    write_manifest(folder / points[0].id, opened_anyway(folder / points[0].id))
    with pytest.raises(InputError, match="pit: not 20 rows for each of 4 runs"):
        collect(experiment, points, folder)


def opened_anyway(run) -> dict:
    """What a manifest says, whatever became of the files."""
    return json.loads((run / "manifest.json").read_text())


def fake(outcome: Outcome, monkeypatch) -> None:
    """Every run's system gives this."""
    system = SYSTEMS["pmf"]._replace(fit_and_predict=lambda *arguments: outcome)
    monkeypatch.setitem(SYSTEMS, "pmf", system)


def test_a_system_without_a_variance_has_no_density(experiment, tmp_path, monkeypatch):
    fake(Outcome(np.full(200, 3.0), costs={"fit_seconds": 1.0}), monkeypatch)
    points = identify(experiment)
    for point in points:
        execute(point, tmp_path / "runs" / point.id, quiet)
    files = {path.name for path in (tmp_path / "runs" / points[0].id).iterdir()}
    assert "users.csv" in files and not files & {"calibration.csv", "pit.csv"}
    tables = collect(experiment, points, tmp_path / "runs")
    metrics = set(tables["scores"]["metric"])
    assert {"rmse", "user_mae", "unknown_items", "fit_seconds"} <= metrics
    assert not metrics & {"log_density", "crps", "coverage_90"}
    assert len(tables["calibration"]) == 0 and "log density" not in summary(
        tables["runs"], tables["scores"]
    )


def test_a_user_without_a_relevant_item_still_has_errors():
    """Nothing is ranked for them, and their ratings count in every other comparison."""
    train = pd.DataFrame({"user_id": [1, 2], "item_id": [5, 5], "rating": 3.0})
    test = pd.DataFrame({"user_id": [1, 2, 2], "item_id": [6, 6, 7], "rating": [5.0, 1.0, 2.0]})
    ranking = Ranking({"ndcg@10": 0.5}, pd.DataFrame({"user_id": [1], "relevant": 1, "ndcg": 0.5}))
    calls = []

    def rank(*arguments):
        calls.append(arguments)
        return ranking

    outcome = Outcome(np.full(3, 3.0), rank=rank)
    config = SimpleNamespace(ranking=RankingConfig(k=7, relevant=4.5))
    scores = runs.scored(config, Split(train, test), outcome)
    assert scores.users["user_id"].tolist() == [1, 2] and scores.users["n"].tolist() == [1, 2]
    assert scores.users["squared_error"].tolist() == [4.0, 5.0]
    assert scores.users["ndcg"].tolist()[0] == 0.5 and np.isnan(scores.users["ndcg"].iloc[1])
    assert scores.scores["ndcg@10"] == 0.5 and calls == [(test, train, 7, 4.5)]


def test_a_pair_counts_by_what_is_known_of_it_in_training():
    """Its user's and its item's training ratings, and not its test ratings."""
    train = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [5, 6, 5], "rating": 3.0})
    test = pd.DataFrame({"user_id": [1, 2, 3, 3], "item_id": [7, 5, 5, 6], "rating": 4.0})
    outcome = Outcome(np.array([1.0, 2.0, 3.0, 3.5]))
    scores = runs.scored(SimpleNamespace(ranking=None), Split(train, test), outcome)
    history = scores.by_user_history.set_index("stratum")["mae"].to_dict()
    assert history == {"0": 0.75, "1-4": 2.5}
    popularity = scores.by_item_popularity.set_index("stratum")["mae"].to_dict()
    assert popularity == {"0": 3.0, "1-4": pytest.approx(3.5 / 3)}
    assert (scores.scores["unknown_users"], scores.scores["unknown_items"]) == (2, 1)


def test_a_broken_system_is_a_run_with_an_error(experiment, tmp_path, monkeypatch):
    fake(Outcome(error="segmentation fault"), monkeypatch)
    points = identify(experiment)
    for point in points:
        execute(point, tmp_path / "runs" / point.id, quiet)
    tables = collect(experiment, points, tmp_path / "runs")
    assert set(tables["runs"]["error"]) == {"segmentation fault"} and tables["scores"].empty
    assert "unit" not in tables["runs"]
    in_points = experiment.model_copy(update={"unit": "points"})
    assert set(collect(in_points, points, tmp_path / "runs")["runs"]["unit"]) == {"points"}


@pytest.mark.parametrize("mean", [np.full(199, 3.0), np.r_[np.nan, np.full(199, 3.0)]])
def test_no_system_wins_by_leaving_out_what_is_hard(mean, experiment, tmp_path, monkeypatch):
    fake(Outcome(mean), monkeypatch)
    with pytest.raises(InputError, match="199 predictions|of 1 of 200 test ratings is not finite"):
        execute(identify(experiment)[0], tmp_path / "runs" / "x", quiet)
    assert list((tmp_path / "runs").iterdir()) == []


def test_training_counts_are_those_of_the_pair():
    train = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": [1, 2, 2]})
    test = pd.DataFrame({"user_id": ["b", "c", "a", "b"], "item_id": [2, 1, 3, 2]})
    split = Split(train, test)
    assert runs._training_count(split, "user_id").tolist() == [1, 0, 2, 1]
    assert runs._training_count(split, "item_id").tolist() == [2, 1, 0, 2]


def test_scores_count_what_each_side_had_in_training(experiment):
    train = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": [1, 2, 2], "rating": 3.0})
    test = pd.DataFrame({"user_id": ["b", "c", "c"], "item_id": [2, 1, 2], "rating": 4.0})
    config = identify(experiment)[0].config
    scored = runs.scored(config, Split(train, test), Outcome(np.full(3, 3.0)))
    assert (scored.scores["unknown_users"], scored.scores["unknown_items"]) == (2, 0)
    assert scored.by_user_history["stratum"].tolist() == ["0", "1-4"]
    assert scored.by_item_popularity["stratum"].tolist() == ["1-4"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_in_the_middle(experiment, tmp_path):
    point, place = identify(experiment)[1], tmp_path / "runs" / "a"

    def stop(phase: str, step: int, total: int) -> None:
        if (phase, step) == ("gibbs", 5):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        execute(point, place, stop)
    assert stopped.value.code == 143
    assert [path.name for path in place.parent.iterdir()] == [".a.checkpoints"]
    with pytest.raises(InputError, match="resume it, or remove the folder"):
        execute(point, place, quiet)
    steps = []
    execute(point, place, lambda *told: steps.append(told), resume=True)
    assert [step for phase, step, _ in steps if phase == "gibbs"] == list(range(5, 12))
    assert [path.name for path in place.parent.iterdir()] == ["a"]
    execute(point, tmp_path / "b", quiet)
    one, two = (pd.read_parquet(x / "predictions.parquet") for x in (place, tmp_path / "b"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_failed_run_leaves_nothing(experiment, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise NotFiniteError("step 3")

    monkeypatch.setattr(runs, "_write", fail)
    with pytest.raises(NotFiniteError):
        execute(identify(experiment)[0], tmp_path / "runs" / "x", quiet)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(experiment, tmp_path, monkeypatch):
    """While the last file but one is written; the sweep goes on, and says which run it was."""
    fake(Outcome(np.full(200, 3.0)), monkeypatch)
    folder, points = tmp_path / "runs", identify(experiment)

    def full(facts_folder, facts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_manifest", full)
    silent = Show(lambda task: None, lambda *step: None, lambda task, failure: None)
    failures = sweep_here(tasks_of(points, folder), Options(folder), silent)
    assert [failure.message for failure in failures] == [
        f"cannot write {folder / point.id}: No space left on device; free some space or fix the "
        "folder, and run again"
        for point in points
    ]
    assert not any(failure.details for failure in failures) and list(folder.iterdir()) == []


def test_a_trace_keeps_its_ends_is_dense_at_first_and_has_no_holes():
    steps = np.arange(1, 1001)
    trace = pd.DataFrame({"id": "a", "step": steps, "metric": "rmse", "value": 1.0})
    thin = thinned(pd.concat([trace, trace.assign(metric="x")[:10]]))
    rmse = thin.query("metric == 'rmse'")["step"].to_numpy()
    assert rmse[[0, 1, -1]].tolist() == [1, 2, 1000] and 20 <= len(rmse) <= 30
    assert np.sum(rmse <= 50) >= 8 and np.diff(rmse).max() <= 1000 / 14 + 1
    assert thin.query("metric == 'x'")["step"].tolist() == list(range(1, 11))


def test_figures_draw_what_the_table_says():
    table = pd.DataFrame(
        {
            "id": "a",
            "model.method": "als",
            "model.burn_in": 0,
            "step": [1, 2, 3],
            "seconds": [0.1, 0.2, 0.4],
            "metric": "rmse",
            "value": [1.2, 1.0, 0.9],
        }
    )
    figure = convergence.plot(table)
    assert isinstance(figure, Figure)
    (line,) = [x for x in figure.axes[0].get_lines() if len(x.get_xdata())]
    np.testing.assert_allclose(line.get_ydata(), [1.2, 1.0, 0.9])
    levels = np.linspace(0.1, 0.9, 5)
    levels = pd.DataFrame({"id": "a", "model.method": "map", "nominal": levels, "actual": levels})
    lines = calibration.plot(levels).axes[0].get_lines()
    np.testing.assert_allclose(lines[1].get_ydata(), levels["actual"])
