"""Contexts that ratings are given in, such as days: a third side of rows beside users and items.

The three rows of a rating meet pairwise,

    E[r_uit | theta] = mu + b_u + c_i + e_t + U_u . V_i + U_u . D_t + V_i . D_t

so to each of them the other two are one row of factors V_i + D_t and bias c_i + e_t + V_i . D_t
(Rendle, "Factorization machines", ICDM 2010: the model is linear in each parameter). A side's
columns then stand for pairs of the other two's rows, and its update is the one without contexts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pmf.inference.row_update import Layout
from pmf.model.density import met, rows_at
from pmf.types import Array, Gaussian, Params, Prior, Regression, Side

FEW = 0.5  # distinct meetings a rating: more are read faster one after the other
OTHERS = {"user": ("item", "context"), "item": ("user", "context"), "context": ("user", "item")}


class Meetings(NamedTuple):
    """What the columns of a side stand for: rows of the other two that meet in some rating."""

    first: Int[Array, " m"]
    second: Int[Array, " m"]


class Contexts(NamedTuple):
    """The contexts' own ratings by rows, how many each has, and the columns of every side."""

    rows: Layout
    count: Int[Array, " contexts"]
    user: Meetings
    item: Meetings
    context: Meetings

    def facing(self, side: str, params: Params) -> Side:
        """The rows that a side's columns stand for."""
        meetings: Meetings = getattr(self, side)
        first, second = (getattr(params, name) for name in OTHERS[side])
        return met(rows_at(first, meetings.first), rows_at(second, meetings.second))


def meetings_of(
    row: Int[np.ndarray, " n"],
    first: Int[np.ndarray, " n"],
    second: Int[np.ndarray, " n"],
    num_second: int,
) -> tuple[Int[np.ndarray, " n"], Meetings]:
    """The column of each rating of a side's rows, and what each column stands for."""
    pair = first.astype(np.int64) * num_second + second
    distinct, column = np.unique(pair, return_inverse=True)
    if len(distinct) > FEW * len(pair):  # a column for each rating, as rows ask for them
        order = np.argsort(row, kind="stable")
        distinct, column = pair[order], np.empty_like(order)
        column[order] = np.arange(len(order))
    pairs = (x.astype(np.int32) for x in np.divmod(distinct, num_second))
    return column.astype(np.int32), Meetings(*pairs)


def about_average(params: Params, prior: Prior) -> tuple[Params, Prior]:
    """The same model with an average context as the origin: the mean (D_0, e_0) of their prior.

    Stacks of draws, NumPy. With V'_i = V_i + D_0, c'_i = c_i + e_0 + V_i . D_0, D'_t = D_t - D_0
    and e'_t = e_t - e_0 - D_0 . D'_t every rating has the mean that it had; users and items alone
    are the model in an average context. The items' prior moves with them; that of the contexts has
    served.
    """
    if params.context is None or prior.context is None:
        return params, prior
    V, c = np.asarray(params.item.factor), np.asarray(params.item.bias)
    average = np.asarray(prior.context.mean)[:, None]
    D0, e0 = average[..., : V.shape[-1]], average[..., V.shape[-1] :]
    item = params.item._replace(factor=V + D0, bias=c + e0 + np.sum(V * D0, -1, keepdims=True))
    away = np.asarray(params.context.factor) - D0
    bias = np.asarray(params.context.bias) - e0 - np.sum(away * D0, -1, keepdims=True)
    moved = _moved(prior.item, D0[:, 0], e0[:, 0])
    params = params._replace(item=item, context=Side(away, bias))
    return params, prior._replace(item=moved, context=None)


def _moved(
    gaussian: Gaussian, D0: Float[np.ndarray, "s k"], e0: Float[np.ndarray, "s 1"]
) -> Gaussian:
    """Of w = (V, c) that of A w + (D_0, e_0), where A adds V . D_0 to c."""
    s, k = D0.shape
    A = np.tile(np.eye(k + 1, dtype=D0.dtype), (s, 1, 1))
    A[:, k, :k] = D0
    inverse = A.copy()
    inverse[:, k, :k] = -D0

    def vector(x: Array) -> np.ndarray:
        return np.asarray(np.einsum("sde,s...e->s...d", A, np.asarray(x)))

    def covariance(x: Array) -> np.ndarray:
        return np.asarray(A @ np.asarray(x) @ np.swapaxes(A, 1, 2))

    def precision(x: Array) -> np.ndarray:
        return np.asarray(np.swapaxes(inverse, 1, 2) @ np.asarray(x) @ inverse)

    regressions = {
        kind: Regression(vector(B), vector(offset), precision(own), covariance(spread))
        for kind, (B, offset, own, spread) in gaussian.regressions.items()
    }
    return Gaussian(
        vector(gaussian.mean) + np.concatenate([D0, e0], -1),
        precision(gaussian.precision),
        gaussian.weight,
        regressions,
    )
