"""The facade. Catches: swapped ids, dropped rows, an unknown id that shifts another's row."""

import mmap
import warnings

import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import pmf
from pmf.data.synthetic import from_model
from pmf.errors import InputError
from pmf.io import tensor_file
from pmf.types import Gaussian, Prior, Terms

METHODS = ["als", "map", "gibbs", "vb"]
PRIOR = pmf.IsotropicPrior(tau=4.0, user_factor=2.0, item_factor=2.0, user_bias=4.0, item_bias=4.0)
QUICK = {
    "als": {"prior": PRIOR},
    "map": {"prior": PRIOR, "num_steps": 300, "learning_rate": 0.05},
    "gibbs": {"tau": 4.0, "burn_in": 30, "num_steps": 40, "thin": 1, "num_chains": 2},
    "vb": {},
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """1,200 ratings of 40 x 60 from the model itself; ids are words, so a swap shows."""
    import jax

    def gaussian(*variances: float) -> Gaussian:
        precision = jnp.diag(1 / jnp.asarray(variances, jnp.float32))
        return Gaussian(jnp.zeros(len(variances), jnp.float32), precision, jnp.float32(1))

    prior = Prior(jnp.float32(4.0), gaussian(0.5, 0.5, 0.25), gaussian(0.5, 0.5, 0.25))
    made = from_model(jax.random.key(0), prior, Terms(2), 3.5, 40, 60, 1200).ratings
    return pd.DataFrame(
        {
            "userId": [f"u{x}" for x in np.asarray(made.user)],
            "movieId": [f"m{x}" for x in np.asarray(made.item)],
            "rating": np.asarray(made.value),
        }
    )


@pytest.fixture(scope="module", params=METHODS)
def fitted(request, frame) -> pmf.PMF:
    return pmf.PMF(rank=2, method=request.param, **QUICK[request.param]).fit(frame[:1000])


def rmse(a, b) -> float:
    return float(np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2)))


def test_predicts_better_than_the_mean(fitted, frame):
    test = frame[1000:]
    predicted = fitted.predict(test)
    baseline = rmse(frame["rating"][:1000].mean(), test["rating"])
    assert rmse(predicted["mean"], test["rating"]) < 0.75 * baseline
    assert list(predicted.index) == list(test.index)
    assert list(predicted["user_id"]) == list(test["userId"])


def test_row_order_does_not_matter(fitted, frame):
    straight = fitted.predict(frame[:50])["mean"].to_numpy()
    shuffled = frame[:50].sample(frac=1, random_state=0)
    again = fitted.predict(shuffled).loc[frame[:50].index, "mean"].to_numpy()
    np.testing.assert_allclose(again, straight, rtol=1e-6)


def test_intervals_hold_what_they_claim(fitted, frame):
    predicted = fitted.predict(frame[1000:], interval=0.9)
    rating = frame["rating"][1000:]
    inside = np.mean((predicted["low"] <= rating) & (rating <= predicted["high"]))
    # Gibbs knows its uncertainty; a point method's training residuals are too small.
    low, high = (0.84, 0.96) if fitted.settings.method == "gibbs" else (0.6, 0.96)
    assert low < inside < high
    np.testing.assert_allclose(
        predicted["high"] - predicted["mean"], 1.6448536 * predicted["std"], rtol=1e-4
    )


def test_unknown_ids_get_the_mean_and_the_known_bias(fitted):
    pairs = pd.DataFrame({"user": ["u0", "nobody", "u0", "nobody"], "item": ["m1", "m1", "x", "x"]})
    with pytest.warns(pmf.UnknownIdWarning, match="2 of 4 pairs have an unknown user, 2 an"):
        predicted = fitted.predict(pairs)
    assert list(predicted["unknown"]) == ["", "user", "item", "both"]
    assert len(predicted) == 4 and np.all(np.isfinite(predicted["mean"]))
    draws = fitted.fitted.fit.run.draws
    if fitted.settings.method == "gibbs":  # an honest model is less sure of a stranger
        assert predicted["std"][3] > predicted["std"][0]
        return
    item = [*fitted.fitted.items.codes(pd.Series(["m1"])), -1]
    user = [*fitted.fitted.users.codes(pd.Series(["u0"])), -1]
    mu, b, c = float(draws.mu[0]), draws.user.bias[0, user, 0], draws.item.bias[0, item, 0]
    expected = [mu + b[1] + c[0], mu + b[0] + c[1], mu + b[1] + c[1]]
    np.testing.assert_allclose(predicted["mean"][1:], expected, atol=2e-4)
    if fitted.settings.method != "vb":  # whose biases have a mean that is learnt
        assert b[1] == c[1] == 0


