"""Systems of one's own, in files. Catches: a file that is run unasked, one that changes under a
run's name, a worker that does not find its settings."""

import json
import pickle

import numpy as np
import pytest

from experiments.config.files import load_experiment
from experiments.config.identity import fields_of, identify
from experiments.runs.folders import opened
from experiments.runs.reproduce import reproduce
from experiments.sweeps.sweep import sweep_here
from experiments.sweeps.tasks import Options, Show, tasks_of
from experiments.systems import from_file
from experiments.systems.registry import system_named
from pmf.errors import InputError
from tests.helpers.grids import quiet, write

SILENT = Show(lambda task: None, lambda *step: None, lambda task, failure: None)
FILE = """
from pydantic import BaseModel, ConfigDict
from experiments.systems.base import Outcome, System

class Constant(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    level: float = 3.0

def fit_and_predict(settings, split, dataset, on_step, checkpoints):
    return Outcome(mean=split.test["rating"].to_numpy() * 0 + settings.level)

SYSTEM = System(Constant, fit_and_predict)
"""
TOML = """
data = "{data}"
system = "mine.py:SYSTEM"
[split]
kind = "sample_records"
[model]
level = [2.5, 3.5]
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return write(tmp_path, TOML, "own")


@pytest.fixture
def made(config, tmp_path):
    points = identify(load_experiment(config, []))
    options = Options(tmp_path / "runs")
    assert sweep_here(tasks_of(points, options.folder), options, SILENT) == []
    return [options.folder / point.id for point in points]


def test_a_system_in_a_file_makes_runs_that_are_reproduced(made, tmp_path):
    for run, level in zip(made, (2.5, 3.5), strict=True):
        facts = opened(run).facts
        assert facts["system_sha256"] == from_file.sha256(f"{tmp_path / 'mine.py'}:SYSTEM")
        assert reproduce(run, quiet).failed == []
        assert json.loads((run / "config.json").read_text())["model"] == {"level": level}


def test_a_changed_file_is_another_run_and_reproduces_none(made, config, tmp_path):
    file = tmp_path / "mine.py"
    before = identify(load_experiment(config, []))
    file.write_text(f"{FILE}# changed\n")
    after = identify(load_experiment(config, []))
    assert not {point.id for point in before} & {point.id for point in after}
    file.write_text("raise SystemExit('run without being asked')")
    with pytest.raises(InputError, match="sha256 of its file is .* a run is of one system only"):
        reproduce(made[0], quiet)
    options = Options(tmp_path / "others")
    failures = sweep_here(tasks_of(before, options.folder), options, SILENT)
    assert len(failures) == 2 and all("one system only" in x.message for x in failures)


def test_tables_and_identities_know_the_file_and_not_its_folder(config, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text(FILE)
    toml = config.read_text()
    (tmp_path / "elsewhere" / "own.toml").write_text(toml)
    here, elsewhere = (
        identify(load_experiment(path, [])) for path in (config, tmp_path / "elsewhere/own.toml")
    )
    assert [point.id for point in here] == [point.id for point in elsewhere]
    assert fields_of(here[0].config)["system"] == "mine.py:SYSTEM"
    assert str(tmp_path) not in json.dumps(identify(load_experiment(config, []))[0].title)


def test_a_worker_finds_the_settings(config):
    point = identify(load_experiment(config, []))[0]
    pickled = pickle.dumps(point)
    from_file._module.cache_clear()
    again = pickle.loads(pickled)
    assert again.config.model.level == 2.5
    assert type(again.config.model) is system_named(again.config.system).settings


@pytest.mark.parametrize(
    ("file", "system", "message"),
    [
        (FILE, "mine.py:SYSTEMS", "mine.py: no System called 'SYSTEMS'"),
        (FILE, "mine.py:Constant", "mine.py: no System called 'Constant'"),
        (FILE, "yours.py:SYSTEM", "yours.py: no such file, beside the configuration or here"),
        ("1 +", "mine.py:SYSTEM", "mine.py: line 1: SyntaxError"),
        ("\nimport nothing_of_the_kind", "mine.py:SYSTEM", "line 2: ModuleNotFoundError"),
        ("\n\nx = 1 / 0", "mine.py:SYSTEM", "line 3: ZeroDivisionError"),
    ],
)
def test_mistakes_name_the_file(file, system, message, config, tmp_path):
    (tmp_path / "mine.py").write_text(file)
    with pytest.raises(InputError) as raised:
        load_experiment(config, [f"system={system}"])
    assert message in str(raised.value) and "own.toml" in str(raised.value)


def test_a_mistaken_setting_of_it_names_the_nearest(config):
    with pytest.raises(InputError, match="model.levle: unknown setting; did you mean level?"):
        load_experiment(config, ["model.levle=3"])


def test_its_predictions_are_scored_as_all_others(made):
    table = np.genfromtxt(made[0] / "metrics.csv", delimiter=",", names=True, dtype=None)
    rmse = {row["metric"]: row["value"] for row in table}["rmse"]
    assert 1.0 < rmse < 2.0
