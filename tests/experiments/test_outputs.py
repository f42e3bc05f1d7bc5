"""What a sweep writes, prints and promises. Catches: tables that lose runs, figures of other runs,
a score that is configured and not shown, an estimate of other runs."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments import __main__ as command
from experiments.config.comparison import ComparisonConfig
from experiments.config.files import CONFIGS, load_experiment
from experiments.config.identity import fields_of, identify, searches_of
from experiments.sweeps.estimate import Costs
from experiments.sweeps.plan import in_words, listed, planned
from experiments.sweeps.tasks import tasks_of
from experiments.systems.base import Outcome
from experiments.systems.registry import SYSTEMS
from experiments.tables.comparisons import comparisons
from experiments.tables.outputs import members
from experiments.tables.summary import summary, verdicts
from pmf.data.splits import Split
from pmf.errors import InputError
from pmf.evaluate.metrics import METRICS, user_sums
from tests.helpers.grids import ARMS, finish, write

POINTS = """
data = "{data}"
[split]
kind = "crossfold_records"
partitions = 3
fold = [1, 2, 3]
[model]
rank = 0
method = "gibbs"
[arm.one]
[arm.two]
tau = "learn"
"""
COMPARED = """
[comparison]
references = ["one"]
metrics = ["rmse", "crps"]
"""


def predict(settings, split: Split, *rest: object) -> Outcome:
    """What no fit is needed for: a constant for each arm."""
    level, n = {"auto": 3.0, "learn": 3.5}[settings.tau], len(split.test)
    return Outcome(np.full(n, level), np.full(n, 2.0), costs={"fit_seconds": 1.0 + settings.rank})


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setitem(SYSTEMS, "pmf", SYSTEMS["pmf"]._replace(fit_and_predict=predict))
    return write(tmp_path, POINTS, "points")


def run(config, *more: str, code: int = 0, command_name: str = "run") -> str:
    where = ["--runs-dir", str(config.parent / "runs")]
    done = CliRunner().invoke(
        command.app, [command_name, str(config), *where, *more], standalone_mode=False
    )
    if isinstance(done.exception, InputError):
        assert code == 2, done.exception
        return str(done.exception)
    assert done.exception is None and (done.return_value or 0) == code, done.output
    return done.output


def runs_of_tables(config, folder: str = "runs") -> set[str]:
    table = pd.read_csv(config.parent / folder / "points" / "runs.csv", dtype={"id": str})
    scores = pd.read_csv(config.parent / folder / "points" / "scores.csv", dtype={"id": str})
    assert set(scores["id"]) == set(table["id"])
    return set(table["id"])


def test_a_narrower_rerun_loses_no_line_of_the_tables(config):
    run(config, "--no-figures")
    before = {path: path.read_bytes() for path in (config.parent / "runs/points").glob("*.*")}
    assert len(runs_of_tables(config)) == 6
    output = run(config, "--no-figures", "--set", "split.fold=1")
    assert "its tables keep 4 runs that they held before" in output
    assert {path: path.read_bytes() for path in before} == before


def test_parts_of_one_grid_come_together_in_its_order(config):
    run(config, "--no-figures", "--set", "split.fold=[2, 3]")
    run(config, "--no-figures", "--set", "split.fold=1")
    table = pd.read_csv(config.parent / "runs/points/runs.csv", dtype={"id": str})
    assert list(table["id"]) == [point.id for point in identify(load_experiment(config, []))]
    run(config, "--no-figures")
    assert len(runs_of_tables(config)) == 6


def test_tables_of_another_grid_are_refused_before_any_work_or_replaced(config):
    run(config, "--no-figures")
    before, folder = runs_of_tables(config), config.parent / "runs/points"
    files = sorted(folder.iterdir())
    for more in (
        ["--set", "model.rank=2"],
        ["--set", "split.fold=[1, 2, 3]", "--set", "split.seed=1"],
    ):
        assert "its tables hold 6 runs that are not of this grid" in run(config, *more, code=2)
        assert sorted(folder.iterdir()) == files
        assert "not of this grid" in run(config, *more, "--dry-run", code=2)
    run(config, "--no-figures", "--set", "model.rank=2", "--set", "split.fold=1", "--replace")
    assert len(runs_of_tables(config)) == 2 and not runs_of_tables(config) & before
    assert all((folder / name).is_dir() for name in before)  # the runs themselves stay


def test_a_changed_configuration_is_refused_too(config):
    run(config, "--no-figures")
    config.write_text(config.read_text().replace("rank = 0", "rank = 2"))
    assert "hold 6 runs that are not of this grid" in run(config, code=2)
    config.write_text(config.read_text().replace("rank = 2", "rank = [0, 2]"))
    run(config, "--no-figures")  # a wider grid holds what was there
    assert len(runs_of_tables(config)) == 12


def test_a_run_that_is_gone_is_not_dropped_from_the_tables_in_silence(config, tmp_path):
    points = identify(load_experiment(config, []))
    out = tmp_path / "out"
    out.mkdir()
    pd.DataFrame({"id": [point.id for point in points]}).to_csv(out / "runs.csv", index=False)
    for point in points[:3]:
        (tmp_path / point.id).mkdir()
    with pytest.raises(InputError, match="hold 5 runs that are not of this grid"):
        members(points[:1], lambda: points, out, tmp_path)
    for point in points:
        (tmp_path / point.id).mkdir(exist_ok=True)
    assert members(points[:1], lambda: points, out, tmp_path) == points
    (out / "runs.csv").write_text("")
    with pytest.raises(InputError, match="runs.csv: cannot be read"):
        members(points[:1], lambda: points, out, tmp_path)


def test_collect_does_not_cut_tracked_tables(config, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    run(config, "--no-figures")
    run(config, command_name="collect")
    assert "6 runs collected" in run(config, "--set", "split.fold=1", command_name="collect")
    assert len(runs_of_tables(config, "results")) == 6
    assert "not of this grid" in run(
        config, "--set", "model.rank=1", "--set", "split.fold=[4]", command_name="collect", code=2
    )


@pytest.mark.slow
def test_tables_figures_and_latex_are_in_the_folder_of_the_runs(config):
    """So two --runs-dir never draw over one another's figures."""
    output = run(config, "--set", "split.fold=1")
    folder = config.parent / "runs" / "points"
    names = {path.name for path in folder.iterdir()}
    assert {"scores.csv", "calibration.png", "calibration.pdf", "scores.tex", "scores.md"} <= names
    paths = [line.split(maxsplit=1)[1] for line in output.splitlines() if str(folder) in line]
    assert len(paths) > 5 and all(path.startswith(str(folder)) for path in paths)
    run(config, "--set", "split.fold=1", "--figures-dir", str(config.parent / "figures"))
    assert (config.parent / "figures" / "points" / "calibration.png").is_file()


