"""A fitted model against a frame of ratings: every score, by strata, with its calibration; and the
ranking of all items."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.frames import checked
from pmf.errors import InputError
from pmf.estimator import PMF
from pmf.evaluate.ranking import Ranking, ranked_by
from pmf.evaluate.scores import calibration, pit, scores, user_scores
from pmf.evaluate.strata import stratified
from pmf.predictive import Prediction


class Report(NamedTuple):
    """`scores` holds n, rmse, mae, log_density, crps, coverages, ..., and the unknown counts."""

    scores: dict[str, float]
    by_user_history: pd.DataFrame
    by_item_popularity: pd.DataFrame
    calibration: pd.DataFrame
    predictions: pd.DataFrame  # user_id, item_id, rating, mean, variance, pit
    noise: str  # where the variance of a single rating comes from


def report(model: PMF, ratings: pd.DataFrame, heldout: bool = False) -> Report:
    """Score a fitted model. With `heldout`, `ratings` is the frame that `fit` watched, and its
    predictions are those streamed over all kept draws.

    No row is dropped: a pair with an unknown id is predicted by the fallback and counted.
    """
    fitted = model.require_fitted()
    table = checked(ratings, "the test frame", model.settings.scale)
    user, item = model.rows(table, "the test frame")
    prediction = model.heldout_prediction if heldout else model.predict_rows(user, item)
    if len(prediction.mean) != len(table):
        raise InputError(
            f"{len(table)} test ratings, but fit watched {len(prediction.mean)}: "
            "pass the frame that fit watched"
        )
    rating = table["rating"].to_numpy(np.float64)
    prediction = Prediction(*(x.astype(np.float64) for x in prediction))
    unknown = {
        "unknown_users": int(fitted.users.unknown(user).sum()),
        "unknown_items": int(fitted.items.unknown(item).sum()),
    }
    predictions = table.assign(
        mean=prediction.mean, variance=prediction.variance, pit=pit(rating, prediction)
    )
    return Report(
        scores(rating, prediction) | user_scores(user, rating, prediction.mean) | unknown,
        stratified(user, rating, prediction, fitted.user_count[user]),
        stratified(user, rating, prediction, fitted.item_count[item]),
        calibration(rating, prediction),
        predictions,
        model.noise,
    )


def ranked(
    model: PMF, test: pd.DataFrame, train: pd.DataFrame, k: int = 10, relevant: float = 4.0
) -> Ranking:
    """Rank all items for each user by the predictive mean, without the user's items in `train`.

    A test item is relevant where its rating is `relevant` or more. `train` is the frame that the
    model was fitted to, perhaps with further pairs that are not to be recommended. Metrics, ties
    and sources: `pmf.evaluate.ranking`. Raises `InputError` as `ranked_by` does.
    """
    fitted = model.require_fitted()
    if len(train) < (needed := int(fitted.user_count.sum())):
        raise InputError(
            f"the training frame: {len(train):,} ratings, but the model was fitted to {needed:,}; "
            "give all of them, or the rest would be recommended"
        )
    return ranked_by(model.scorer, fitted.users, fitted.items, train, test, k, relevant)
