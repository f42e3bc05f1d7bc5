"""What a person sees of an object. Catches: a `repr` of thousands of letters, or silent about what
matters; settings that `help` hides; rows under other ids; an optimizer that a file takes for
another; a bar nobody asked for; folders left behind."""

import fcntl
import inspect
import os
import pydoc
import sys
import tempfile
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import optax
import pandas as pd
import pytest

import pmf
from pmf.data import splits
from pmf.errors import InputError
from pmf.fitting import settings
from pmf.io.workspace import MARK, PREFIX, work_folder
from pmf.model.predictive import Prediction

PRIOR = pmf.IsotropicPrior(4.0, 2.0, 2.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(30 * 20)[:300]
    value = 3 + np.sin(pair // 20) + 0.3 * rng.standard_normal(300)
    return pd.DataFrame(
        {"user_id": 1000 + pair // 20, "item_id": [f"i{x}" for x in pair % 20], "rating": value}
    )


@pytest.fixture(scope="module")
def model(frame) -> pmf.PMF:
    return pmf.PMF(3, prior=PRIOR, num_steps=5).fit(frame)


@pytest.fixture(scope="module")
def gibbs(frame) -> pmf.PMF:
    return pmf.PMF(2, "gibbs", tau=8.0, burn_in=2, num_steps=3, num_chains=1, thin=1).fit(frame)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda m, f: pmf.PMF(), "PMF(rank=16, method='als'), not fitted"),
        (lambda m, f: pmf.PMF(2, "map", optimizer=optax.sgd(0.1)), "<an optax transformation>"),
        (lambda m, f: m, "fitted to 300 ratings of 30 users and 20 items"),
        (lambda m, f: pmf.Content(clip=True, scale=(1, 5)), "clip=True), not fitted"),
        (lambda m, f: pmf.Hybrid(4), "Hybrid(rank=4), not fitted"),
        (lambda m, f: m.fitted, "1 draw of rank 3"),
        (lambda m, f: m.fitted.items, "Ids(20: 'i16', "),
        (lambda m, f: m.fitted.fit, "5 steps: all 5 steps taken"),
        (lambda m, f: m.fitted.fit.search, "Search(nothing to choose; 0 trials)"),
        (lambda m, f: pmf.fold_in(m, f[:9]), "users with 9 ratings"),
        (lambda m, f: Prediction(np.zeros(1234), np.ones(1234)), "1,234 pairs"),
        (lambda m, f: pmf.load_data("ml-small-2016"), "ml-small-2016: 100,004 ratings"),
        (lambda m, f: splits.Split(f[:9], f[9:]), "train: 9 ratings, test: 291"),
        (lambda m, f: pmf.Checkpoints("kept"), "folder='kept'"),
    ],
)
def test_a_repr_is_short_and_telling(made, expected, model, frame):
    text = repr(made(model, frame))
    assert expected in text and len(text) < 300 and "\n" not in text, text


@pytest.mark.filterwarnings("ignore::pmf.OverlapWarning")
def test_reports_are_told_by_their_scores(model, frame):
    report = pmf.report(model, frame)
    assert f"rmse={report.scores['rmse']:.4g}" in repr(report) and len(repr(report)) < 300
    ranking = pmf.ranked(pmf.PMF(0, prior=PRIOR).fit(frame[:250]), frame[250:], frame[:250])
    assert "ndcg@10=" in repr(ranking) and len(repr(ranking)) < 500
    for one in (report, ranking):
        assert one == one and one != one._replace(scores={}) and isinstance(hash(one), int)


def test_models_compare_by_identity_and_never_raise(model, frame):
    twin = pmf.PMF(3, prior=PRIOR, num_steps=5).fit(frame)
    folded, other = (pmf.fold_in(m, frame[:9]) for m in (model, twin))
    data = pmf.load_data("ml-small-2016")
    for one, two in (
        (model, twin),
        (model.fitted, twin.fitted),
        (model.fitted.users, twin.fitted.users),
        (model.fitted.fit, twin.fitted.fit),
        (folded, other),
        (data, replace(data)),
        (pmf.Content(), pmf.Content()),
        (pmf.Hybrid(), pmf.Hybrid()),
    ):
        assert one == one and not one == two and one != two
        assert len({one, two}) == 2


