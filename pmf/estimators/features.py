"""What `pmf.Content` and `pmf.Hybrid` share: ratings and item features to arrays, and back.

Both have a row for every item that has ratings or metadata, so an item nobody has rated is
predicted from its features, like any other; only one without either is unknown.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from pmf.data.checks import shown
from pmf.data.features import FeatureTable
from pmf.data.frames import Encoded, learnable
from pmf.data.ids import Ids, joined
from pmf.data.row_numbers import row_numbers
from pmf.data.tables import Table
from pmf.data.units import unit_of
from pmf.errors import InputError
from pmf.estimators.model_file import pack_ids, unpack_ids
from pmf.estimators.plausible import check_floats, check_ids
from pmf.fitting.rescale import Scales
from pmf.fitting.search import Problem
from pmf.fitting.settings import ContentSettings, HybridSettings
from pmf.process.forked import computing
from pmf.types import Ratings, Terms


class FeatureProblem(NamedTuple):
    """Training ratings with a row for every item that has ratings or metadata."""

    encoded: Encoded
    table: np.ndarray  # z of each item, and of the unknown one
    problem: Problem  # its ratings, and the held-out ones, are standardised
    heldout: Ratings | None
    scales: Scales


def feature_problem(
    settings: ContentSettings | HybridSettings,
    terms: Terms,
    ratings: Table,
    features: FeatureTable,
    heldout: Table | None,
    share: float = 0.5,
) -> FeatureProblem:
    """Frames to a problem; `share` is that of `pmf.fitting.rescale`.

    Raises `InputError` for bad ones, and where no rated item has features.
    """
    computing()
    rules = settings.scale, settings.duplicates
    encoded = learnable(ratings, "the training frame", *rules)
    items = all_described(encoded.items, features.ids, "item")
    encoded = encoded._replace(items=items)
    scales = Scales(unit_of(encoded.ratings.value, settings.mu), share)
    train = scales.unit.standardised(encoded.ratings)
    rows = encoded.users.num_rows, items.num_rows
    numbers = row_numbers(train, *rows)
    problem = Problem(train, *rows, numbers, terms, 0.0, settings.seed, settings.fused)
    watched = None
    if heldout is not None:
        pairs = encoded.held_out(heldout, settings.scale)
        watched = scales.unit.standardised(pairs, coded=False)
    return FeatureProblem(encoded, features.table(items), problem, watched, scales)


def all_described(rated: Ids, described: Ids, side: str) -> Ids:
    """The users (or items) with ratings in their order, then those with metadata alone.

    Raises `InputError` where none has both.
    """
    row = described.codes(pd.Series(rated.values, name=f"{side}_id"))
    known = row[~described.unknown(row)]
    if not len(known):
        ours, theirs = shown(rated.values[0]), shown(described.values[0])
        raise InputError(
            f"no rated {side} has features; {side}s are called such as {ours} in the ratings, and "
            f"such as {theirs} in the features"
        )
    return Ids(joined(rated.values, np.delete(described.values, known)))


def with_described(
    encoded: Encoded, features: Mapping[str, FeatureTable]
) -> tuple[Encoded, dict[str, np.ndarray]]:
    """Ratings with a row for everything that has features, and the features of each side's rows.

    Raises `InputError` where no rated row has some.
    """
    ids = {"user": encoded.users, "item": encoded.items}
    ids |= {side: all_described(ids[side], x.ids, side) for side, x in features.items()}
    tables = {side: x.table(ids[side]) for side, x in features.items()}
    return encoded._replace(users=ids["user"], items=ids["item"]), tables


def pack_features(features: FeatureTable) -> dict[str, np.ndarray]:
    """Features as arrays of a model file."""
    items, names, values, mean, loadings = features
    words = Ids(np.asarray(names, object))
    ids = {f"feature.item.{name}": x for name, x in pack_ids(items).items()}
    return {
        **ids,
        **{f"feature.name.{name}": x for name, x in pack_ids(words).items()},
        "feature.values": values.data,
        "feature.column": values.indices,
        "feature.start": values.indptr,
        "feature.mean": np.asarray(mean),
        "feature.loadings": np.asarray(loadings),
    }


def unpack_features(parts: Mapping[str, np.ndarray], width: int) -> FeatureTable:
    """The inverse, of so many numbers per item. Raises `ValueError` for other arrays."""
    items, words = (unpack_ids(parts, f"feature.{part}") for part in ("item", "name"))
    data, column, start = (parts[f"feature.{part}"] for part in ("values", "column", "start"))
    mean, loadings = parts["feature.mean"], parts["feature.loadings"]
    n, p = len(items), len(words)
    check_ids("features' items", items)
    check_floats("features", data, column.shape)
    check_floats("features' mean", mean, (p,))
    check_floats("features' loadings", loadings, (p, width))
    if {column.dtype.kind, start.dtype.kind} != {"i"} or start.shape != (n + 1,):
        raise ValueError("features: not where each item's are")
    if len(data) and not 0 <= column.min() <= column.max() < p:
        raise ValueError("features: not among those with a name")
    if start[0] != 0 or start[-1] != len(data) or np.any(np.diff(start) < 0):
        raise ValueError("features: not where each item's are")
    return FeatureTable(
        items, words.values, csr_array((data, column, start), (n, p)), mean, loadings
    )
