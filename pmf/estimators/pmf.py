"""`PMF`: raw ids in, raw ids out. A thin layer over the other modules."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from pmf.data.contexts import ContextRows
from pmf.data.features import FeatureTable
from pmf.data.frames import HELD_OUT, checked, each_once
from pmf.data.ids import Ids
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.data.sources import base
from pmf.data.tables import Table, as_frame
from pmf.estimators.base import Model
from pmf.estimators.extend import Which, extended
from pmf.estimators.features import pack_features, unpack_features, with_described
from pmf.estimators.model_file import Saved
from pmf.estimators.notices import context_numbers
from pmf.fitting.checkpoint import Checkpoints, claimed
from pmf.fitting.fit import OnRecord, fit_ratings
from pmf.fitting.fitted import Fitted
from pmf.fitting.methods.base import Inference
from pmf.fitting.phases import Clock, OnStep, no_progress
from pmf.fitting.progress import both, progress_bar
from pmf.fitting.settings import Settings, make_settings, shorthand
from pmf.fitting.settings_base import takes
from pmf.inference.row_features import GIVEN
from pmf.io.workspace import work_folder


@takes(shorthand())
class PMF(Model):
    """Probabilistic matrix factorization.

        PMF(rank=16, inference=pmf.Gibbs(burn_in=200)).fit(ratings).predict(pairs, interval=0.9)
        PMF(rank=16, method="gibbs", burn_in=200)  # the same in short

    `inference` is `pmf.ALS`, `pmf.MAP`, `pmf.Gibbs` or `pmf.VB`, each with its own settings and
    defaults; a setting that an inference has not is refused. Frames have columns user_id, item_id
    and rating (or the usual aliases).

    Raises `InputError` for bad settings and bad frames.
    """

    settings: Settings
    features: dict[str, FeatureTable] = {}  # of each side ("user", "item") that it was fitted with

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

    @classmethod
    def of(cls, settings: Settings) -> "PMF":
        """A model, not fitted, of settings that are checked already."""
        model = cls.__new__(cls)
        model.settings = settings
        return model

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
        item_features: FeatureTable | None = None,
        user_features: FeatureTable | None = None,
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

        With `item_features` (`pmf.item_features`) or `user_features` (`pmf.frame_features`), by
        Gibbs only, rows' prior means are regressed on them. Then every item, or user, that has
        features has a row: one without ratings is predicted from them, with as wide an interval as
        they leave.
        """
        settings = self.settings
        settings.inference.check_can_run()
        if progress:
            with progress_bar() as bar:
                rest = source, checkpoints, on_record, reading, False, item_features, user_features
                return self.fit(ratings, heldout, both(bar, on_step), *rest)
        clock, on_disk = Clock(on_step), settings.inference.reads_disk
        with claimed(checkpoints):  # before the ratings are read
            with work_folder() if on_disk else nullcontext() as folder:
                rules = settings.scale, settings.duplicates
                with clock.phase("reading"):
                    by = self.context_column
                    encoded = base.encoded(ratings, *rules, folder, reading, source, by)
                    of_sides = {"user": user_features, "item": item_features}
                    features = {side: x for side, x in of_sides.items() if x is not None}
                    encoded, given = with_described(encoded, features)
                    watched, contexts = None, None
                    if heldout is not None:
                        heldout = as_frame(heldout, HELD_OUT)
                        watched = encoded.held_out(heldout, settings.scale)
                    if encoded.context is not None and encoded.contexts is not None and by:
                        ids, in_context = encoded.contexts, None
                        if heldout is not None:
                            in_context = context_numbers(ids, by, heldout, HELD_OUT)
                        contexts = ContextRows(encoded.context, ids.num_rows, in_context)
                rows = encoded.users.num_rows, encoded.items.num_rows
                learnt_from = settings, encoded.ratings, *rows
                more = checkpoints, on_record, given, contexts
                fit = fit_ratings(*learnt_from, watched, clock, *more)
                keeps = settings.store_ratings and not on_disk
                self.fitted = Fitted.of(fit, encoded, keeps)
        self.fitted.fit = replace(fit, phases=clock.seconds())
        self.features = features
        return self

    @property
    def context_column(self) -> str | None:
        return self.settings.inference.context_column

    def context_rows(self, frame: Table, source: str) -> np.ndarray | None:
        by, ids = self.context_column, self.require_fitted().contexts
        return None if by is None or ids is None else context_numbers(ids, by, frame, source)

    def given_features(self, side: str, ids: Ids) -> np.ndarray | None:
        features = self.features.get(side)
        return None if features is None else features.table(ids)

    def parts(self) -> dict[str, np.ndarray]:
        """The features that it was fitted with."""
        packed = {side: pack_features(x).items() for side, x in self.features.items()}
        return {f"{side}.{name}": x for side, parts in packed.items() for name, x in parts}

    @classmethod
    def of_file(cls, saved: Saved) -> Self:
        model = super().of_file(saved)
        prior = saved.fitted.fit.run.prior
        for side, gaussian in {"user": prior.user, "item": prior.item}.items():
            if GIVEN in gaussian.regressions:
                width, start = gaussian.regressions[GIVEN].coefficients.shape[1], f"{side}."
                of_side = [name for name in saved.parts if name.startswith(start)]
                parts = {name.removeprefix(start): saved.parts[name] for name in of_side}
                model.features = model.features | {side: unpack_features(parts, width)}
        return model

    def partial_fit_users(self, ratings: Table, seed: int = 0) -> "PMF":
        """A model that has the frame's users too, their rows given the items as fitted.

        The frame holds all ratings of each; one that the model knows gets a new row. Nothing else
        is refitted (`pmf.inference.fold_in`), and contexts of new ratings are not asked for. Raises
        `InputError` for a bad frame.
        """
        return self._extended(ratings, "user", seed)

    def partial_fit_items(self, ratings: Table, seed: int = 0) -> "PMF":
        """The same for items, given the users as fitted."""
        return self._extended(ratings, "item", seed)

    def _extended(self, ratings: Table, which: Which, seed: int) -> "PMF":
        source = f"the new {which}s' ratings"
        table = each_once(checked(ratings, source, self.settings.scale, times=False), source)
        model = PMF.of(self.settings)
        model.fitted = extended(self.require_fitted(), table, which, seed, self.given_features)
        model.features = self.features
        return model