@pytest.mark.parametrize(
    ("model", "of"),
    [
        (pmf.PMF, settings.shorthand()),
        (pmf.Content, settings.ContentSettings),
        (pmf.Hybrid, settings.HybridSettings),
    ],
)
def test_help_shows_every_setting_with_its_default_and_its_meaning(model, of):
    parameters = dict(inspect.signature(model).parameters)
    parameters.pop("inference", None)
    assert set(parameters) == set(of.model_fields)
    made, text = model().settings, pydoc.plain(pydoc.render_doc(model))
    default = made.flat() if isinstance(made, settings.Settings) else dict(made)
    for name, field in of.model_fields.items():
        assert parameters[name].default == field.default
        assert field.default is None or name not in default or field.default == default[name]
        assert field.description, f"{of.__name__}.{name} says nothing"
        line = f"{name}={field.default!r}: {' '.join(field.description.split())}"
        assert line in text
    assert "FieldInfo" not in text and "**settings" not in text
    bound = inspect.signature(model).bind(**{name: 1 for name in parameters})
    assert set(bound.arguments) == set(of.model_fields)


def test_rows_are_frames_by_id_whose_sums_are_predictions(model, gibbs, frame):
    U, V, b, c = model.user_factors, model.item_factors, model.user_biases, model.item_biases
    assert U.shape == (30, 3) and V.index.name == "item_id" and b.index.equals(U.index)
    user, item = frame["user_id"], frame["item_id"]
    mean = model.mu + b.loc[user, "bias"].to_numpy() + c.loc[item, "bias"].to_numpy()
    mean = mean + np.sum(U.loc[user].to_numpy() * V.loc[item].to_numpy(), 1)
    np.testing.assert_allclose(mean, model.predict(frame)["mean"], atol=1e-5)
    draws = gibbs.fitted.fit.run.draws
    row = list(gibbs.fitted.items.values).index("i7")
    np.testing.assert_allclose(
        gibbs.item_factors.loc["i7"], draws.item.factor[:, row].mean(0), rtol=1e-5
    )
    bare = pmf.PMF(0, user_bias=False, prior=PRIOR, num_steps=2).fit(frame)
    assert bare.user_factors.shape == (30, 0) and (bare.user_biases["bias"] == 0).all()
    with pytest.raises(InputError, match="not fitted"):
        _ = pmf.PMF().user_factors


def test_a_saved_model_with_an_optimizer_of_ones_own_says_so_and_is_not_fitted_again(
    frame, tmp_path
):
    model = pmf.PMF(1, "map", optimizer=optax.sgd(0.1), prior=PRIOR, num_steps=3).fit(frame)
    model.save(tmp_path / "own.pmf")
    loaded = pmf.load(tmp_path / "own.pmf")
    loaded.save(tmp_path / "again.pmf")  # a loaded one knows no more, and loses nothing
    for one in (loaded, pmf.load(tmp_path / "again.pmf")):
        assert "chain" in repr(one) and "not kept in the file" in repr(one)
        assert one.settings.inference.optimizer != "adam"
        pd.testing.assert_frame_equal(one.predict(frame), model.predict(frame))
        for data in (frame, tmp_path / "nowhere.csv"):  # before anything is read
            with pytest.raises(InputError, match="optimizer of your own .*chain.* optimizer=..."):
                one.fit(data)
    pmf.PMF(1, "map", prior=PRIOR, num_steps=3).fit(frame).save(tmp_path / "adam.pmf")
    assert pmf.load(tmp_path / "adam.pmf").settings.inference.optimizer == "adam"


