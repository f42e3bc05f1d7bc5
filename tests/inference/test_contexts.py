"""A third side of rows. Catches: the product of the two rows that a third one meets left out, or
counted twice; a column that stands for another pair; noise of one of the two alone; a kernel that
differs from the blocks; an origin of contexts that moves a prediction, or the items without their
prior.
"""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.inference.base import update_side
from pmf.inference.contexts import FEW, OTHERS, about_average, meetings_of
from pmf.inference.layout import by_rows_in_contexts
from pmf.inference.row_features import RATED
from pmf.model.density import joined, log_gaussian, predict, split_row
from pmf.types import Gaussian, Params, Prior, Ratings, Regression, Side, Terms

RNG = np.random.default_rng(5)
SIZE = {"user": 7, "item": 6, "context": 5}  # the last row of each has no rating
PAIR = RNG.permutation(6 * 5)[:22]
ROWS = {
    "user": (PAIR // 5).astype(np.int32),
    "item": (PAIR % 5).astype(np.int32),
    "context": RNG.integers(0, 4, 22).astype(np.int32),
}
VALUE = RNG.normal(3.0, 1.0, 22)
PLACES = ROWS["user"], ROWS["item"], ROWS["context"]
MU = 0.7
TAU = 1.9


def sides(rank: int, has_noise: bool = False) -> Params:
    def side(name: str) -> Side:
        n = SIZE[name]
        own = RNG.uniform(0.5, 2.0, n) if has_noise and name != "context" else None
        parts = RNG.normal(size=(n, rank)), RNG.normal(size=(n, 1)), own
        return Side(*(None if x is None else jnp.asarray(x) for x in parts))

    user, item, context = map(side, SIZE)
    return Params(user, item, jnp.asarray(MU), context)


def gaussian(d: int, draws: tuple[int, ...] = ()) -> Gaussian:
    root = RNG.normal(size=(*draws, d, d))
    precision = root @ np.swapaxes(root, -1, -2) + np.eye(d)
    return Gaussian(*map(jnp.asarray, (RNG.normal(size=(*draws, d)), precision, np.ones(draws))))


def in_contexts(rank: int, fused: bool = False):
    ratings = Ratings(ROWS["user"], ROWS["item"], VALUE)
    shape = SIZE["user"], SIZE["item"], ROWS["context"], SIZE["context"], rank
    return by_rows_in_contexts(ratings, *shape, fused=fused)


@pytest.mark.parametrize(("side", "rank", "fused"), list(product(OTHERS, (0, 3), (False, True))))
def test_a_row_goes_to_its_conditional_mode(side, rank, fused):
    """E[r] is linear in a row: its slopes, by automatic differentiation, are the design."""
    params = sides(rank, has_noise=True)
    prior = Prior(jnp.asarray(TAU), *(gaussian(rank + 1) for _ in SIZE))
    updated, error = update_side(side, params, prior, in_contexts(rank, fused))
    own = params.user.noise_precision[ROWS["user"]] * params.item.noise_precision[ROWS["item"]]
    weight = TAU * np.asarray(own)

    def mean(w):
        rows = split_row(w, rank)
        return predict(params._replace(**{side: rows}), *PLACES)

    zero = jnp.zeros((SIZE[side], rank + 1))
    slopes, offset = np.asarray(jax.jacobian(mean)(zero)), np.asarray(mean(zero))
    row_prior = getattr(prior, side)
    for j in range(SIZE[side]):
        X = slopes[:, j]
        P = row_prior.precision + X.T @ (weight[:, None] * X)
        h = row_prior.precision @ row_prior.mean + X.T @ (weight * (VALUE - offset))
        expected = np.linalg.solve(P, h)
        np.testing.assert_allclose(joined(getattr(updated, side))[j], expected, rtol=1e-9)
    after = predict(updated, *PLACES)
    mine = getattr(params, side).noise_precision
    squares = weight / TAU * (VALUE - np.asarray(after)) ** 2
    total = np.bincount(ROWS[side], squares, SIZE[side])
    np.testing.assert_allclose(error, total if mine is None else total / mine, rtol=1e-9)


@pytest.mark.parametrize("share", [FEW / 2, 1.0])
def test_a_column_stands_for_the_pair_of_its_rating(share):
    n = 200
    row, first = RNG.integers(0, 9, n), RNG.integers(0, 4, n)
    second = np.arange(n) % int(share * n / 4)
    column, (ones, others) = meetings_of(row, first, second, n)
    np.testing.assert_array_equal(ones[column], first)
    np.testing.assert_array_equal(others[column], second)
    is_one_each = share == 1.0
    assert (len(ones) == n) == is_one_each
    if is_one_each:  # read one after the other
        assert np.all(np.diff(row[np.argsort(column)]) >= 0)


def test_an_average_context_is_the_origin():
    draws, rank = 3, 2
    stack = [sides(rank) for _ in range(draws)]
    params = jax.tree.map(lambda *x: np.stack(x), *stack)
    regression = Regression(
        RNG.normal(size=(draws, 4, rank + 1)),
        RNG.normal(size=(draws, rank + 1)),
        np.asarray(gaussian(rank + 1, (draws,)).precision),
        np.asarray(gaussian(rank + 1, (draws,)).precision),
    )
    item = gaussian(rank + 1, (draws,))._replace(regressions={RATED: regression})
    prior = Prior(np.full(draws, TAU), *(gaussian(rank + 1, (draws,)) for _ in range(3)))
    prior = prior._replace(item=item)
    moved, moved_prior = about_average(params, prior)
    assert moved_prior.context is None
    for s in range(draws):
        old, new = (jax.tree.map(lambda x, s=s: x[s], x) for x in (params, moved))
        np.testing.assert_allclose(predict(new, *PLACES), predict(old, *PLACES), rtol=1e-10)
        average = split_row(prior.context.mean[s, None], rank)
        in_average = predict(old._replace(context=average), *PLACES[:2], 0 * PLACES[2])
        np.testing.assert_allclose(predict(new, *PLACES[:2]), in_average, rtol=1e-10)
        # The map has the determinant 1, so densities stay.
        before, after = (jax.tree.map(lambda x, s=s: x[s], x.item) for x in (prior, moved_prior))
        for name in "mean", "features":
            if name == "features":  # of row 1, whose mean the coefficients move
                z = RNG.normal(size=4)
                before, after = (with_row_mean(x, z) for x in (before, after))
            densities = (
                log_gaussian(joined(x.item)[1:2], y._replace(regressions={}))
                for x, y in ((old, before), (new, after))
            )
            np.testing.assert_allclose(*densities, rtol=1e-9)
        of_spread = [np.linalg.slogdet(x.regressions[RATED].spread)[1] for x in (before, after)]
        np.testing.assert_allclose(*of_spread, rtol=1e-9)
        ratio = [
            np.trace(x.regressions[RATED].spread @ x.regressions[RATED].precision)
            for x in (before, after)
        ]
        np.testing.assert_allclose(*ratio, rtol=1e-9)


def with_row_mean(prior: Gaussian, z: np.ndarray) -> Gaussian:
    B, offset, *_ = prior.regressions[RATED]
    return prior._replace(mean=prior.mean + z @ B - offset)


def test_without_contexts_nothing_moves():
    terms = Terms(2)
    params = sides(2)._replace(context=None)
    prior = Prior(jnp.asarray(TAU), gaussian(terms.rank + 1), gaussian(terms.rank + 1))
    assert about_average(params, prior) == (params, prior)