def test_no_figures_are_drawn_unasked(config):
    assert "\nfigure" not in run(config, "--no-figures", "--set", "split.fold=1")
    names = {path.suffix for path in (config.parent / "runs" / "points").iterdir()}
    assert names == {"", ".csv", ".json", ".tex", ".md"}


def test_the_printed_table_has_what_is_configured(config):
    config.write_text(config.read_text() + COMPARED)
    output = run(config, "--no-figures", "--set", "model.rank=[0, 1]", "--set", "split.fold=1")
    lines = output.splitlines()
    at = next(j for j, line in enumerate(lines) if line.startswith("against one"))
    assert lines[at + 1].split() == ["arm", "rank", "RMSE", "CRPS"]
    assert [line.split()[:2] for line in lines[at + 2 : at + 4]] == [["two", "0"], ["two", "1"]]
    table = pd.read_csv(config.parent / "runs/points/comparisons.csv")
    first = table[(table["metric"] == "crps") & (table["model.rank"] == 0)].iloc[0]
    assert lines[at + 2].split()[4] == f"{first['difference']:+.4f}"
    assert set(table["metric"]) == {"rmse", "crps"}


def test_crps_is_compared_as_it_is_averaged():
    """The difference of the table is that of the scores: sums over users lose nothing."""
    rng = np.random.default_rng(0)
    user, rating = rng.integers(0, 9, 200), rng.normal(size=200)
    parts = [
        user_sums(user, rating, mean, np.ones(200)).assign(arm=arm)
        for arm, mean in (("a", np.zeros(200)), ("b", rating / 2))
    ]
    table = pd.concat(parts).assign(**{"split.fold": 1, "split.seed": 0, "model.seed": 0})
    config = ComparisonConfig(references=("a",), metrics=("crps",))
    (line,) = comparisons(table, config).to_dict("records")
    sums = [part["crps"].sum() / 200 for part in parts]
    assert line["difference"] == pytest.approx(sums[1] - sums[0]) and line["verdict"] == "better"


