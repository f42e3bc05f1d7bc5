"""Predictions against a frame of ratings: every score, by strata, with its calibration; and the
ranking of all items."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.frames import checked
from pmf.data.tables import Table, as_frame
from pmf.errors import InputError
from pmf.estimators.base import Model, known_range, rating_range
from pmf.estimators.frames import fit_with_draws
from pmf.estimators.notices import OverlapWarning, warn
from pmf.evaluate.bootstrap import score_intervals
from pmf.evaluate.metrics import all_scores, user_sums
from pmf.evaluate.ranking import TEST, TRAIN, Ranking, listed, ranked_by, upper_quarter
from pmf.evaluate.scores import calibration, pit, pit_histogram, star_calibration
from pmf.evaluate.strata import stratified
from pmf.fitting.fitted import Fitted
from pmf.model.predictive import Prediction
from pmf.model.stars import stars_of
from pmf.recommendation.scores import scorer
from pmf.types import by_identity


@by_identity
class Report(NamedTuple):
    """`scores` holds n, each metric of ratings of `pmf.evaluate.metrics`, and the unknown counts.

    Of a system without a variance, `scores` and `strata` hold the metrics that need none only, and
    `calibration`, `pit` and `stars` have no rows. Stars are the values of the test ratings, where
    they are few (`pmf.model.stars`).
    """

    scores: dict[str, float]
    by_user_history: pd.DataFrame
    by_item_popularity: pd.DataFrame
    calibration: pd.DataFrame  # nominal, actual, width
    pit: pd.DataFrame  # low, high, share
    users: pd.DataFrame  # user_id, n, and the sums of `pmf.evaluate.metrics.user_sums`
    predictions: pd.DataFrame  # user_id, item_id, rating, mean[, variance, pit]
    noise: str  # where the variance of a single rating comes from
    intervals: pd.DataFrame  # metric, value, low, high: with `bootstrap`, 95 %; else no rows
    stars: pd.DataFrame  # star, expected, given: how often each is; no rows where ratings are none

    def __repr__(self) -> str:
        return f"Report({listed(self.scores)})"


def evaluate(
    test: pd.DataFrame,
    mean: np.ndarray,
    variance: np.ndarray | None,
    user_count: np.ndarray,
    item_count: np.ndarray,
    noise: str = "",
    bootstrap: int = 0,
    seed: int = 0,
) -> Report:
    """Score predictions `mean (n,)` and, where there is one, `variance (n,)` of `n` test ratings.

    `user_count` and `item_count` are the training ratings of each pair's user and item: 0 is an
    unknown one. With `bootstrap` resamples of the users, by `seed`, each score has an interval
    (`pmf.evaluate.bootstrap`). No row is dropped. Raises `InputError` where a prediction is missing
    or not finite: nobody wins by leaving out what is hard.
    """
    _check_whole(len(test), mean, variance)
    rating = test["rating"].to_numpy(np.float64)
    user = pd.factorize(test["user_id"])[0]
    mean, stars = np.asarray(mean, np.float64), stars_of(rating)
    columns = {"mean": mean}
    of_stars = pd.DataFrame(columns=["star", "expected", "given"], dtype=float)
    curve = pd.DataFrame(columns=["nominal", "actual", "width"], dtype=float)
    shares = pd.DataFrame(columns=["low", "high", "share"], dtype=float)
    if variance is not None:
        variance = np.asarray(variance, np.float64)
        prediction = Prediction(mean, variance)
        columns |= {"variance": variance, "pit": pit(rating, prediction)}
        curve, shares = calibration(rating, prediction), pit_histogram(columns["pit"])
        if stars is not None:
            of_stars = star_calibration(rating, prediction, stars)
    predicted = rating, mean, variance, stars
    unknown = {
        "unknown_users": int(np.sum(user_count == 0)),
        "unknown_items": int(np.sum(item_count == 0)),
    }
    return Report(
        all_scores(user, *predicted) | unknown,
        stratified(user, *predicted, user_count),
        stratified(user, *predicted, item_count),
        curve,
        shares,
        user_sums(test["user_id"].to_numpy(), *predicted),
        test.assign(**columns),
        noise,
        score_intervals(user, *predicted, bootstrap, seed),
        of_stars,
    )


def _check_whole(n: int, mean: np.ndarray, variance: np.ndarray | None) -> None:
    for name, values in (("mean", mean), ("variance", variance)):
        if values is None:
            continue
        if len(values) != n:
            raise InputError(f"{n} test ratings, but {len(values)} predictions ({name})")
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(
                f"the predicted {name} of {len(bad)} of {n} test ratings is not finite (first: row "
                f"{bad[0] + 1}); predict each one, by a fallback where nothing is known"
            )


def report(
    model: Model,
    ratings: Table,
    heldout: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> Report:
    """Score a fitted model. With `heldout`, `ratings` is the frame that `fit` watched, and its
    predictions are those streamed over all kept draws.

    No row is dropped: a pair with an unknown id is predicted by the fallback and counted. Pairs
    that the model was fitted to are counted in one `OverlapWarning`, where it kept its ratings.
    `bootstrap=1000` adds `intervals`: 95 %, bias-corrected and accelerated, from so many resamples
    of the users by `seed`.
    """
    fitted, ratings = model.require_fitted(), as_frame(ratings, TEST)
    table = checked(ratings, TEST, model.settings.scale, times=False)
    user, item = model.rows(table, TEST)
    _warn_of_overlap(fitted, user, item)
    if heldout:
        prediction = model.heldout_prediction
    else:
        prediction = model.predict_rows(user, item, model.context_rows(ratings, TEST))
    if len(prediction.mean) != len(table):
        raise InputError(
            f"{len(table)} test ratings, but fit watched {len(prediction.mean)}: "
            "pass the frame that fit watched"
        )
    counts = fitted.user_count[user], fitted.item_count[item]
    return evaluate(table, *prediction, *counts, model.noise_source, bootstrap, seed)


def _warn_of_overlap(fitted: Fitted, user: np.ndarray, item: np.ndarray) -> None:
    if fitted.rated is None:  # not kept: nothing is known
        return
    if count := int(fitted.rated.pairs.have(user, item).sum()):
        warn(
            f"{TEST}: the model was fitted to {count:,} of its {len(user):,} pairs, so the scores "
            "are too good; split first (pmf.data.splits), and fit to one "
            "part",
            OverlapWarning,
            stacklevel=3,
        )


def ranked(
    model: Model,
    test: Table,
    train: Table,
    k: int = 10,
    relevant: float | None = None,
) -> Ranking:
    """Rank all items for each user by the predictive mean, without the user's items in `train`.

    A test item is relevant where its rating is `relevant` or more: by default the lowest test
    rating in the upper quarter of the scale, which is 4 on scales of 0.5 or 1 to 5. The scale is
    the settings', or the range of the training ratings. `train` is the frame that the model was
    fitted to, perhaps with further pairs that are not to be recommended. Metrics, ties and sources:
    `pmf.evaluate.ranking`. Raises `InputError` as `ranked_by` does.
    """
    fitted = model.require_fitted()
    train, test = as_frame(train, TRAIN), as_frame(test, TEST)
    if len(train) < (needed := int(fitted.user_count.sum())):
        raise InputError(
            f"the training frame: {len(train):,} ratings, but the model was fitted to {needed:,}; "
            "give all of them, or the rest would be recommended"
        )
    if relevant is None:
        relevant = upper_quarter(checked(test, TEST, times=False)["rating"], *_scale(model, train))
    score = partial(scorer, fit_with_draws(fitted).run.draws)
    return ranked_by(score, fitted.users, fitted.items, train, test, k, relevant)


def _scale(model: Model, train: pd.DataFrame) -> tuple[float, float]:
    """The lowest and the highest rating: as the model was told, or as it was trained on."""
    scale: tuple[float, float] | None = model.settings.scale
    if scale is not None and np.isfinite(scale).all():
        return scale
    return known_range(model) or rating_range(checked(train, TRAIN, times=False)["rating"])
