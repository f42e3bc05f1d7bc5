"""`PMF`: raw ids in, raw ids out. Thin: everything it does, it asks of other rooms."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pmf.data.encoding import count_rows
from pmf.data.frames import Encoded, checked, each_once, learnable
from pmf.data.histories import rated_by_user
from pmf.data.readers.files import refuse_all_but
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.data.sources import base
from pmf.data.tables import Table, is_path
from pmf.errors import InputError
from pmf.estimators import model_file
from pmf.estimators.base import (
    Levels,
    answer,
    clipped,
    require,
    require_heldout,
    row_numbers,
    stored,
)
from pmf.estimators.extend import Which, extended
from pmf.estimators.frames import biases, factors
from pmf.fitting.checkpoint import Checkpoints
from pmf.fitting.fit import Fitted, OnRecord, OnStep, fit_ratings, no_progress, state_of
from pmf.fitting.methods import Inference
from pmf.fitting.progress import both, progress_bar
from pmf.fitting.schedule import Record
from pmf.fitting.settings import Settings, make_settings, settings_in_words, shorthand
from pmf.fitting.settings_base import takes
from pmf.io.workspace import work_folder
from pmf.model.predictive import Prediction, predict_pairs
from pmf.types import Params, Ratings


@takes(shorthand())
@dataclass(eq=False, repr=False)  # a model is equal to itself alone
class PMF:
    """Probabilistic matrix factorization.

        PMF(rank=16, inference=pmf.Gibbs(burn_in=200)).fit(ratings).predict(pairs, interval=0.9)
        PMF(rank=16, method="gibbs", burn_in=200)  # the same in short

    `inference` is `pmf.ALS`, `pmf.MAP` or `pmf.Gibbs`, each with its own settings and defaults; a
    setting that an inference has not is refused. Frames have columns user_id, item_id and rating
    (or the usual aliases).

    Raises `InputError` for bad settings and bad frames.
    """

    settings: Settings
    fitted: Fitted | None = field(default=None, repr=False)

    def __init__(
        self,
        rank: int = 16,
        method: str | None = None,
        *,
        inference: Inference | None = None,
        **settings: Any,
    ):
        named = {"rank": rank, "method": method, "inference": inference}
        self.settings = make_settings({**named, **settings})
        self.fitted = None

    @classmethod
    def of(cls, settings: Settings) -> "PMF":
        """A model, not fitted, of settings that are checked already."""
        model = cls.__new__(cls)
        model.settings, model.fitted = settings, None
        return model

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_in_words(self.settings)}), {state_of(self.fitted)}"

    def fit(
        self,
        ratings: Table | str | Path,
        heldout: Table | None = None,
        on_step: OnStep = no_progress,
        source: str = "the training frame",
        checkpoints: Checkpoints | None = None,
        on_record: OnRecord = lambda record: None,
        reading: Reading = AS_IT_IS,
        progress: bool = False,
    ) -> "PMF":
        """Fit to a table of ratings, a data set by name, a file, or a folder of Parquet files.

        A table is a frame of pandas, one that speaks Arrow, or a scipy.sparse matrix
        (`pmf.data.tables.as_frame`); so it is wherever ratings or pairs are asked for.

        A large file is read in less time and memory by its path than through a frame. A folder is
        read by batches; with `on_disk=True` its ratings never are in memory as a whole. `reading`
        says how a file is to be read where its name does not say it.

        `heldout` ratings are watched: their RMSE is recorded at each step, and `heldout_prediction`
        averages all kept draws. `progress` shows a bar on a terminal or in a notebook (a fit is
        silent without); `on_step(phase, step, total)` is told of it, `on_record` of each step's
        `pmf.fitting.schedule.Record`; `source` names the training frame in messages. With
        `checkpoints` (`pmf.fitting.checkpoint.Checkpoints`) a run that stopped can be resumed, bit
        for bit; after SIGINT or SIGTERM `Interrupted` is raised.
        """
        settings = self.settings
        settings.inference.check_can_run()
        if progress:
            with progress_bar() as bar:
                rest = source, checkpoints, on_record, reading
                return self.fit(ratings, heldout, both(bar, on_step), *rest)
        rules = settings.scale, settings.duplicates
        if is_path(ratings):
            with work_folder() if settings.inference.reads_disk else nullcontext() as folder:
                encoded = base.encoded(ratings, *rules, folder, reading)
                return self._fit_encoded(encoded, heldout, on_step, checkpoints, on_record)
        if settings.inference.reads_disk:
            raise InputError("on_disk=True reads Parquet: fit a path, not a frame")
        refuse_all_but(reading, (), source)
        encoded = learnable(ratings, source, *rules)
        return self._fit_encoded(encoded, heldout, on_step, checkpoints, on_record)

    def _fit_encoded(
        self,
        encoded: Encoded,
        heldout: Table | None,
        on_step: OnStep,
        checkpoints: Checkpoints | None,
        on_record: OnRecord,
    ) -> "PMF":
        settings = self.settings
        users, items = encoded.users, encoded.items
        watched = None
        if heldout is not None:
            held = checked(heldout, "the held-out frame", settings.scale, times=False)
            user, item = users.codes(held["user_id"]), items.codes(held["item_id"])
            watched = Ratings(user, item, held["rating"].to_numpy())
        rows = users.num_rows, items.num_rows
        fit = fit_ratings(
            settings, encoded.ratings, *rows, watched, on_step, checkpoints, on_record
        )
        user_count = count_rows(encoded.ratings.user, users.num_rows)
        item_count = count_rows(encoded.ratings.item, items.num_rows)
        rated = None
        if settings.store_ratings and not settings.inference.reads_disk:
            rated = rated_by_user(encoded.ratings, users.num_rows)
        self.fitted = Fitted(fit, users, items, user_count, item_count, rated)
        return self

    def predict(
        self, frame: Table, interval: Levels = None, source: str = "the frame"
    ) -> pd.DataFrame:
        """Predictions for a frame of (user, item) pairs, row by row.

        Columns `user_id, item_id, mean, std`; with `interval=0.9` also `low, high`, between which a
        rating lies with that probability, and with `interval=[0.5, 0.9]` `low_50, high_50, low_90,
        high_90`. A pair with an unknown id gets the mean plus the known
        bias, is marked in the column `unknown` ("", "user", "item" or "both") and counted in one
        `UnknownIdWarning`; no row is dropped. `source` names the frame in messages.
        """
        return answer(self, frame, interval, source)

    def rows(self, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
        return row_numbers(self.require_fitted(), ids, source)

    def predict_rows(self, user: np.ndarray, item: np.ndarray) -> Prediction:
        """The predictive distribution by row numbers; a count of ids stands for an unknown one."""
        fit = stored(self.require_fitted())
        mean, variance = predict_pairs(fit.run.draws, fit.noise_variance, user, item)
        return Prediction(clipped(mean, self.settings), variance)

    def partial_fit_users(self, ratings: Table, seed: int = 0) -> "PMF":
        """A model that has the frame's users too, their rows given the items as fitted.

        The frame holds all ratings of each; one that the model knows gets a new row. Nothing else
        is refitted (`pmf.inference.fold_in`). Raises `InputError` for a bad frame.
        """
        return self._extended(ratings, "user", seed)

    def partial_fit_items(self, ratings: Table, seed: int = 0) -> "PMF":
        """The same for items, given the users as fitted."""
        return self._extended(ratings, "item", seed)

    def _extended(self, ratings: Table, which: Which, seed: int) -> "PMF":
        source = f"the new {which}s' ratings"
        table = each_once(checked(ratings, source, self.settings.scale, times=False), source)
        model = PMF.of(self.settings)
        model.fitted = extended(self.require_fitted(), table, which, seed)
        return model

    @property
    def draws(self) -> Params:
        """The kept draws, stacked; a point method's one draw is its estimate."""
        return stored(self.require_fitted()).run.draws

    @property
    def heldout_prediction(self) -> Prediction:
        """The predictive distribution of `fit`'s held-out ratings, over all kept draws.

        Without held-out ratings but with `validation`, that of the validation part.
        """
        prediction = require_heldout(self.require_fitted().fit.run.heldout)
        return prediction._replace(mean=clipped(prediction.mean, self.settings))

    @property
    def mu(self) -> float:
        """The global mean; of Gibbs its mean over kept draws, as in the frames below."""
        return float(np.mean(stored(self.require_fitted()).run.draws.mu))

    @property
    def user_factors(self) -> pd.DataFrame:
        """U: a row a user, by id, and a column a factor. Of Gibbs the mean over kept draws, which
        turn against each other: see `pmf.estimators.frames`.
        """
        return factors(self.require_fitted(), "user")

    @property
    def item_factors(self) -> pd.DataFrame:
        """V: the same of items."""
        return factors(self.require_fitted(), "item")

    @property
    def user_biases(self) -> pd.DataFrame:
        """b: a row a user, by id, with the column `bias`."""
        return biases(self.require_fitted(), "user")

    @property
    def item_biases(self) -> pd.DataFrame:
        """c: the same of items."""
        return biases(self.require_fitted(), "item")

    @property
    def records(self) -> list[Record]:
        """Every step: number, seconds, log posterior, held-out RMSE."""
        return self.require_fitted().fit.run.records

    @property
    def noise(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return self.settings.inference.noise_source

    def log_posterior(self) -> float:
        """log p(R, theta | prior) of the estimate, the unknown rows' prior density included; for
        Gibbs its mean over kept draws.

        Not to be compared between the two: Gibbs resamples the prior, so it is another function.
        """
        return self.require_fitted().fit.run.log_posterior

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file, whole or not at all: see `estimators.model_file`."""
        model_file.save(self.settings, self.require_fitted(), Path(path))

    def require_fitted(self) -> Fitted:
        """What `fit` learnt, as arrays and ids. Raises `InputError` before `fit`."""
        return require(self.fitted)


def load(path: str | Path) -> PMF:
    """A model that `PMF.save` wrote, ready to predict.

    Raises `InputError` where the file is missing, damaged, or of another format or version.
    """
    settings, fitted = model_file.load(Path(path))
    model = PMF.of(settings)
    model.fitted = fitted
    return model
