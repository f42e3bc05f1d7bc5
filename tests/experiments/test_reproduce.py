"""Runs made again, and leftovers. Catches: a difference that is passed over, a removal too many."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments.config.files import load_experiment
from experiments.config.identity import identify
from experiments.config.inputs import dataset, digest
from experiments.runs.execute import metrics
from experiments.runs.folders import find_run, only_one, write_manifest
from experiments.runs.leftovers import leftovers, remove, whole_experiment
from experiments.runs.reproduce import ELSEWHERE, changed, reproduce, text
from experiments.runs.tune import SearchResult
from experiments.sweeps.sweep import sweep_here
from experiments.sweeps.tasks import Options, Show, tasks_of
from experiments.systems.base import Outcome
from pmf.errors import InputError
from pmf.fitting.checkpoint import STATE
from pmf.io import sealed
from pmf.io.locks import LOCK
from tests.helpers.grids import ARMS, quiet, write

SILENT = Show(lambda task: None, lambda *step: None, lambda task, failure: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One tuned run, in runs/arms."""
    folder = tmp_path_factory.mktemp("made")
    config = write(folder, ARMS, "arms")
    points = identify(load_experiment(config, ["model.seed=0"]))[-1:]
    options = Options(folder / "runs" / "arms")
    assert sweep_here(tasks_of(points, options.folder), options, SILENT) == []
    return options.folder / points[0].id


@pytest.fixture
def run(made, tmp_path):
    """A copy to spoil."""
    copy = tmp_path / "runs" / "arms" / made.name
    copy.mkdir(parents=True)
    for path in made.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


@pytest.mark.slow
def test_a_run_is_the_same_again_bit_for_bit(made):
    assert json.loads((made / "manifest.json").read_text())["tuned"]["trials"] == 3
    verdict = reproduce(find_run(made.parent.parent, made.name[:5]), quiet)
    assert verdict.tolerance == 0 and not verdict.surroundings and not verdict.failed
    names = {x.name for x in verdict.differences}
    assert {"rmse", "log_density", "unknown_items", "predicted mean", "predicted variance"} <= names
    assert text(verdict).endswith("allowed difference: none, bit for bit\nreproduced")


@pytest.mark.slow
def test_other_numbers_and_other_versions_are_named(run):
    table = pd.read_parquet(run / "predictions.parquet")
    table.loc[3, "mean"] = np.nextafter(table.loc[3, "mean"], 9)
    table.to_parquet(run / "predictions.parquet", index=False)
    manifest = json.loads((run / "manifest.json").read_text())
    write_manifest(run, manifest)
    verdict = reproduce(run, quiet)
    assert [x.name for x in verdict.failed] == ["predicted mean"]
    assert text(verdict).endswith("DIFFERENT: predicted mean")
    manifest["versions"]["jax"] = "0.1"
    write_manifest(run, manifest)
    verdict = reproduce(run, quiet)
    assert verdict.tolerance == ELSEWHERE and not verdict.failed
    assert [x.split()[0] for x in verdict.surroundings] == ["jax"]
    assert "not as it was: jax was 0.1, is" in text(verdict)
    metrics = (run / "metrics.csv").read_text().replace("final,coverage_90", "final,coverage")
    (run / "metrics.csv").write_text(metrics)
    write_manifest(run, manifest)
    assert {x.name for x in reproduce(run, quiet, 9.0).failed} == {"coverage", "coverage_90"}


def test_a_run_is_reproduced_on_its_data_only(run, monkeypatch):
    manifest = json.loads((run / "manifest.json").read_text())
    write_manifest(run, manifest | {"data_sha256": "0" * 64})
    with pytest.raises(InputError, match="a run can only be reproduced on its data"):
        reproduce(run, quiet)
    dataset.cache_clear()
    digest.cache_clear()