def test_save_and_load_predict_alike(fitted, frame, tmp_path):
    fitted.save(tmp_path / "model.pmf")
    loaded = pmf.load(tmp_path / "model.pmf")
    pd.testing.assert_frame_equal(
        loaded.predict(frame[1000:], interval=0.8), fitted.predict(frame[1000:], interval=0.8)
    )
    assert loaded.settings == fitted.settings
    assert loaded.log_posterior() == fitted.log_posterior()
    assert loaded.records == fitted.records or np.isnan(loaded.records[0].heldout_rmse)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pmf"]


def test_a_loaded_model_lies_on_disk_and_may_be_saved_there(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "SMALL", 0)
    path = tmp_path / "model.pmf"
    pmf.PMF(3, prior=PRIOR, num_steps=2).fit(frame).save(path)
    loaded, data = pmf.load(path), path.read_bytes()
    array = loaded.fitted.fit.run.draws.user.factor
    while isinstance(array, np.ndarray):
        array = array.base
    assert isinstance(array, mmap.mmap)
    before = loaded.predict(frame)
    loaded.save(path)
    pd.testing.assert_frame_equal(loaded.predict(frame), before)
    assert path.read_bytes() == data


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bits(method, frame):
    fits = [
        pmf.PMF(rank=2, method=method, seed=seed, **QUICK[method]).fit(frame) for seed in (3, 3, 4)
    ]
    one, same, other = (fit.fitted.fit.run.draws.user.factor for fit in fits)
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.dtype == np.float32


def test_records_watch_the_held_out_ratings(frame):
    model, records = pmf.PMF(rank=2, method="gibbs", **QUICK["gibbs"]), []
    model.fit(frame[:1000], heldout=frame[1000:], on_record=records.append)
    assert records == model.records and len(records) > 2
    streamed, stored = model.heldout_prediction, model.predict(frame[1000:])
    np.testing.assert_allclose(streamed.mean, stored["mean"], rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(streamed.variance), stored["std"], rtol=1e-3)
    assert model.records[-1].heldout_rmse == pytest.approx(
        rmse(streamed.mean, frame["rating"][1000:]), rel=1e-5
    )
    assert np.all(np.diff([record.seconds for record in model.records]) > 0)


def test_without_stored_draws_only_held_out_pairs_are_predicted(frame):
    model = pmf.PMF(rank=2, method="gibbs", store_draws=False, **QUICK["gibbs"])
    model.fit(frame[:1000], heldout=frame[1000:])
    assert rmse(model.heldout_prediction.mean, frame["rating"][1000:]) < 1.0
    with pytest.raises(InputError, match="not stored"):
        model.predict(frame[1000:])


def test_early_stopping_ends_before_overfitting(frame):
    weak = pmf.IsotropicPrior(4.0, 1e-3, 1e-3, 1e-3, 1e-3)
    settings = {"prior": weak, "num_steps": 500, "learning_rate": 0.05, "patience": 5}
    model = pmf.PMF(rank=8, method="map", validation=0.2, **settings).fit(frame)
    assert "validation RMSE was best at step" in model.fitted.fit.run.stopped
    assert len(model.records) < 500
    patient = pmf.PMF(rank=8, method="map", **settings)
    early, late = (m.fit(frame[:1000], heldout=frame[1000:]) for m in (model, patient))
    assert early.records[-1].heldout_rmse < late.records[-1].heldout_rmse
    with pytest.raises(InputError, match="leaves one part empty"):
        pmf.PMF(rank=2, method="map", validation=1e-6, prior=PRIOR).fit(frame)


def test_any_optax_transformation(frame):
    for optimizer in ("lbfgs", optax.sgd(0.1, momentum=0.9)):
        model = pmf.PMF(rank=0, method="map", optimizer=optimizer, prior=PRIOR).fit(frame)
        als = pmf.PMF(rank=0, method="als", prior=PRIOR).fit(frame)
        assert model.log_posterior() == pytest.approx(als.log_posterior(), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "terms", [(0, False, False), (0, True, False), (0, False, True), (2, False, False)]
)
def test_ablations_by_zero_width(method, terms, frame):
    rank, user_bias, item_bias = terms
    settings = QUICK[method] | {"user_bias": user_bias, "item_bias": item_bias}
    model = pmf.PMF(rank=rank, method=method, **settings).fit(frame)
    draws = model.fitted.fit.run.draws
    assert draws.user.factor.shape[-1] == rank and draws.user.bias.shape[-1] == user_bias
    spread = model.predict(frame)["mean"].std()
    assert spread < 1e-6 if not any(terms) else spread > 0.05


def test_clip_keeps_predictions_on_the_scale(frame):
    clipped = frame["rating"].clip(1, 5)
    bounded = frame.assign(rating=clipped)
    model = pmf.PMF(rank=2, prior=PRIOR, scale=(1, 5), clip=True).fit(bounded)
    predicted = model.predict(bounded, interval=0.99)
    assert predicted[["mean", "low", "high"]].min().min() >= 1
    assert predicted[["mean", "low", "high"]].max().max() <= 5


