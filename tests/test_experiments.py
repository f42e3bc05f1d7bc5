"""Configurations, run folders and figures. Catches: a typo that is ignored, a run half-written."""

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments import runs
from experiments.config import load
from experiments.table import summary
from paper_figures import calibration, convergence
from paper_figures.build import build
from pmf.errors import InputError, Interrupted, NotFiniteError

TOML = """
data = "{data}"
[split]
kind = "crossfold_records"
partitions = 3
fold = [1, 2]
[model]
method = ["als", "gibbs"]
rank = 2
num_steps = 4
burn_in = 3
num_chains = 1
tau = 1.5
prior = {{ tau = 1.0, user_factor = 5.0, item_factor = 5.0, user_bias = 2.0, item_bias = 2.0 }}
"""


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(0)
    pair = rng.permutation(30 * 40)[:600]
    columns = {"user": pair // 40, "item": pair % 40, "rating": rng.integers(1, 6, 600)}
    pd.DataFrame(columns).to_csv(tmp_path / "ratings.csv", index=False)
    path = tmp_path / "tiny.toml"
    path.write_text(TOML.format(data=tmp_path / "ratings.csv"))
    return path


def quiet(phase: str, step: int, total: int) -> None:
    pass


def test_lists_expand_to_a_grid_with_distinct_ids(config):
    points = load(config, []).runs
    assert [(run.split.fold, run.model.method) for run in points] == [
        (1, "als"), (1, "gibbs"), (2, "als"), (2, "gibbs"),
    ]  # fmt: skip
    assert len({run.id for run in points}) == 4
    assert [run.id for run in load(config, []).runs] == [run.id for run in points]
    assert load(config, ["model.rank=3"]).runs[0].id != points[0].id
    assert len(load(config, ['model.method="map"', "model.rank=[2, 3]"]).runs) == 4
    assert load(config, ["model.scale=[1, 5]"]).runs[0].model.scale == (1, 5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.rnak=3", "tiny.toml: model.rnak: unknown setting; did you mean rank?"),
        ("splt.seed=3", "splt: unknown key; did you mean split?"),
        ("model.rank=deep", "model.rank: Input should be a valid integer"),
        ("split.kind=random", "split.kind: Input should be"),
        ("model.rank=[]", "model.rank: an empty list leaves no run"),
        ("model.rank", "say section.key=value"),
    ],
)
def test_mistakes_name_the_file_and_the_key(config, override, message):
    with pytest.raises(InputError) as raised:
        load(config, [override])
    assert message in str(raised.value)


@pytest.mark.slow
def test_run_folders_become_tables_and_figures(config, tmp_path):
    experiment, folder = load(config, []), tmp_path / "runs"
    with pytest.raises(InputError, match="is missing; run it first"):
        runs.collect(experiment, folder)
    for point in experiment.runs:
        runs.execute(point, folder / point.id, quiet)
    files = {path.name for path in (folder / experiment.runs[0].id).iterdir()}
    tables = ["calibration.csv", "metrics.csv", "predictions.parquet", "strata.csv"]
    assert files == {"config.json", "manifest.json", *tables}
    manifest = json.loads((folder / experiment.runs[1].id / "manifest.json").read_text())
    assert {"git_commit", "versions", "data_sha256", "split_hash", "compile_seconds"} <= set(
        manifest
    )

    tables = runs.collect(experiment, folder)
    assert set(tables["scores"]["id"]) == {run.id for run in experiment.runs}
    final = tables["scores"].query("metric == 'rmse'").set_index("id")["value"]
    for run in experiment.runs:  # the table's number is the predictions' own
        predicted = pd.read_parquet(folder / run.id / "predictions.parquet")
        rmse = np.sqrt(np.mean((predicted["rating"] - predicted["mean"]) ** 2))
        assert final[run.id] == pytest.approx(rmse, rel=1e-6)
        assert len(predicted) == 200
    lines = summary(tables["scores"]).splitlines()
    assert len(lines) == 1 + 4 + 2 and "90 % coverage" in lines[0] and "Gibbs" in lines[2]
    assert lines[5].split()[:3] == ["mean", "ALS", "2"]
    mean = np.mean([final[run.id] for run in experiment.runs if run.model.method == "als"])
    assert lines[5].split()[3] == f"{mean:.4f}"

    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    pictures = build(folder, tmp_path / "out")
    assert [path.name for path in pictures] == ["convergence.png", "calibration.png"]
    assert all(path.stat().st_size > 10_000 for path in pictures)
    assert (tmp_path / "out" / "convergence.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_same_run_gives_the_same_predictions(config, tmp_path):
    point = load(config, []).runs[1]
    for name in ("a", "b"):
        runs.execute(point, tmp_path / name, quiet)
    one, two = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("a", "b"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.slow
def test_a_stopped_run_goes_on_in_the_middle(config, tmp_path):
    point, place = load(config, []).runs[1], tmp_path / "runs" / "a"

    def stop(phase: str, step: int, total: int) -> None:
        if (phase, step) == ("gibbs", 5):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        runs.execute(point, place, stop)
    assert stopped.value.code == 143
    assert [path.name for path in place.parent.iterdir()] == [".a.checkpoints"]
    with pytest.raises(InputError, match="resume it, or remove the folder"):
        runs.execute(point, place, quiet)
    steps = []
    runs.execute(point, place, lambda phase, step, total: steps.append(step), resume=True)
    assert steps == list(range(6, 12))
    assert [path.name for path in place.parent.iterdir()] == ["a"]
    runs.execute(point, tmp_path / "b", quiet)
    one, two = (pd.read_parquet(x / "predictions.parquet") for x in (place, tmp_path / "b"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_failed_run_leaves_nothing(config, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise NotFiniteError("step 3")

    monkeypatch.setattr(runs, "_write", fail)
    with pytest.raises(NotFiniteError):
        runs.execute(load(config, []).runs[0], tmp_path / "runs" / "x", quiet)
    assert list((tmp_path / "runs").iterdir()) == []


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
