"""How much of the truth a fit recovers, part by part, where the ratings are generated.

Users' effects, items' effects and interactions do not depend on what a model calls a bias or a
factor: with U and V about their means over rated rows,

    user's effect   b_u + (U_u - U) . V
    item's effect   c_i + U . (V_i - V)
    interaction     (U_u - U) . (V_i - V)

so factors without biases are asked for the same parts as biases without factors.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from pmf.data.encoding import blocks
from pmf.fitting.fitted import Fitted
from pmf.types import Params, Side


class Effects(NamedTuple):
    """The parts of each pair's mean, about the means over all rows."""

    user: Float[np.ndarray, " n"]
    item: Float[np.ndarray, " n"]
    interaction: Float[np.ndarray, " n"]


def recovered(fitted: Fitted, truth: Params, test: pd.DataFrame) -> dict[str, float]:
    """The share of each part's variance over the test pairs that the posterior mean recovers:
    1 - var(estimate - truth) / var(truth). Pairs of an unknown user or item are left out.
    """
    user, item = fitted.users.codes(test["user_id"]), fitted.items.codes(test["item_id"])
    known = (user < len(fitted.users)) & (item < len(fitted.items))
    draws = fitted.fit.run.draws
    one_at_a_time = (
        Params(*(_rated(side, s) for side in draws[:2]), draws.mu[s]) for s in range(len(draws.mu))
    )
    total = sum(np.stack(effects(params, user[known], item[known])) for params in one_at_a_time)
    ids = (test[name].to_numpy()[known] - 1 for name in ("user_id", "item_id"))
    actual = np.stack(effects(truth, *ids))
    missed = np.var(total / len(draws.mu) - actual, axis=1) / np.var(actual, axis=1)
    shares = zip(Effects._fields, 1 - missed, strict=True)
    return {f"recovered_{part}": float(share) for part, share in shares}


def _rated(side: Side, s: int) -> Side:
    """One draw of a side, without its unknown row."""
    return Side(side.factor[s, :-1], side.bias[s, :-1])


def effects(params: Params, user: np.ndarray, item: np.ndarray) -> Effects:
    """The parts of pairs; `params` are those of one draw, of rated rows alone."""
    (U, b), (V, c) = (
        tuple(np.asarray(x, np.float64) for x in (side.factor, side.bias)) for side in params[:2]
    )
    mean_user, mean_item = U.mean(0), V.mean(0)
    of_user = b.sum(1) + (U - mean_user) @ mean_item
    of_item = c.sum(1) + (V - mean_item) @ mean_user
    interaction = np.empty(len(user))
    for rows in blocks(len(user)):
        pair = U[user[rows]] - mean_user, V[item[rows]] - mean_item
        interaction[rows] = np.einsum("nk,nk->n", *pair)
    return Effects(of_user[user], of_item[item], interaction)
