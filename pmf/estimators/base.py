"""What every fitted model answers: predictions for frames of raw ids. And what one has to offer."""

import numbers
import warnings
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from pmf.data.frames import pairs
from pmf.data.histories import Rated
from pmf.data.ids import Ids
from pmf.data.tables import Table, as_frame
from pmf.data.values import Coded, Values
from pmf.errors import InputError
from pmf.fitting.fit import Fit, Fitted
from pmf.model.predictive import Prediction, interval


class UnknownIdWarning(UserWarning):
    """Some pairs have a user or an item that the model knows nothing of."""


class OverlapWarning(UserWarning):
    """Some test pairs are among what the model was fitted to."""


_said: set[tuple[type[Warning], str]] = set()


def warn(text: str, category: type[Warning], stacklevel: int) -> None:
    """As `warnings.warn`, but the same words once a process, not once a line of a notebook.

    Python's own memory of what was shown is lost whenever a library changes the filters for a
    while, as those under this one do. A filter that says "always" or "error" is obeyed.
    """
    actions = (
        action
        for action, message, kind, module, line in warnings.filters
        if issubclass(category, kind) and not (message or module or line)
    )
    if next(actions, "default") in ("always", "error") or (category, text) not in _said:
        _said.add((category, text))
        warnings.warn(text, category, stacklevel=stacklevel + 1)


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


Levels = float | Sequence[float] | None  # of intervals: one, several, or none


def answer(model: Model, frame: Table, levels: Levels, source: str) -> pd.DataFrame:
    """Predictions for a frame of (user, item) pairs, row by row. See `pmf.PMF.predict`."""
    ends = interval_columns(levels)
    frame = as_frame(frame, source)
    fitted, ids = model.require_fitted(), pairs(frame, source)
    user, item = row_numbers(fitted, ids, source)
    prediction = model.predict_rows(user, item)
    table = ids.assign(mean=prediction.mean, std=np.sqrt(prediction.variance))
    for level, names in ends.items():
        for name, end in zip(names, interval(prediction, level), strict=True):
            table[name] = clipped(end, model.settings)
    no_user, no_item = fitted.users.unknown(user), fitted.items.unknown(item)
    table["unknown"] = np.array(["", "user", "item", "both"])[no_user + 2 * no_item]
    table.index = frame.index
    return table


def interval_columns(levels: Levels) -> dict[float, tuple[str, str]]:
    """The columns of each level's ends: `low, high` of one alone, `low_50, high_50` of several.

    Raises `InputError` for what is no probability, or is there twice.
    """
    if levels is None:
        return {}
    several = list(levels) if isinstance(levels, (Sequence, np.ndarray)) else [levels]
    for level in several:
        if not isinstance(level, numbers.Real) or not 0 < level < 1:
            raise InputError(f"interval={levels}: a probability between 0 and 1, such as 0.9")
    if len(set(several)) < len(several):
        raise InputError(f"interval={levels}: a level is there twice")
    if isinstance(levels, numbers.Real):
        return {float(levels): ("low", "high")}
    return {level: (f"low_{100 * level:g}", f"high_{100 * level:g}") for level in several}


def row_numbers(fitted: Fitted, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
    user = fitted.users.codes(ids["user_id"], source)
    item = fitted.items.codes(ids["item_id"], source)
    no_user, no_item = fitted.users.unknown(user).sum(), fitted.items.unknown(item).sum()
    if no_user or no_item:
        counts = {"user": no_user, "item": no_item}
        said = ", ".join(f"{n:,} an unknown {side}" for side, n in counts.items() if n)
        warn(
            f"{source}: {said.replace(' ', f' of {len(user):,} pairs have ', 1)}; they are "
            "predicted by the mean and the known bias",
            UnknownIdWarning,
            stacklevel=4,
        )
    return user, item


def known_alone(ids: Ids, codes: np.ndarray, source: str, name: str) -> np.ndarray:
    """Which codes stand for known ids; the others are counted in one `UnknownIdWarning`."""
    known = ~ids.unknown(codes)
    if not known.all():
        warn(
            f"{source}: {(~known).sum():,} of {len(known):,} have an {name} unknown to the model; "
            "they teach nothing",
            UnknownIdWarning,
            stacklevel=5,
        )
    return known


def clipped(x: np.ndarray, settings: Scaled) -> np.ndarray:
    """Into the ratings' scale, where the settings say so."""
    return np.clip(x, *settings.scale) if settings.clip and settings.scale else x


def rating_range(value: Values | pd.Series) -> tuple[float, float]:
    """The lowest and the highest of some ratings."""
    seen = value.table if isinstance(value, Coded) else np.asarray(value, np.float32)
    return float(seen.min()), float(seen.max())


def known_range(model: Model) -> tuple[float, float] | None:
    """The lowest and the highest rating that a model was fitted to, where it kept them."""
    rated = model.require_fitted().rated
    return None if rated is None else rating_range(rated.value)


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