def test_an_arm_that_is_not_compared_is_named():
    rows = pd.DataFrame(
        [
            {
                "metric": metric,
                "arm": "b",
                "reference": "a",
                "difference": value,
                "verdict": verdict,
            }
            for metric, value, verdict in (
                ("rmse", 0.1, "worse"),
                ("log_density", np.nan, "left out: has no log_density"),
            )
        ]
    )
    output = verdicts(rows, ["a", "c"], ["rmse", "log_density"])
    assert "+0.1000 worse" in output and "against c: comparisons.csv" in output.splitlines()[0]
    assert output.splitlines()[-1] == "b by log_density: left out: has no log_density"
    output = verdicts(rows[1:], ["a"], ["log_density"])
    assert output.splitlines()[1:] == ["b by log_density: left out: has no log_density"]


def test_verdicts_of_several_data_sets_are_told_apart():
    """Their comparisons differ in the data alone, whose column has no dot in its name."""
    same = {"metric": "rmse", "reference": "a", "difference": -0.02, "verdict": "better"}
    rows = pd.DataFrame([same | {"data": data, "arm": "b"} for data in ("one", "two")])
    output = verdicts(rows, ["a"], ["rmse"])
    assert all(data in output for data in ("one", "two")) and output.count("-0.0200 better") == 2


def test_a_metric_newer_than_the_runs_is_made_from_their_predictions(config, monkeypatch):
    """Whatever a configuration accepts is computed, also where `users.csv` lacks its column."""
    run(config, "--no-figures", "--set", "split.fold=1")
    newer = METRICS["mae"]._replace(title="cubed error", column="", of_rating=cubed)
    monkeypatch.setitem(METRICS, "cubed", newer)
    config.write_text(config.read_text() + COMPARED.replace("crps", "cubed"))
    assert "cubed error" in run(config, "--no-figures", "--set", "split.fold=1")
    table = pd.read_csv(config.parent / "runs/points/comparisons.csv").set_index("metric")
    folders = [path.parent for path in (config.parent / "runs/points").glob("*/users.csv")]
    made = {json.loads((x / "config.json").read_text())["arm"]: x for x in folders}
    means = {}
    for arm, folder in made.items():
        rows = pd.read_parquet(folder / "predictions.parquet")
        means[arm] = np.mean(np.abs(rows["rating"] - rows["mean"]) ** 3)
    assert table.loc["cubed", "difference"] == pytest.approx(means["two"] - means["one"])


def cubed(rating, prediction) -> np.ndarray:
    return np.abs(rating - prediction.mean) ** 3


def test_a_run_that_predicted_nothing_is_said_in_the_table_and_on_the_terminal(config, monkeypatch):
    begun = []

    def broken(settings, split: Split, *rest: object) -> Outcome:
        begun.append(settings.tau)
        first = begun.count("learn") == 1 and settings.tau == "learn"
        return Outcome(error="it broke") if first else predict(settings, split)

    monkeypatch.setitem(SYSTEMS, "pmf", SYSTEMS["pmf"]._replace(fit_and_predict=broken))
    config.write_text(config.read_text() + COMPARED)
    output = run(config, "--no-figures")
    why = "left out: lacks 1 of 3 runs"
    assert f"two by rmse, crps: {why}" in output
    table = pd.read_csv(config.parent / "runs/points/comparisons.csv")
    assert table["verdict"].tolist() == [why, why] and table["difference"].isna().all()


def test_ndcg_is_in_the_printed_table_where_it_was_measured():
    runs = pd.DataFrame({"id": ["x"], "model.method": ["als"], "model.rank": [2], "error": [""]})
    scores = pd.DataFrame(
        {"id": "x", "metric": ["rmse", "ndcg@20", "fit_seconds"], "value": [0.9, 0.25, 1.0]}
    )
    head, line = summary(runs, scores).splitlines()
    assert head.split() == ["method", "rank", "RMSE", "NDCG@20", "fit", "(s)"]
    assert line.split() == ["ALS", "2", "0.9000", "0.2500", "1.00"]
    assert "NDCG" not in summary(runs, scores[scores["metric"] != "ndcg@20"])


