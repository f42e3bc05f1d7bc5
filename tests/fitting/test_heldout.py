"""What a fit says of ratings that it watched but never learnt from.

Catches: a variance that is not that of the ratings' noise, a mean off the scale, the validation
part in place of the held-out ratings, counts of one side for the other's.
"""

import numpy as np
import pandas as pd
import pytest

import pmf
from tests.helpers.planted import FEATURES, planted_frame

PRIOR = pmf.IsotropicPrior(9.0, 1.0, 1.0, 4.0, 4.0)  # its 1/tau is no residual variance
SCALE = (2.5, 4.5)
FITTED = {
    "als": lambda train, heldout, **more: pmf.PMF(1, prior=PRIOR, num_steps=3, **more).fit(
        train, heldout
    ),
    "hybrid": lambda train, heldout, **more: pmf.Hybrid(
        rank=1, prior=PRIOR, regression=1.0, num_steps=3, **more
    ).fit(train, FEATURES, heldout),
    "content": lambda train, heldout, **more: pmf.Content(prior=PRIOR, **more).fit(
        train, FEATURES, heldout
    ),
}


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generous users and loved items, on a short scale: their sums lie off it."""

    def on_scale(part: pd.DataFrame) -> pd.DataFrame:
        user, item = (part[x].str[1:].astype(int) for x in ("user_id", "item_id"))
        rating = part["rating"] + 1.5 * np.sin(user) + 1.5 * np.cos(item)
        return part.assign(rating=rating.clip(*SCALE)).reset_index(drop=True)

    return on_scale(planted_frame().warm), on_scale(planted_frame().later[:150])


@pytest.fixture(scope="module", params=FITTED)
def model(request, frames):
    return FITTED[request.param](*frames, scale=SCALE, clip=True)


def unclipped(model, frame: pd.DataFrame) -> np.ndarray:
    """The mean of each pair by hand, before clipping."""
    fitted = model.require_fitted()
    draws = fitted.fit.run.draws
    u, i = fitted.users.codes(frame["user_id"]), fitted.items.codes(frame["item_id"])
    mean = np.einsum("snk,snk->sn", draws.user.factor[:, u], draws.item.factor[:, i])
    mean = mean + draws.user.bias[:, u].sum(-1) + draws.item.bias[:, i].sum(-1)
    return (mean + np.asarray(draws.mu)[:, None]).mean(0)


def test_means_are_those_of_predict_within_the_scale(model, frames):
    heldout, mean = frames[1], unclipped(model, frames[1])
    assert (mean < SCALE[0]).any() or (mean > SCALE[1]).any()  # else clipping would not show
    clipped = np.clip(mean, *SCALE)
    np.testing.assert_allclose(model.heldout_prediction.mean, clipped, atol=2e-5)
    np.testing.assert_allclose(model.predict(heldout)["mean"], clipped, atol=2e-5)
    bounds = model.predict(heldout, interval=0.95)
    assert bounds["low"].min() == SCALE[0] and bounds["high"].max() == SCALE[1]


def test_variances_are_of_a_rating_about_its_mean(model, frames):
    """Of a point method that of its training residuals, of content the prior's that was given."""
    train, heldout = frames
    mean, variance = unclipped(model, train), model.heldout_prediction.variance
    residual = float(np.mean((train["rating"] - mean) ** 2))
    match model.noise_source:
        case "training residuals":
            assert abs(residual - 1 / PRIOR.tau) > 0.02
            np.testing.assert_allclose(variance, residual, rtol=1e-3)
        case "given":
            assert (variance > 1 / PRIOR.tau + 1e-4).all()  # a user's weights are uncertain too
        case other:
            raise AssertionError(other)
    std = model.predict(heldout)["std"]
    np.testing.assert_allclose(std**2, variance, rtol=1e-3)


def test_a_report_is_of_what_was_watched_and_counts_each_side(model, frames):
    train, heldout = frames
    report = pmf.report(model, heldout, heldout=True)
    error = heldout["rating"] - model.heldout_prediction.mean
    assert report.scores["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
    for side, table in (
        ("user_id", report.by_user_history),
        ("item_id", report.by_item_popularity),
    ):
        count = heldout[side].map(train[side].value_counts()).fillna(0)
        strata = np.searchsorted([1, 5, 20, 100, 500], count, side="right")
        truth = pd.Series(strata).value_counts().sort_index()
        assert table["n"].tolist() == truth.tolist()
    users, items = (
        heldout[x].map(train[x].value_counts()).fillna(0) for x in ("user_id", "item_id")
    )
    assert users.mean() != items.mean()


def test_a_report_of_what_was_watched_is_not_of_the_stored_draws(model, frames, monkeypatch):
    """A sampler watches more draws than it may have stored."""
    fit, heldout = model.require_fitted().fit, frames[1]
    watched = fit.run.heldout._replace(mean=np.full(len(heldout), np.float32(3.0)))
    monkeypatch.setattr(model.fitted, "fit", fit.with_run(heldout=watched))
    report = pmf.report(model, heldout, heldout=True)
    error = heldout["rating"].to_numpy(float) - 3.0
    assert report.scores["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-6)
    assert pmf.report(model, heldout).scores["mae"] < 0.9 * report.scores["mae"]


def test_a_folded_users_predictions_are_within_the_scale(frames):
    model = FITTED["als"](*frames, scale=SCALE, clip=True)
    liked = pd.DataFrame({"user_id": "x", "item_id": [f"m{j}" for j in range(12)], "rating": 4.5})
    mean = pmf.fold_in(model, liked).predict(
        pd.DataFrame({"user_id": "x", "item_id": [f"m{j}" for j in range(70)]})
    )["mean"]
    assert mean.max() == 4.5 and mean.nunique() > 10


def test_held_out_ratings_are_watched_where_there_is_a_validation_part_too(frames):
    train, heldout = frames
    model = FITTED["als"](train, heldout, validation=0.2, patience=2)
    assert len(model.heldout_prediction.mean) == len(heldout)
    np.testing.assert_allclose(model.heldout_prediction.mean, unclipped(model, heldout), atol=2e-5)
