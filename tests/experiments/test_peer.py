"""Rivals as a system of experiments, by fakes. Catches: pairs out of order, whole-numbered options
tuned to fractions, a broken rival that ends the sweep or is hidden."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.config.files import load_experiment
from experiments.config.inputs import dataset
from experiments.systems.rivals import client, system
from experiments.systems.rivals.client import RIVALS, Range, Rival
from experiments.systems.rivals.system import PeerSettings
from pmf.data.splits import sample_records
from pmf.errors import InputError
from tests.helpers import fake_rivals

SPACE = (Range("unknown", 1.0, 5.0), Range("rank", 2, 64))


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(client, "WORKER", Path(fake_rivals.__file__))
    monkeypatch.delenv(system.PYTHON, raising=False)
    for fake in fake_rivals.FAKES:
        known = Rival("json", "numpy", {"unknown": 2.0, "rank": 8}, SPACE, "")
        monkeypatch.setitem(RIVALS, fake.__name__, known)


def predicted(name: str):
    data = dataset("ml-small-2016")
    split = sample_records(data.ratings, 0.2, 1)
    ignored = [].append
    outcome = system.fit_and_predict(
        PeerSettings(rival=name), split, data, lambda *step: ignored(step), None
    )
    return split, outcome


def test_predictions_are_of_the_test_ratings_in_their_order():
    split, outcome = predicted("mean_of_item")
    means = split.train.groupby("item_id")["rating"].mean()
    expected = split.test["item_id"].map(means).fillna(2.0)
    np.testing.assert_allclose(outcome.mean, expected, rtol=1e-6)
    assert outcome.variance is not None and outcome.error == ""
    assert outcome.facts["cold_pairs"] > 0 and outcome.costs["fit_seconds"] >= 0


def test_a_broken_rival_has_an_error_and_no_predictions():
    _, outcome = predicted("not_a_number")
    assert outcome.mean is None and "no numbers" in outcome.error and outcome.costs == {}


def test_whole_numbers_stay_whole_and_named_options_are_not_searched():
    settings = PeerSettings(rival="mean_of_item", options={"unknown": 3.0})
    assert list(system.space(settings)) == ["rank"]
    tuned = system.tuned(settings, {"rank": 12.6}, pd.DataFrame(), None)
    assert tuned.options == {"unknown": 3.0, "rank": 13}
    assert isinstance(tuned.options["rank"], int)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ('rival = "mean_of_itme"', "peer 'mean_of_itme': not one of"),
        ('rival = "mean_of_item"\noptions = {rnak = 3}', "rnak: no option of mean_of_item"),
    ],
)
def test_wrong_settings_name_the_file_and_the_option(tmp_path, arm, message):
    path = tmp_path / "rivals.toml"
    path.write_text(
        f'data = "ml-small-2016"\n[split]\nkind = "last_n"\n[arm.a]\nsystem = "peer"\n{arm}'
    )
    with pytest.raises(InputError, match=message) as error:
        load_experiment(path, [])
    assert str(path) in str(error.value)
