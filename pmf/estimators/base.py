"""The base of every fitted model: it predicts for frames of raw ids, and shows what it learnt."""

import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd

from pmf.data.frames import pairs
from pmf.data.histories import Rated
from pmf.data.ids import Ids
from pmf.data.tables import Table, as_frame
from pmf.data.values import Coded, Values
from pmf.errors import InputError
from pmf.estimators import frames, model_file
from pmf.estimators.frames import fit_with_draws
from pmf.estimators.notices import row_numbers
from pmf.fitting.fitted import Fitted, state_of
from pmf.fitting.schedule import Record
from pmf.fitting.settings import settings_in_words
from pmf.model.predictive import Prediction, interval, noise_of_pairs, predict_pairs
from pmf.model.stars import probabilities
from pmf.types import Params


class Scaled(Protocol):
    """Settings that name the ratings' scale."""

    @property
    def scale(self) -> tuple[float, float] | None: ...
    @property
    def clip(self) -> bool: ...


Levels = float | Sequence[float] | None  # of intervals: one, several, or none


class Model:
    """A fitted model: it predicts, is reported on, recommended from, saved and loaded.

    `pmf.PMF`, `pmf.Content`, `pmf.Hybrid` and the folded-in users of each. It is equal to itself
    alone.
    """

    settings: Any  # of its kind
    fitted: Fitted | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_in_words(self.settings)}), {state_of(self.fitted)}"

    def require_fitted(self) -> Fitted:
        """What `fit` learnt, as arrays and ids. Raises `InputError` before `fit`."""
        return require(self.fitted)

    @property
    def draws(self) -> Params:
        """The kept draws, stacked; a point method's one draw is its estimate."""
        return fit_with_draws(self.require_fitted()).run.draws

    @property
    def noise_source(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return str(self.settings.noise_source)

    def predict(
        self,
        frame: Table,
        interval: Levels = None,
        source: str = "the frame",
        stars: Sequence[float] | None = None,
    ) -> pd.DataFrame:
        """Predictions for a frame of (user, item) pairs, row by row.

        Columns `user_id, item_id, mean, std`; with `interval=0.9` also `low, high`, between which a
        rating lies with that probability, and with `interval=[0.5, 0.9]` `low_50, high_50, low_90,
        high_90`. With `stars=[1, 2, 3, 4, 5]`, the values that ratings can have, also `p_1` to
        `p_5`, the probability of each (`pmf.model.stars`).

        A pair with an unknown id gets the mean plus the known bias, is marked in the column
        `unknown` ("", "user", "item" or "both") and counted in one `UnknownIdWarning`; no row is
        dropped. Where the model was fitted with contexts, such as days, and the frame has their
        column, each pair is predicted in its own; without the column, and in one that is unknown,
        as in any, which one `UnknownContextWarning` says.
        `source` names the frame in messages.
        """
        return answer(self, frame, interval, source, stars)

    def rows(self, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
        return row_numbers(self.require_fitted(), ids, source)

    @property
    def context_column(self) -> str | None:
        """What the contexts of ratings are (`pmf.data.contexts`); None: there are none."""
        return None

    def context_rows(self, frame: Table, source: str) -> np.ndarray | None:
        """Row numbers of the contexts of a frame's pairs; None where the model has none.

        Unknown ones are counted in one `UnknownContextWarning`.
        """
        return None

    def predict_rows(
        self, user: np.ndarray, item: np.ndarray, context: np.ndarray | None = None
    ) -> Prediction:
        """The predictive distribution by row numbers; a count of ids stands for an unknown one."""
        return within(self.unclipped_rows(user, item, context), self.settings)

    def unclipped_rows(
        self, user: np.ndarray, item: np.ndarray, context: np.ndarray | None = None
    ) -> Prediction:
        """The same, whatever the scale.

        In an unknown context, and without one, the mean is that of an average context, and the
        variance has what contexts differ by.
        """
        fit, draws = fit_with_draws(self.require_fitted()), self._filled_draws()
        pairs = draws, fit.noise_variance, user, item
        if draws.context is not None:
            last = draws.context.factor.shape[1] - 1
            context = np.full(len(user), last, np.int32) if context is None else context
        mean, variance = predict_pairs(*pairs, context)
        if context is not None and (is_unknown := context == last).any():
            mean = np.where(is_unknown, predict_pairs(*pairs).mean, mean)
        return Prediction(mean, self._with_own(variance, user, item))

    def noise_rows(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """The part of these predictions' variance that is the noise of a rating."""
        fit = fit_with_draws(self.require_fitted())
        return noise_of_pairs(self.draws, fit.noise_variance, user, item)

    def _filled_draws(self) -> Params:
        """The draws, perhaps with further rows, which nobody asks for."""
        return self.draws

    def _with_own(self, variance: np.ndarray, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """The variance, with what the rows' own uncertainty adds where draws do not show it."""
        return variance

    @property
    def heldout_prediction(self) -> Prediction:
        """The predictive distribution of `fit`'s held-out ratings, over all kept draws.

        Without held-out ratings but with `validation`, that of the validation part.
        """
        return within(require_heldout(self.require_fitted().fit.run.heldout), self.settings)

    @property
    def mu(self) -> float:
        """The global mean; of Gibbs its mean over kept draws, as in the frames below."""
        return float(np.mean(self.draws.mu))

    @property
    def user_factors(self) -> pd.DataFrame:
        """U: a row per user, a column per factor. Of Gibbs the mean over kept draws, which
        turn against each other: see `pmf.estimators.frames`.
        """
        return frames.factors(self.require_fitted(), "user")

    @property
    def item_factors(self) -> pd.DataFrame:
        """V: the same of items."""
        return frames.factors(self.require_fitted(), "item")

    @property
    def user_biases(self) -> pd.DataFrame:
        """b: a row per user, by id, with the column `bias`."""
        return frames.biases(self.require_fitted(), "user")

    @property
    def item_biases(self) -> pd.DataFrame:
        """c: the same of items."""
        return frames.biases(self.require_fitted(), "item")

    @property
    def records(self) -> list[Record]:
        """Every step: number, seconds, log posterior (of VB the bound), held-out RMSE."""
        return self.require_fitted().fit.run.records

    @property
    def phases(self) -> dict[str, float]:
        """Where the time of the fit went: seconds of `reading`, `layout`, `search` (for a prior),
        `compilation`, `sweeps` (MAP's updates too) and `rest`, without those that it did not have.

        Of a resumed fit `sweeps` are those of all processes, the others those of the last. Nothing
        of a model that an earlier pmf saved.
        """
        return self.require_fitted().fit.phases

    def log_posterior(self) -> float:
        """log p(R, theta | prior) of the estimate, the unknown rows' prior density included; for
        Gibbs its mean over kept draws, and of VB the bound that it maximises.

        Not to be compared between them: Gibbs and VB learn the prior, so it is another function.
        """
        return self.require_fitted().fit.run.log_posterior

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file, whole or not at all: see `estimators.model_file`."""
        kind, fitted = type(self).__name__, self.require_fitted()
        model_file.save(model_file.Saved(kind, self.settings, fitted, self.parts()), Path(path))

    def given_features(self, side: str, ids: Ids) -> np.ndarray | None:
        """What the features that a prior mean was fitted with say of these rows of a side, and of
        an unknown one; None where it was fitted with none.
        """
        return None

    def parts(self) -> dict[str, np.ndarray]:
        """The arrays that a file of it holds beside its fit."""
        return {}

    @classmethod
    def of_file(cls, saved: model_file.Saved) -> Self:
        """The model of a file. Raises `ValueError` or `KeyError` for invalid parts."""
        model = cls.__new__(cls)
        model.settings, model.fitted = saved.settings, saved.fitted
        return model


def answer(
    model: Model,
    frame: Table,
    levels: Levels,
    source: str,
    stars: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Predictions for a frame of (user, item) pairs, row by row. See `pmf.PMF.predict`."""
    ends, given_stars = interval_columns(levels), checked_stars(stars)
    frame = as_frame(frame, source)
    fitted, ids = model.require_fitted(), pairs(frame, source)
    user, item = row_numbers(fitted, ids, source)
    raw = model.unclipped_rows(user, item, model.context_rows(frame, source))
    prediction = within(raw, model.settings)
    table = ids.assign(mean=prediction.mean, std=np.sqrt(prediction.variance))
    for level, names in ends.items():
        for name, end in zip(names, interval(prediction, level), strict=True):
            table[name] = clipped(end, model.settings)
    if given_stars is not None:
        each = probabilities(raw, given_stars)
        for star, probability in zip(given_stars, each.T, strict=True):
            table[f"p_{star:g}"] = probability
    no_user, no_item = fitted.users.unknown(user), fitted.items.unknown(item)
    table["unknown"] = np.array(["", "user", "item", "both"])[no_user + 2 * no_item]
    table.index = frame.index
    return table


def checked_stars(stars: Sequence[float] | None) -> np.ndarray | None:
    """The values that ratings can have, ascending. Raises `InputError` for fewer than two, and for
    what is no finite number, or is there twice.
    """
    if stars is None:
        return None
    try:
        values = np.sort(np.asarray(stars, np.float64))
    except (TypeError, ValueError, OverflowError):
        values = np.empty(0)
    is_some = values.ndim == 1 and len(values) > 1 and bool(np.isfinite(values).all())
    if not is_some or len({f"{star:g}" for star in values}) < len(values):
        raise InputError(f"stars={stars}: two or more different numbers, such as [1, 2, 3, 4, 5]")
    return np.asarray(values)


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


def clipped(x: np.ndarray, settings: Scaled) -> np.ndarray:
    """Into the ratings' scale, where the settings say so."""
    return np.clip(x, *settings.scale) if settings.clip and settings.scale else x


def within(prediction: Prediction, settings: Scaled) -> Prediction:
    """The means into the ratings' scale, where the settings say so."""
    return prediction._replace(mean=clipped(prediction.mean, settings))


def rating_range(value: Values | pd.Series) -> tuple[float, float]:
    """The lowest and the highest of some ratings."""
    stars = value.table if isinstance(value, Coded) else np.asarray(value, np.float32)
    return float(stars.min()), float(stars.max())


def known_range(model: Model) -> tuple[float, float] | None:
    """The lowest and the highest rating that a model was fitted to, where it kept them."""
    rated = model.require_fitted().rated
    return None if rated is None else rating_range(rated.value)


def require(fitted: Fitted | None) -> Fitted:
    """What `fit` learnt. Raises `InputError` before `fit`, and where its file was written into."""
    if fitted is None:
        raise InputError("this model is not fitted; call its fit first")
    if fitted.source is not None:
        fitted.source.check()
    return fitted


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
        raise InputError("no held-out ratings; give them to fit(..., heldout=...)")
    return prediction
