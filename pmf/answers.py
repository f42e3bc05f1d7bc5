"""What every fitted model answers: predictions for frames of raw ids. And what one has to offer."""

import warnings
from typing import Protocol

import numpy as np
import pandas as pd

from pmf.data.frames import Ids, pairs
from pmf.data.pairs import Rated
from pmf.data.tables import Table, as_frame
from pmf.errors import InputError
from pmf.fit import Fit, Fitted
from pmf.predictive import Prediction, interval


class UnknownIdWarning(UserWarning):
    """Some pairs have a user or an item that the model knows nothing of."""


class Scaled(Protocol):
    """Settings that name the ratings' scale."""

    @property
    def scale(self) -> tuple[float, float] | None: ...
    @property
    def clip(self) -> bool: ...


class Model(Protocol):
    """A fitted model, as the one evaluation sees it: `pmf.PMF`, `pmf.Content`, `pmf.Hybrid`."""

    @property
    def settings(self) -> Scaled: ...
    @property
    def noise(self) -> str: ...
    @property
    def heldout_prediction(self) -> Prediction: ...
    def require_fitted(self) -> Fitted: ...
    def rows(self, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]: ...
    def predict_rows(self, user: np.ndarray, item: np.ndarray) -> Prediction: ...


def answer(model: Model, frame: Table, level: float | None, source: str) -> pd.DataFrame:
    """Predictions for a frame of (user, item) pairs, row by row. See `pmf.PMF.predict`."""
    if level is not None and not 0 < level < 1:
        raise InputError(f"interval={level}: a probability between 0 and 1, such as 0.9")
    frame = as_frame(frame, source)
    fitted, ids = model.require_fitted(), pairs(frame, source)
    user, item = row_numbers(fitted, ids, source)
    prediction = model.predict_rows(user, item)
    table = ids.assign(mean=prediction.mean, std=np.sqrt(prediction.variance))
    if level is not None:
        low, high = interval(prediction, level)
        table["low"], table["high"] = clipped(low, model.settings), clipped(high, model.settings)
    no_user, no_item = fitted.users.unknown(user), fitted.items.unknown(item)
    table["unknown"] = np.array(["", "user", "item", "both"])[no_user + 2 * no_item]
    table.index = frame.index
    return table


def row_numbers(fitted: Fitted, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
    user = fitted.users.codes(ids["user_id"], source)
    item = fitted.items.codes(ids["item_id"], source)
    no_user, no_item = fitted.users.unknown(user).sum(), fitted.items.unknown(item).sum()
    if no_user or no_item:
        warnings.warn(
            f"{source}: {no_user} of {len(user)} pairs have an unknown user, {no_item} an "
            "unknown item; they are predicted by the mean and the known bias",
            UnknownIdWarning,
            stacklevel=4,
        )
    return user, item


def known_alone(ids: Ids, codes: np.ndarray, source: str, name: str) -> np.ndarray:
    """Which codes stand for known ids; the others are counted in one `UnknownIdWarning`."""
    known = ~ids.unknown(codes)
    if not known.all():
        warnings.warn(
            f"{source}: {(~known).sum()} of {len(known)} have an {name} that the model does not "
            "know; they teach nothing",
            UnknownIdWarning,
            stacklevel=5,
        )
    return known


def clipped(x: np.ndarray, settings: Scaled) -> np.ndarray:
    """Into the ratings' scale, where the settings say so."""
    return np.clip(x, *settings.scale) if settings.clip and settings.scale else x


def require(fitted: Fitted | None) -> Fitted:
    """What `fit` learnt. Raises `InputError` before `fit`."""
    if fitted is None:
        raise InputError("this model is not fitted; call its fit first")
    return fitted


def stored(fitted: Fitted) -> Fit:
    """The fit with its draws. Raises `InputError` where it was told not to keep them."""
    if not len(fitted.fit.noise_variance):
        raise InputError("the draws were not stored (store_draws=False); fit with them")
    return fitted.fit


def rated_of(fitted: Fitted, remedy: str = "fit with them") -> Rated:
    """The training ratings, user by user. Raises `InputError` where they were not kept."""
    if fitted.rated is None:
        raise InputError(
            f"the model did not keep its ratings (store_ratings=False, or on_disk); {remedy}"
        )
    return fitted.rated


def require_heldout(prediction: Prediction | None) -> Prediction:
    """The watched prediction. Raises `InputError` where nothing was watched."""
    if prediction is None:
        raise InputError("no held-out ratings were watched; give them to fit(..., heldout=...)")
    return prediction
