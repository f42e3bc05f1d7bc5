"""What names a run. Catches: a new setting that renames every run, a setting that names none, and
tracked tables whose runs nobody finds again."""

import pickle

import pandas as pd
import pytest
from pydantic import create_model

from experiments.config import identity, naming
from experiments.config.files import CONFIGS, load_experiment
from experiments.config.identity import identify
from experiments.config.naming import named
from experiments.config.schema import RunConfig, SplitConfig
from experiments.systems.factorization import FlatSettings
from experiments.systems.registry import SYSTEMS
from pmf.errors import InputError
from pmf.model.priors import IsotropicPrior
from tests.helpers.grids import ARMS, write

RESULTS = CONFIGS.parent / "experiments" / "results"
CONTENT, RATINGS = ("ratings", "items", "tags"), ("ratings",)
DIGESTS = {  # of the data that the tracked tables were made of
    (
        "ml-small-2016",
        RATINGS,
        "",
    ): "02a82e75c5577e82f55444cc0838d255f5aad3f36b15f824b299fb310fe77b00",
    (
        "ml-latest-small",
        RATINGS,
        "",
    ): "71bc0193adfb03fab1d9ec72cb095e416f15b766eaa114707ad9eeae387f224c",
    (
        "ml-latest-small",
        CONTENT,
        "",
    ): "8658c115f40b056ffe995cac8966b989619439512bd203d4eb5fa626fc44f81e",
    (
        "ml-latest-small",
        RATINGS,
        "ml-latest-small-folds.csv",
    ): "a60ceeb6a859408b047b0db817070f2344315ca884d478f4ee15ada0b1d347c7",
    (
        "generated-25m",
        RATINGS,
        "",
    ): "06546ac11e07309c3924c1cebd783665dbab096496690036229e2e0b071e937e",
}
NEEDED = {
    "PeerSettings": {"rival": "cmfrec"},
    "RunConfig": {"model": FlatSettings()},
    "SplitConfig": {"kind": "last_n"},
}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_tracked_tables_name_the_runs_of_their_configurations(path, monkeypatch):
    monkeypatch.setattr(identity, "digest", lambda *arguments: DIGESTS[arguments[:3]])
    tracked = pd.read_csv(RESULTS / path.stem / "runs.csv", dtype={"id": str})
    assert [point.id for point in identify(load_experiment(path, []))] == list(tracked["id"])
    scores = pd.read_csv(RESULTS / path.stem / "scores.csv", dtype={"id": str})
    assert set(scores["id"]) <= set(tracked["id"])


def test_the_data_still_have_the_digest_that_the_tables_were_made_under():
    assert identity.digest("ml-small-2016", RATINGS, "") == DIGESTS["ml-small-2016", RATINGS, ""]


def test_a_new_setting_changes_no_identity_until_it_is_used():
    """The tests' own later version of each class of settings, nested ones too."""
    later = {
        kind: create_model(kind.__name__, __base__=kind, invented=(int, 7))
        for kind in (RunConfig, SplitConfig, *(one.settings for one in SYSTEMS.values()))
    }
    for kind, newer in later.items():
        required = NEEDED.get(kind.__name__, {})
        before = named(kind(**required))
        assert named(newer(**required)) == before != {}
        assert named(newer(**required, invented=7)) == before
        assert named(newer(**required, invented=8)) == before | {"invented": 8}
    run = RunConfig(data="x", split=SplitConfig(kind="last_n"), model=FlatSettings())
    nested = later[RunConfig](
        data="x", split=later[SplitConfig](kind="last_n"), model=later[FlatSettings]()
    )
    assert named(nested) == named(run)
    assert named(run)["model"]["rank"] == 16  # a setting of the first day is always named


def test_a_later_default_that_changes_is_told_from_the_one_that_runs_had(monkeypatch):
    newer = create_model("FlatSettings", __base__=FlatSettings, invented=(int, 9))  # it came with 7
    monkeypatch.setitem(naming.CAME_WITH, ("FlatSettings", "invented"), 7)
    assert named(newer(invented=7)) == named(FlatSettings())
    assert named(newer())["invented"] == 9


def test_settings_that_came_later_have_the_defaults_they_came_with():
    """A default that is changed without a word in `CAME_WITH` would give two runs one name."""
    assert FlatSettings().store_ratings is True


def test_every_value_of_a_prior_is_named():
    prior = IsotropicPrior(1.0, 2.0, 3.0, 4.0, 5.0)
    names = named(FlatSettings(prior=prior))["prior"]
    assert names == vars(prior) and named(FlatSettings(prior="auto"))["prior"] == "auto"


def test_a_run_is_the_same_after_its_way_to_a_worker(tmp_path):
    for point in identify(load_experiment(write(tmp_path, ARMS, "arms"), [])):
        assert pickle.loads(pickle.dumps(point)) == point


def test_an_identity_knows_no_folder(tmp_path, monkeypatch):
    """The same files elsewhere, or the same from elsewhere, are the same runs."""
    toml = 'data = "ratings.csv"\n[split]\nkind = "assigned_folds"\nfile = "folds.csv"\n'
    ids = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write(folder)
        table = pd.read_csv(folder / "ratings.csv")
        table.assign(fold=table["user"] % 2)[["user", "item", "fold"]].to_csv(
            folder / "folds.csv", index=False
        )
        path = folder / "own.toml"
        path.write_text(toml)
        for here in (tmp_path, folder):
            monkeypatch.chdir(here)
            ids.append(identify(load_experiment(path, []))[0].id)
    assert len(set(ids)) == 1
    path.write_text(toml.replace('"ratings.csv"', '["ratings.csv", "../a/ratings.csv"]'))
    with pytest.raises(InputError, match="own: .* are the same data; leave one out"):
        identify(load_experiment(path, []))
