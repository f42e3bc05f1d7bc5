"""Approximate lists: a graph of a model's items is searched, in place of scoring them all.

The score of an item is an inner product, the largest of which are the nearest neighbours of

    q = (U, 1, 0)   among   x_i = (V_i, c_i, sqrt(M - |V_i|^2 - c_i^2)),   M the largest square

(Bachrach et al., RecSys 2014, section 3.1), found by walking a hierarchical navigable small world
(Malkov & Yashunin, TPAMI 2020) of the x_i. The scores of what is found are exact; what is missed is
not. Needs the extra `ann`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pmf.answers import Model, stored
from pmf.candidates import abreast
from pmf.data.pairs import Pairs
from pmf.errors import InputError
from pmf.types import Side

LINKS = 32  # of an item to others, a layer
BUILD_EFFORT = 200  # candidates kept in mind while an item is linked
MOST_SHARE = 0.1  # of the items; who wants more, seen ones included, is better served exactly
COMPARED = 16  # items that tell one model from another


@dataclass(frozen=True)
class ItemIndex:
    """A model's items, ready to be searched: `recommend(model, ..., index=index)`.

    Made by `index_items`, for that model's items alone, and for new users folded into it.
    """

    factor: Float[np.ndarray, "items d"]
    bias: Float[np.ndarray, " items"]
    graph: Any  # faiss.IndexHNSWFlat
    effort: int

    def search(
        self, U: Float[np.ndarray, "b d"], b: Float[np.ndarray, " b"], seen: Pairs, n: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """About the n best unseen items of each row, best first, -1 behind them, and their scores.

        Rows that want too much of an approximate search have no item at all.
        """
        import faiss

        best, scores = np.full((len(U), n), -1), np.zeros((len(U), n))
        wanted = n + np.diff(seen.start)
        served = np.flatnonzero(wanted <= MOST_SHARE * len(self.bias))
        query = np.column_stack([U, np.ones(len(U)), np.zeros(len(U))]).astype(np.float32)
        size = 1 << np.ceil(np.log2(wanted[served])).astype(int)
        for k in np.unique(size):
            rows = served[size == k]
            effort = faiss.SearchParametersHNSW(efSearch=max(self.effort, int(k)))
            _, items = self.graph.search(query[rows], int(k), params=effort)
            for row, near in zip(rows, items, strict=True):
                own = seen.item[seen.start[row] : seen.start[row + 1]]
                fresh = near[(near >= 0) & ~np.isin(near, own)][:n]
                exact = self.factor[fresh] @ U[row] + self.bias[fresh] + b[row]
                order = np.lexsort((fresh, -exact))
                best[row, : len(fresh)], scores[row, : len(fresh)] = fresh[order], exact[order]
        return best, scores

    def is_of(self, item: Side) -> bool:
        """Whether it was made of these items, the last of which is the unknown one.

        By a few of them: no two fits agree in any.
        """
        num_items = item.factor.shape[1] - 1
        if len(self.bias) != num_items:
            return False
        some = np.linspace(0, num_items - 1, COMPARED).astype(int)
        pairs = zip((self.factor[some], self.bias[some]), abreast(item, some), strict=True)
        return all(np.array_equal(own, other) for own, other in pairs)


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
    factor, bias = abreast(stored(fitted).draws.item, np.arange(len(fitted.items)))
    square = np.square(factor, dtype=np.float64).sum(1) + np.square(bias, dtype=np.float64)
    slack = np.sqrt(np.maximum(square.max(initial=0) - square, 0))
    table = np.column_stack([factor, bias, slack]).astype(np.float32)
    graph = faiss.IndexHNSWFlat(table.shape[1], LINKS)
    graph.hnsw.efConstruction = BUILD_EFFORT
    graph.add(table)
    return ItemIndex(factor, bias, graph, effort)
