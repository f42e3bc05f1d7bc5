"""A fitted model against a frame of ratings: every score, by strata, with its calibration."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.answers import Model
from pmf.data.frames import checked
from pmf.errors import InputError
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


def report(model: Model, ratings: pd.DataFrame, heldout: bool = False) -> Report:
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