def timed(folder, configs, seconds) -> None:
    """Tables of runs that took so long."""
    lines = [{"id": f"{j:012x}", **fields_of(config)} for j, config in enumerate(configs)]
    tuned = [config.tuning and config.tuning.trials for config in configs]
    folder.mkdir()
    pd.DataFrame(lines).assign(**{"tuned.trials": tuned}).to_csv(folder / "runs.csv", index=False)
    names = ("fit_seconds", "search_seconds", "compile_seconds")
    scores = [
        (line["id"], name, value)
        for line, times in zip(lines, seconds, strict=True)
        for name, value in zip(names, times, strict=True)
    ]
    pd.DataFrame(scores, columns=["id", "metric", "value"]).to_csv(
        folder / "scores.csv", index=False
    )


def test_an_estimate_is_the_time_of_like_runs(tmp_path):
    config = write(tmp_path, ARMS, "arms")
    runs = list(load_experiment(config, []).runs)  # mean, biases, all; two seeds each
    searches = searches_of(runs)
    assert [run.arm for run in searches] == ["biases", "all"]
    seconds = [(1, 0, 0), (3, 0, 0), (10, 70, 30), (20, 70, 30), (100, 700, 300), (300, 700, 300)]
    timed(tmp_path / "tables", runs, seconds)
    costs = Costs([tmp_path / "tables", tmp_path / "none"])
    estimate = costs.estimate(runs, searches)
    assert estimate.seconds == pytest.approx(2 * (2 + 15 + 200) + 100 + 1000)
    assert estimate.known == estimate.total == 8
    other = [
        run.model_copy(update={"model": run.model.model_copy(update={"rank": 9})}) for run in runs
    ]
    assert costs.estimate(other, []).known == 0
    seeds = [
        run.model_copy(update={"split": run.split.model_copy(update={"fold": 3})}) for run in runs
    ]
    assert costs.estimate(seeds, []).seconds == pytest.approx(2 * (2 + 15 + 200))
    elsewhere = [run.model_copy(update={"data": "ml-25m"}) for run in runs[:1]]
    sentence = in_words(elsewhere, [], costs.estimate(elsewhere, []))
    assert sentence == f"1 runs, about 2 s of fitting, as on {tmp_path / 'ratings.csv'}"
    assert in_words(other, [], costs.estimate(other, [])).endswith("no like one has been timed")


def test_an_untuned_run_pays_for_its_own_search(tmp_path):
    runs = list(load_experiment(write(tmp_path), []).runs)
    timed(tmp_path / "tables", runs, [(1, 2, 3)] * 4)
    assert Costs([tmp_path / "tables"]).estimate(runs, []).seconds == pytest.approx(24)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_says_what_it_asks_and_about_how_long_it_takes(path):
    experiment = load_experiment(path, [])
    work, asks = listed(experiment, Costs([command.RESULTS / path.stem])).splitlines()
    assert asks.strip() == experiment.about and len(experiment.about) > 30
    assert f"{len(experiment.runs):,} runs" in work
    assert ("about" in work) != (path.stem == "scaling") and " for " not in work


def test_a_plan_says_all_that_is_to_do(tmp_path):
    experiment = load_experiment(write(tmp_path, ARMS, "arms"), [])
    points = identify(experiment)
    finish(tmp_path / points[0].id)
    text = planned(experiment, points, tasks_of(points, tmp_path), tmp_path, Costs([]))
    assert text.splitlines()[0].startswith(f"{points[0].id}  there")
    assert text.endswith(
        f"arms: 6 runs, 1 there in {tmp_path}/; to do: 5 runs after 2 searches "
        "(6 trials), no like one has been timed"
    )


def test_a_dry_run_of_very_many_points_answers_at_once(config):
    many = f"[{', '.join(map(str, range(5_000)))}]"
    output = run(
        config, "--dry-run", "--set", f"model.seed={many}", "--set", f"model.rank={many}", code=2
    )
    assert "150,000,000 runs; an experiment has at most 10,000" in output