def test_a_manifest_of_another_version_is_refused(run):
    path = run / "manifest.json"
    facts = json.loads(path.read_text())
    write_manifest(run, {name: x for name, x in facts.items() if name != "tuned"})
    with pytest.raises(InputError, match=r"manifest\.json: made by .*without tuned; remove"):
        reproduce(run, quiet)
    path.write_text(json.dumps({name: x for name, x in facts.items() if name != "sha256"}))
    with pytest.raises(InputError, match=r"manifest\.json: without a seal, damaged or made by"):
        reproduce(run, quiet)
    path.write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: damaged, no JSON; remove"):
        reproduce(run, quiet)


def test_the_surroundings_are_compared_by_name():
    now = {"git_commit": "b", "cores": 2, "versions": {"jax": "2"}}
    before = {"git_commit": "a", "cores": 2, "versions": {"jax": "1"}, "id": "x"}
    assert changed(before, now) == ["git commit was a, is b", "jax was 1, is 2"]
    assert changed(now, now) == []


def test_a_run_is_found_by_the_beginning_of_its_name(tmp_path):
    first, second, third = (f"{begin:0<12}" for begin in ("abc1", "abd2", "abd3"))
    for name in (f"one/{first}", f"two/{second}", f"two/{third}", f"one/{second}", "one/abc"):
        (tmp_path / name).mkdir(parents=True)
    assert find_run(tmp_path, "abc") == tmp_path / "one" / first
    assert find_run(tmp_path, "abd2") == tmp_path / "one" / second  # the same run twice
    with pytest.raises(InputError, match="3 runs begin so"):
        find_run(tmp_path, "abd")
    with pytest.raises(InputError, match="no such run among the 4"):
        find_run(tmp_path, "f")
    for name in ("**x", "*", "..", "", "../one/abc1", f"{first}0", "ABC1"):
        with pytest.raises(InputError, match="not an identity, which has up to 12 digits"):
            find_run(tmp_path, name)


def test_only_what_nobody_works_on_is_removed(tmp_path):
    home, (a, b, c, d, e, f) = tmp_path / "one", (letter * 12 for letter in "abcdef")
    for name in (
        f".{a}.checkpoints",
        f".{a}.x1y2z3w4",
        f".{b}.checkpoints",
        f".{c}.checkpoints",
        c,
        "studies",
    ):
        (home / name).mkdir(parents=True)
    for name in (a, c):
        sealed.write(home / f".{name}.checkpoints", 1, STATE, {}, {})
        (home / f".{name}.checkpoints" / LOCK).write_text("pmf lock: process 1 on host\n")
    (home / f".{c}.checkpoints" / f"00000002-{'0' * 16}{STATE}").write_text("mine")
    for name in (f"{d}.json", f"{d}.journal", f"{e}.journal", f"{f}.journal", f".{e}.lock"):
        (home / "studies" / name).touch()
    (home / f".{a}.lock").write_text("pmf lock: process 1 on host\n")  # which was killed
    with only_one(home / b), only_one(home / "studies" / f"{f}.json"):
        things = leftovers(tmp_path)
        with pytest.raises(InputError, match=f"a process works on {b}, {f}"):
            whole_experiment(tmp_path, "one")
    assert things.left == [home / f".{c}.checkpoints"]
    assert {str(thing.path.relative_to(home)) for thing in things.ours} == {
        f".{a}.checkpoints",
        f".{a}.x1y2z3w4",
        f".{a}.lock",
        f"studies/.{e}.lock",
        f"studies/{e}.journal",
    }
    remove(things.ours)
    assert (home / c).is_dir() and (home / "studies" / f"{d}.journal").exists()
    assert not leftovers(tmp_path).ours[2:]  # b and f, now that nobody works on them
    with pytest.raises(InputError, match="no such experiment in .*there are one"):
        whole_experiment(tmp_path, "oen")


# --- what is compared, without a fit --------------------------------------------------------------

RESULT = SearchResult({"factor": 3.0}, 0.9, 7, 1.5, 0.5)
NOW = {"git_commit": "a", "cores": 2, "versions": {"jax": "1"}}


