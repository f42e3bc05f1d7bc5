"""What a list is ranked by: scores of items for blocks of users, by the rules of `recommend`.

Scores are counted from mu, which is the same for all.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pmf.errors import InputError
from pmf.estimators.base import Model
from pmf.estimators.frames import fit_with_draws
from pmf.estimators.new_users import Folded
from pmf.fitting.fitted import Fitted
from pmf.model.density import split_row
from pmf.model.predictive import Sums, with_draw
from pmf.process.programs import program, rung
from pmf.recommendation.rules import Rule
from pmf.recommendation.scores import Score, item_table, products, scorer, user_table
from pmf.types import Array, Params, Side

Z = 1.0  # standard deviations of a bound


def rule_scorer(
    model: Model, rule: Rule, items: np.ndarray, seed: int, num_rows: int
) -> Callable[[np.ndarray, np.ndarray], Array]:
    """`score(rows, places) -> (b, m)`: by row numbers, and by where they are among all asked."""
    if rule == "mean":
        mean = _mean_scorer(model.require_fitted(), items)
        return lambda rows, places: mean(rows)
    draws = posterior_draws(model, rule, seed)
    if rule == "thompson":
        chosen = np.random.default_rng(seed).integers(len(draws.mu), size=num_rows)
        return lambda rows, places: _one_draw_each(draws, items, rows, chosen[places])
    bound = _bound_scorer(draws, items, Z if rule == "upper" else -Z)
    return lambda rows, places: bound(rows)


def expected_users(fitted: Fitted, rows: np.ndarray) -> np.ndarray:
    """The `user_table` of users' rows, an unknown user's at the prior mean of each draw.

    A sampler's own draws of that row average to the same, but for noise that would reorder the list
    of somebody of whom nothing is known.
    """
    draws, prior = fit_with_draws(fitted).run.draws, fitted.fit.run.prior.user
    table = user_table(draws.user, rows)
    strangers = rows == len(fitted.users)
    if strangers.any():
        mean = split_row(np.asarray(prior.mean)[:, None], draws.user.factor.shape[-1])
        table[strangers] = user_table(mean, np.zeros(1, int))
    return table


def _mean_scorer(fitted: Fitted, items: np.ndarray) -> Score:
    table = jnp.asarray(item_table(fit_with_draws(fitted).run.draws.item, items))
    return lambda rows: products(expected_users(fitted, rows), table)


def posterior_draws(model: Model, rule: str, seed: int) -> Params:
    """Draws of the users' and items' rows."""
    if isinstance(model, Folded):
        return model.sampled(seed)
    draws = fit_with_draws(model.require_fitted()).run.draws
    if len(draws.mu) < 2:
        raise InputError(
            f"{rule}: it needs draws of the posterior; fit with method='gibbs', or fold users in"
        )
    return draws


def _bound_scorer(draws: Params, items: np.ndarray, z: float) -> Score:
    item: Side = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[:, items]), draws.item)

    def score(rows: np.ndarray) -> Array:
        factor, bias = (np.asarray(x)[:, rows] for x in (draws.user.factor, draws.user.bias))
        return _bound(jnp.asarray(factor), jnp.asarray(bias.sum(-1)), item.factor, item.bias, z)

    return score


@program
def _bound(
    U: Float[Array, "s b k"],
    b: Float[Array, "s b"],
    V: Float[Array, "s m k"],
    c: Float[Array, "s m w"],
    z: float | Float[Array, ""],
) -> Float[Array, "b m"]:
    """Mean + z standard deviations over draws (nothing of size s b m)."""

    def add(carry: Sums, draw: tuple[Array, ...]) -> tuple[Sums, None]:
        U, b, V, c = draw
        score = jnp.matmul(U, V.T, precision="highest") + b[:, None] + c.sum(-1)
        return with_draw(carry, score), None

    zero = jnp.zeros((U.shape[1], V.shape[1]), U.dtype)
    start = jnp.zeros((), U.dtype), zero, zero
    (count, mean, deviation), _ = jax.lax.scan(add, start, (U, b, V, c))
    return mean + z * jnp.sqrt(deviation / (count - 1))


def _one_draw_each(
    draws: Params, items: np.ndarray, rows: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    scores = np.empty((len(rows), len(items)), draws.item.factor.dtype)
    for s in np.unique(chosen):
        some = rows[chosen == s]
        padded = np.resize(some, rung(len(some), 1, 4))
        values = np.asarray(scorer(one_draw(draws, s), items)(padded))
        scores[chosen == s] = values[: len(some)]
    return scores


def one_draw(draws: Params, s: int) -> Params:
    """One of a stack of draws, as a stack."""
    draw: Params = jax.tree.map(lambda x: x[s : s + 1], draws)
    return draw