def test_constant_ratings_are_predicted_as_they_are(frame):
    same = frame.assign(rating=4.0)
    model = pmf.PMF(rank=2).fit(same[:1000])
    predicted = model.predict(same[:5])
    np.testing.assert_allclose(predicted["mean"], 4.0, atol=1e-3)
    assert np.all(np.isfinite(pmf.report(model, same[1000:]).scores["log_density"]))


def test_too_few_ratings_for_a_choice_are_told(frame):
    with pytest.raises(InputError, match="too few to choose a prior from"):
        pmf.PMF(rank=1).fit(frame[:5])
    assert len(pmf.PMF(rank=1, prior=PRIOR).fit(frame[:5]).predict(frame[:5])) == 5


def test_a_test_set_may_hold_one_user_or_a_pair_twice(frame):
    model = pmf.PMF(rank=2, prior=PRIOR).fit(frame[:1000])
    one = frame[1000:].query("userId == 'u0'")
    assert len(one) and pmf.report(model, pd.concat([one, one])).scores["n"] == 2 * len(one)


@pytest.mark.parametrize(
    "ids", [np.array([2**63, 2**63 + 1, 5], np.uint64), np.array(["é", "", "words of a kind"])]
)
def test_ids_survive_saving(ids, tmp_path):
    small = pd.DataFrame({"user": np.repeat(ids, 3), "item": np.tile([1, 2, 3], 3), "rating": 3.0})
    small["rating"] += np.arange(9) % 4
    model = pmf.PMF(rank=1, prior=PRIOR).fit(small)
    model.save(tmp_path / "m.pmf")
    predicted = pmf.load(tmp_path / "m.pmf").predict(small)
    assert list(predicted["unknown"]) == [""] * 9
    pd.testing.assert_frame_equal(predicted, model.predict(small))


def test_draws_that_would_not_fit_are_refused_before_the_work(frame, monkeypatch):
    monkeypatch.setattr("pmf.fitting.fit.STORED_GB", 1e-6)
    with pytest.raises(InputError, match="store_draws=False"):
        pmf.PMF(rank=2, method="gibbs").fit(frame)


def test_loading_names_what_is_wrong(fitted, tmp_path):
    path = tmp_path / "model.pmf"
    with pytest.raises(InputError, match="no such model file"):
        pmf.load(path)
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="damaged"):
        pmf.load(path)
    fitted.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        pmf.load(path)
    path.write_bytes(whole.replace(b'\\"version\\": 2', b'\\"version\\": 9'))
    with pytest.raises(InputError, match="format version 9"):
        pmf.load(path)
    with pytest.raises(InputError, match="folder does not exist"):
        fitted.save(tmp_path / "no" / "folder.pmf")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rnk": 3}, "rnk: unknown setting; did you mean rank?"),
        ({"rank": -1}, "rank"),
        ({"mu": float("nan")}, "mu: Input should be a finite number, or 'mean'"),
        ({"method": "sgd"}, "method"),
        ({"method": "gibbs", "tau": "guess"}, "tau"),
        (
            {"method": "gibbs", "tau": 0},
            "^tau: Input should be greater than 0, or 'auto' or 'learn'$",
        ),
        (
            {"method": "gibbs", "devices": "x", "tau": 0},
            "tau: Input [^;]*$",
        ),
        ({"prior": {"tau": 1}}, "^prior.user_factor: Field required; prior.item_factor: Field"),
        ({"prior": 3}, "^prior: .* of IsotropicPrior, or 'auto'$"),
        ({"clip": True}, "clip needs a scale"),
        ({"scale": (5, 1)}, "lowest rating first"),
        ({"scale": (0, 1e39)}, "more than single precision holds"),
        ({"method": "map", "optimizer": "adma"}, "optimizer: name='adma'"),
        ({"method": "map", "optimizer": {}}, "optimizer: name=None"),
        ({"seed": 2**32}, "seed"),
        ({"method": "gibbs", "validation": 0.1}, "validation: a setting of ALS and MAP"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        pmf.PMF(**settings)


def test_an_end_worse_than_the_start_is_an_error(frame):
    with pytest.raises(InputError, match="times what it was at the start; a smaller learning rate"):
        pmf.PMF(rank=2, method="map", prior=PRIOR, learning_rate=1e3, num_steps=20).fit(frame)
    # Nothing is gained, but nothing lost: factors stay where they start.
    strong = pmf.IsotropicPrior(1.0, 1e9, 1e9, 1e9, 1e9)
    assert pmf.PMF(rank=2, prior=strong, num_steps=1).fit(frame).records


def test_misuse_is_told_plainly(frame):
    with pytest.raises(InputError, match="not fitted"):
        pmf.PMF().predict(frame)
    with pytest.raises(InputError, match="rank 100 is more than the data's rows support"):
        pmf.PMF(rank=100, prior=PRIOR).fit(frame)
    model = pmf.PMF(rank=2, prior=PRIOR).fit(frame)
    with pytest.raises(InputError, match="between 0 and 1"):
        model.predict(frame, interval=90)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.predict(frame[:0])) == 0
