"""Own files in a configuration. Catches: a path that depends on where one stands, a reading that
reaches no run, a new section that changes the identity of runs that do not have it."""

import pickle

import pandas as pd
import pytest

import pmf
from experiments.config import inputs
from experiments.config.files import load_experiment
from experiments.config.identity import fields_of, identify
from experiments.config.schema import resolve
from pmf.errors import InputError

TOML = """
data = {data}
[split]
kind = "sample_records"
fraction = 0.2
[model]
rank = 0
"""
SAID = """
[reading]
separator = ";"
header = true
[columns]
user = "who"
item = "Was"
rating = "stars"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project: `data/own.txt`, `mine/own.toml`, and another place to stand in."""
    for name in ("data", "mine", "elsewhere"):
        (tmp_path / name).mkdir()
    rows = "".join(f"{j % 9};0{j % 7};{j % 5}\n" for j in range(60))
    (tmp_path / "data" / "own.txt").write_text("who;Was;stars\n" + rows)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def config(folder, data: str, more: str = ""):
    path = folder / "mine" / "own.toml"
    path.write_text(TOML.format(data=data) + more)
    return path


def test_a_path_is_from_the_configurations_folder(folder, monkeypatch):
    path = config(folder, '"../data/own.txt"', SAID)
    (whole,) = load_experiment(path, []).runs
    assert whole.data == str(folder / "data" / "own.txt")
    monkeypatch.chdir(folder)
    assert load_experiment(path, []).runs[0].data == "data/own.txt"
    assert load_experiment(path.relative_to(folder), []).runs[0].data == "data/own.txt"
    monkeypatch.chdir(folder / "mine")
    assert load_experiment(path, []).runs[0].data == str(folder / "data" / "own.txt")


def test_an_override_is_from_where_one_stands(folder):
    path = config(folder, '"ml-small-2016"')
    assert load_experiment(path, []).runs[0].data == "ml-small-2016"
    assert load_experiment(path, ["data=../data/own.txt"]).runs[0].data == "../data/own.txt"


def test_a_list_of_data_is_located_one_by_one(folder):
    path = config(folder, '["ml-small-2016", "../data/own.txt"]')
    data = [run.data for run in load_experiment(path, []).runs]
    assert data == ["ml-small-2016", str(folder / "data" / "own.txt")]


def test_a_file_that_is_elsewhere_is_told_of(folder):
    (folder / "elsewhere" / "here.csv").write_text("user,item,rating\n1,2,3\n")
    with pytest.raises(InputError, match="own.toml: data: no here.csv in .* --set data=here.csv"):
        load_experiment(config(folder, '"here.csv"'), [])
    missing = load_experiment(config(folder, '"absent.csv"'), []).runs[0].data
    assert missing == str(folder / "mine" / "absent.csv")
    assert load_experiment(config(folder, '"ml-smal-2016"'), []).runs[0].data == "ml-smal-2016"


def test_folds_are_found_beside_the_configuration(folder):
    path = config(folder, '"../data/own.txt"')
    assigned = (
        path.read_text()
        .replace("sample_records", "assigned_folds")
        .replace("fraction = 0.2", 'file = "folds.csv"')
    )
    path.write_text(assigned)
    assert (
        load_experiment(path, []).runs[0].split.file == "folds.csv"
    )  # in the data folder, perhaps
    (folder / "mine" / "folds.csv").write_text("user,item,fold\n")
    assert load_experiment(path, []).runs[0].split.file == str(folder / "mine" / "folds.csv")


def test_sections_say_how_a_file_is_read(folder):
    (run,) = load_experiment(config(folder, '"../data/own.txt"', SAID), []).runs
    names = {"user": "who", "item": "Was", "rating": "stars"}
    assert run.reading == pmf.Reading(separator=";", header=True, columns=names)
    table = inputs.dataset(run.data, run.reading).ratings
    assert len(table) == 60 and table["item_id"].iloc[0] == "00"
    assert inputs.digest(run.data, ("ratings",), "", run.reading)
    swapped = pmf.Reading(";", columns=names | {"user": "Was", "item": "who"})
    other = inputs.dataset(run.data, swapped)
    assert other.ratings["user_id"].iloc[0] == "00"  # another reading is no cached one
    assert resolve(run.model_dump(mode="json"), "config.json") == run
    assert pickle.loads(pickle.dumps(run)) == run
    assert fields_of(run)["reading.columns.user"] == "who"


def test_a_reading_names_a_run_and_its_absence_does_not(folder):
    plain = folder / "data" / "plain.csv"
    pd.DataFrame({"user": [1, 2, 3] * 9, "item": range(27), "rating": 3.0}).to_csv(plain)
    path = config(folder, '"../data/plain.csv"')
    (without,) = identify(load_experiment(path, []))
    (same,) = identify(load_experiment(path, ["reading.encoding=utf8", "reading.separator=,"]))
    assert without.id != same.id and without.data == same.data
    assert not any(name.startswith("reading") for name in fields_of(without.config))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("reading.seperator=;", "reading.seperator: unknown setting; did you mean separator"),
        ("reading.separator=x", "own.toml: reading: separator='x'"),
        ("reading.encoding=klingon", "own.toml: reading: encoding='klingon'"),
        ("columns.whom=3", "own.toml: reading: columns: 'whom' is none of user, item"),
        ("reading.columns=3", "own.toml: reading.columns: a section of its own"),
        ("columns=3", "own.toml: columns: a section is needed"),
        ("reading=3", "own.toml: reading: a section is needed"),
    ],
)
def test_mistakes_name_the_file_and_the_key(folder, override, message):
    with pytest.raises(InputError, match=message):
        load_experiment(config(folder, '"../data/own.txt"'), [override])


def test_a_named_data_set_is_read_as_it_is(folder):
    (run,) = load_experiment(config(folder, '"ml-small-2016"', SAID), []).runs
    with pytest.raises(InputError, match="ml-small-2016: separator, header, columns: what it is"):
        inputs.dataset(run.data, run.reading)