def test_progress_is_shown_where_asked_for_on_terminals_and_in_notebooks(
    frame, monkeypatch, capsys
):
    model, steps = pmf.PMF(1, prior=PRIOR, num_steps=4, tolerance=0.0), []
    model.fit(frame, progress=True)
    assert capsys.readouterr().err == ""  # a file or a pipe
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    model.fit(frame)
    assert capsys.readouterr().err == ""
    model.fit(frame, progress=True, on_step=lambda *step: steps.append(step))
    shown = capsys.readouterr().err
    assert "als" in shown and "4/4" in shown
    assert steps[-1] == ("als", 4, 4)


def test_a_notebook_needs_no_widgets(frame, monkeypatch):
    drawn = []
    handle = SimpleNamespace(update=drawn.append)
    display = SimpleNamespace(HTML=str, display=lambda html, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(
        "pmf.fitting.progress.Console", lambda stderr: SimpleNamespace(is_jupyter=True)
    )
    pmf.PMF(1, prior=PRIOR, num_steps=4, tolerance=0.0).fit(frame, progress=True)
    assert '<progress value="4" max="4"></progress> 4/4' in drawn[-1]


def test_only_a_fit_on_disk_makes_a_folder_and_it_goes(frame, tmp_path, monkeypatch):
    place, data = tmp_path / "temporary", tmp_path / "data"
    place.mkdir()
    data.mkdir()
    frame.to_parquet(data / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    listings = []

    def look(*step):
        listings.append([path.name for path in place.glob("pmf-*")])

    pmf.PMF(1, prior=PRIOR, num_steps=1).fit(tmp_path / "a.csv", on_step=look)
    pmf.PMF(1, prior=PRIOR, num_steps=1).fit(data, on_step=look)
    assert listings and not any(listings)
    pmf.PMF(1, "map", prior=PRIOR, num_steps=1, on_disk=True).fit(data, on_step=look)
    assert len(listings[-1]) == 1 and listings[-1][0].startswith(PREFIX)
    assert not list(place.iterdir())


def test_what_killed_fits_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = time.time() - 86_401
    stays = {
        "deserted": False,
        "empty123": False,
        "held1234": True,
        "foreign1": True,
        "backup": True,
    }
    for name in stays:
        (tmp_path / (PREFIX + name)).mkdir()
    for name in ("deserted", "held1234", "backup"):
        (tmp_path / (PREFIX + name) / MARK).touch()
    (tmp_path / (PREFIX + "foreign1") / "thesis.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / (PREFIX + "linked12")).symlink_to(tmp_path / "other")
    for path in tmp_path.iterdir():
        os.utime(path, (old, old))
    (tmp_path / (PREFIX + "young123")).mkdir()
    holder = os.open(tmp_path / (PREFIX + "held1234"), os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with work_folder() as one, work_folder() as two:
        assert one.is_dir() and two.is_dir() and one != two
    os.close(holder)
    left = {path.name for path in tmp_path.iterdir()}
    expected = {PREFIX + name for name, stays_there in stays.items() if stays_there}
    assert left == expected | {"other", PREFIX + "young123", PREFIX + "linked12"}


def test_one_user_is_a_list_of_one_and_a_list_of_pairs_is_told_how_to_be_a_frame(model, frame):
    alone = pmf.recommend(model, users=[1007], n=3)
    for one in (1007, np.int64(1007), "1007"):
        pd.testing.assert_frame_equal(pmf.recommend(model, users=one, n=3), alone)
    for pairs in ([(1007, "i3")], [[1007, "i3"], [1008, "i4"]], ((1007, "i3"),)):
        with pytest.raises(InputError) as refusal:
            model.predict(pairs)
        message = str(refusal.value)
        conversion = message[message.index("pandas.DataFrame") :].replace("pandas", "pd")
        assert len(model.predict(eval(conversion, {"pd": pd, "pairs": pairs}))) == len(pairs)
