"""Approximate lists: a graph of a model's items is searched, in place of scoring them all.

The score of an item is an inner product of two rows (`pmf.recommendation.scores`). The largest are
found by walking a hierarchical navigable small world (Malkov & Yashunin, TPAMI 2020) of the items,
linked by inner products too (Morozov & Babenko, NeurIPS 2018). The usual reduction to nearest
neighbours (Bachrach et al., RecSys 2014) finds far less where items' lengths differ, as they do
here. The scores of what is found are exact; what is missed is not. Needs the extra `ann`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pmf.data.histories import Pairs
from pmf.errors import InputError
from pmf.estimators.base import Model
from pmf.estimators.frames import fit_with_draws
from pmf.recommendation.scores import item_table
from pmf.types import Side

LINKS = 32  # of an item to others, a layer
BUILD_EFFORT = 200  # candidates kept in mind while an item is linked
MOST_SHARE = 0.1  # of the items; who wants more, seen ones included, is better served exactly
COMPARED = 16  # items that tell one model from another


@dataclass(frozen=True, eq=False, repr=False)
class ItemIndex:
    """A model's items, ready to be searched: `recommend(model, ..., index=index)`.

    Made by `index_items`, for that model's items alone, and for new users folded into it.
    """

    table: Float[np.ndarray, "items d"]  # `pmf.recommendation.scores.item_table`, item by item
    graph: Any  # faiss.IndexHNSWFlat
    effort: int

    def __repr__(self) -> str:
        return f"ItemIndex({len(self.table):,} items, effort={self.effort})"

    def search(
        self, user_rows: Float[np.ndarray, "b d"], rated: Pairs, n: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """About the n best unseen items of each row, best first, -1 behind them, and their scores.

        Rows that want too much of an approximate search have no item at all.
        """
        best, scores = np.full((len(user_rows), n), -1), np.full((len(user_rows), n), -np.inf)
        wanted = n + np.diff(rated.start)
        served = np.flatnonzero(wanted <= MOST_SHARE * len(self.table))
        size = 1 << np.ceil(np.log2(wanted[served])).astype(int)
        for k in np.unique(size):
            rows = served[size == k]
            near = self._near(user_rows[rows], int(k))
            first = np.argsort(self._unwanted(near, rows, rated), axis=1, kind="stable")[:, :n]
            near = np.take_along_axis(near, first, 1)
            unwanted = self._unwanted(near, rows, rated)
            exact = np.einsum("bnd,bd->bn", self.table[near], user_rows[rows])
            exact[unwanted], near[unwanted] = -np.inf, -1
            order = np.lexsort((near, -exact))
            best[rows] = np.take_along_axis(near, order, 1)
            scores[rows] = np.take_along_axis(exact, order, 1)
        return best, scores

    def _near(self, user_rows: np.ndarray, k: int) -> np.ndarray:
        """About the k best items of each row, best first, -1 behind them."""
        import faiss

        effort = faiss.SearchParametersHNSW(efSearch=max(self.effort, k))
        near: np.ndarray = self.graph.search(user_rows.astype(np.float32), k, params=effort)[1]
        return near

    def _unwanted(self, near: np.ndarray, rows: np.ndarray, rated: Pairs) -> np.ndarray:
        """Which of these positions hold no item, or a rated one."""
        place, item = rated.of(rows)
        pair = np.arange(len(rows))[:, None] * len(self.table) + near
        return (near < 0) | np.isin(pair, place * len(self.table) + item)

    def is_of(self, item: Side) -> bool:
        """Whether it was made of these items, the last of which is the unknown one.

        By a few of them: no two fits agree in any.
        """
        num_items = item.factor.shape[1] - 1
        if len(self.table) != num_items:
            return False
        some = np.linspace(0, num_items - 1, COMPARED).astype(int)
        return np.array_equal(self.table[some], item_table(item, some).T)


def index_items(model: Model, effort: int = 128) -> ItemIndex:
    """Index a fitted model's items for approximate lists.

    `effort` is how many candidates a search keeps in mind: more find more, and take longer. Compare
    with the exact lists before relying on it: recall depends on the model.
    Raises `InputError` where faiss is not installed, and where the draws were not stored.
    """
    try:
        import faiss
    except ImportError as error:
        raise InputError('approximate lists need faiss: pip install "pmf[ann]"') from error
    if effort < 1:
        raise InputError(f"effort={effort}: at least 1")
    fitted = model.require_fitted()
    columns = item_table(fit_with_draws(fitted).run.draws.item, np.arange(len(fitted.items)))
    table = np.ascontiguousarray(columns.T)
    graph = faiss.IndexHNSWFlat(table.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILD_EFFORT
    graph.add(table.astype(np.float32))
    return ItemIndex(table, graph, effort)