class Again:
    """A recorded run of numbers made here, and what comes out when it is made again."""

    def __init__(self, tmp_path, monkeypatch, tuned: SearchResult | None = RESULT):
        config = load_experiment(write(tmp_path), ["split.fold=1", "model.method=als"])
        (self.point,) = identify(config)
        self.run = tmp_path / "runs" / self.point.id
        self.run.mkdir(parents=True)
        (self.run / "config.json").write_text(self.point.config.model_dump_json())
        facts = {"data_sha256": self.point.data, "tuned": tuned and tuned._asdict(), **NOW}
        rng = np.random.default_rng(0)
        self.predictions = pd.DataFrame(
            {"mean": rng.normal(3, 1, 50), "variance": rng.uniform(0.5, 1, 50)}
        )
        self.scores = {"rmse": 0.9, "mae": 0.7, "coverage_90": 0.88}
        self.surroundings, self.calls = dict(NOW), []
        self.predictions.to_parquet(self.run / "predictions.parquet", index=False)
        metrics(Outcome(), self).to_csv(self.run / "metrics.csv", index=False)
        write_manifest(self.run, facts | {"id": self.point.id})
        for name in ("predict", "scored", "surroundings"):
            monkeypatch.setattr(f"experiments.runs.reproduce.{name}", getattr(self, f"_{name}"))

    def _predict(self, point, on_step, tuned):
        self.calls.append((point.id, tuned))
        return None, Outcome()

    def _scored(self, config, split, outcome):
        return self

    def _surroundings(self):
        return self.surroundings

    def moved(self, name: str, by: float) -> None:
        """One number comes out otherwise: of the 8th prediction, or a score."""
        if name in self.scores:
            self.scores = self.scores | {name: self.scores[name] + by}
        else:
            self.predictions = self.predictions.copy()
            self.predictions.loc[7, name] += by

    def failed(self, tolerance: float | None = None) -> list[str]:
        return [x.name for x in reproduce(self.run, quiet, tolerance).failed]


@pytest.fixture
def again(tmp_path, monkeypatch):
    return Again(tmp_path, monkeypatch)


def test_a_run_is_made_again_under_the_tuned_settings_that_it_recorded(again):
    assert again.failed() == [] and again.calls == [(again.point.id, RESULT)]


def test_a_run_that_was_not_tuned_is_made_again_without(tmp_path, monkeypatch):
    again = Again(tmp_path, monkeypatch, tuned=None)
    assert again.failed() == [] and again.calls == [(again.point.id, None)]


@pytest.mark.parametrize("by", [1e-12, -1e-12, 1e-3])
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("mean", "predicted mean"),
        ("variance", "predicted variance"),
        ("rmse", "rmse"),
        ("coverage_90", "coverage_90"),
    ],
)
def test_any_number_that_moves_is_a_difference(again, name, line, by):
    again.moved(name, by)
    assert again.failed() == [line]
    (difference,) = reproduce(again.run, quiet).failed
    assert difference.difference == pytest.approx(abs(by), rel=1e-3)
    assert difference.now - difference.recorded == pytest.approx(by, rel=1e-3)


@pytest.mark.parametrize("name", ["mean", "variance", "rmse"])
def test_a_tolerance_is_what_is_allowed_and_no_more(again, name):
    again.moved(name, 2e-3)
    assert again.failed(2.1e-3) == [] and len(again.failed(1.9e-3)) == 1


def test_elsewhere_a_little_more_is_allowed_by_default_only(again):
    again.moved("mean", 0.9e-5)
    assert again.failed() == ["predicted mean"]
    again.surroundings = NOW | {"cores": 4}
    assert again.failed() == [] and again.failed(0.0) == ["predicted mean"]
    again.moved("mean", 0.2e-5)
    assert again.failed() == ["predicted mean"]


def test_what_is_missing_or_too_much_is_a_difference(again):
    again.predictions = again.predictions[:-1]
    assert again.failed(9.0) == ["predicted mean", "predicted variance"]
    again.predictions = again.predictions[["mean"]]
    assert again.failed(9.0) == ["predicted mean", "predicted variance"]
    again.scores = again.scores | {"rmse": np.nan}
    assert again.failed(9.0)[0] == "rmse"
