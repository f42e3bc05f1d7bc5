"""What `pmf.Content` and `pmf.Hybrid` share: ratings and item features to arrays, and back.

Both have a row for every item that has ratings or metadata, so an item nobody has rated is
predicted from its features, like any other; only one without either is unknown.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.checks import shown
from pmf.data.encoding import count_rows
from pmf.data.features import ItemFeatures
from pmf.data.frames import Encoded, checked, learnable
from pmf.data.histories import rated_by_user
from pmf.data.ids import Ids, joined
from pmf.data.row_numbers import row_numbers
from pmf.data.tables import Table
from pmf.data.units import unit_of
from pmf.errors import InputError
from pmf.fitting.driver import Run
from pmf.fitting.fit import Fitted, OnStep, summed_up
from pmf.fitting.prior_search import Method, Problem, Search, choose_prior
from pmf.fitting.rescale import Scales
from pmf.fitting.settings import ContentSettings, HybridSettings
from pmf.types import Ratings, Terms


def nobody(phase: str, step: int, total: int) -> None:
    """Is told of progress."""


class Task(NamedTuple):
    """Training ratings with a row for every item that has ratings or metadata."""

    encoded: Encoded
    table: np.ndarray  # z of each item, and of the unknown one
    problem: Problem  # its ratings, and the held-out ones, are standardised
    heldout: Ratings | None
    scales: Scales


def make_task(
    settings: ContentSettings | HybridSettings,
    terms: Terms,
    ratings: Table,
    features: ItemFeatures,
    heldout: Table | None,
    share: float = 0.5,
) -> Task:
    """Frames to a task; `share` is that of `pmf.fitting.rescale`.

    Raises `InputError` for bad ones, and where no rated item has features.
    """
    rules = settings.scale, settings.duplicates
    encoded = learnable(ratings, "the training frame", *rules)
    items = _all_items(encoded.items, features.items)
    encoded = encoded._replace(items=items)
    scales = Scales(unit_of(encoded.ratings.value, settings.mu), share)
    train = scales.unit.standardised(encoded.ratings)
    shape = train, len(encoded.users) + 1, len(items) + 1
    numbers = row_numbers(*shape)
    problem = Problem(*shape, numbers, terms, 0.0, settings.seed, settings.fused)
    watched = None
    if heldout is not None:
        held = checked(heldout, "the held-out frame", settings.scale, times=False)
        codes = encoded.users.codes(held["user_id"]), items.codes(held["item_id"])
        own = Ratings(*codes, held["rating"].to_numpy())
        watched = scales.unit.standardised(own, coded=False)
    return Task(encoded, features.table(items), problem, watched, scales)


def _all_items(rated: Ids, described: Ids) -> Ids:
    """The rated items in their order, then those with metadata alone."""
    row = described.codes(pd.Series(rated.values, name="item_id"))
    known = row[~described.unknown(row)]
    if not len(known):
        ours, theirs = shown(rated.values[0]), shown(described.values[0])
        raise InputError(
            f"no rated item has features; items are called such as {ours} in the ratings, and such "
            f"as {theirs} in the features"
        )
    return Ids(joined(rated.values, np.delete(described.values, known)))


def searched(task: Task, method: Method, on_step: OnStep) -> Search:
    """What a method's prior search finds on held-out training ratings."""
    on_step("choosing the prior", 0, 1)
    search = choose_prior(task.problem, method)[1]
    on_step("choosing the prior", 1, 1)
    return search


def fitted(task: Task, result: Run, noise: float, search: Search, log_volume: float) -> Fitted:
    """A point method's run with the variance of its noise, and the ids that its rows stand for."""
    fit = summed_up(result, search, task.scales, log_volume, noise)
    ratings, users, items = task.encoded
    counts = count_rows(ratings.user, len(users) + 1), count_rows(ratings.item, len(items) + 1)
    return Fitted(fit, users, items, *counts, rated_by_user(ratings, len(users) + 1))
