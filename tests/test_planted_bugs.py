"""Which test catches which mistake: each is planted, and the named tests must reject it.

The table is `CAUGHT_BY`; `docs/correctness.md` prints it. On demand, as `tests/mistakes/` is, which
lists the same mistakes as changes of the text: here what does not see one is stated too.
"""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_als
import test_conditionals
import test_cpu
from exactness import p_values
from test_exactness import FALSE_REJECTION

from pmf import conditionals, gibbs, wishart
from pmf.cpu import xla
from pmf.types import Terms

EVERYTHING = Terms(2, True, True)


def wrong_mean(patch):
    """h forgets tau."""
    true = conditionals.potentials

    def potentials(x, y, prior, weight, tau):
        return true(x, y, prior, weight, tau)[0], true(x, y / tau, prior, weight, tau)[1]

    patch.setattr(conditionals, "potentials", potentials)


def wrong_precision(patch):
    """P forgets tau."""
    true = conditionals.potentials

    def potentials(x, y, prior, weight, tau):
        gram = jnp.einsum("bwk,bwl->bkl", x, x)
        return prior.precision + gram, true(x, y, prior, weight, tau)[1]

    patch.setattr(conditionals, "potentials", potentials)


def prior_mean_dropped(patch):
    """h = tau X^T y."""
    true = conditionals.potentials

    def potentials(x, y, prior, weight, tau):
        no_mean = prior._replace(mean=jnp.zeros_like(prior.mean))
        return true(x, y, no_mean, weight, tau)

    patch.setattr(conditionals, "potentials", potentials)


def ridge_times_count(patch):
    """The prior precision is multiplied by the row's number of ratings."""
    true = conditionals.potentials

    def potentials(x, y, prior, weight, tau):
        count = jnp.sum(jnp.any(x != 0, -1), -1)
        return true(x, y, prior, weight * jnp.maximum(count, 1), tau)

    patch.setattr(conditionals, "potentials", potentials)


def padding_not_masked(patch):
    """Padded cells gather the last real row instead of zeros."""
    true = conditionals.design

    def design(other, mu, num_bias):
        table = true(other, mu, num_bias)
        return table.at[-1].set(table[-2])

    patch.setattr(conditionals, "design", design)


def noise_not_transposed(patch):
    """w = inv(L) (inv(L) h + noise) has the wrong covariance, and the right one for d = 1."""

    def solve_rows(P, h, noise):
        mode = jnp.linalg.solve(P, h[..., None])[..., 0]
        L = jnp.linalg.cholesky(P)
        return mode + jax.scipy.linalg.solve_triangular(L, noise[..., None], lower=True)[..., 0]

    patch.setattr(conditionals, "solve_rows", solve_rows)


def degrees_of_freedom_off_by_one(patch):
    """nu* = nu0 + n - 1."""
    true = wishart.condition

    def condition(hyper, w):
        return true(hyper, w)._replace(dof=hyper.dof + w.shape[0] - 1)

    patch.setattr(wishart, "condition", condition)


def mean_shrinks_too_little(patch):
    """beta* = n: the prior's own strength is forgotten."""
    true = wishart.condition

    def condition(hyper, w):
        return true(hyper, w)._replace(strength=jnp.asarray(float(w.shape[0])))

    patch.setattr(wishart, "condition", condition)


def scatter_about_zero(patch):
    """W* takes the rows' second moment where it needs their scatter about the mean."""
    true = wishart.condition

    def condition(hyper, w):
        return true(hyper, w)._replace(scale_inv=hyper.scale_inv + w.T @ w)

    patch.setattr(wishart, "condition", condition)


def tau_counts_twice(patch):
    """Gamma(a0 + n, b0 + SSE / 2)."""
    true = gibbs.sample_tau
    patch.setattr(gibbs, "sample_tau", lambda key, gamma, error, n: true(key, gamma, error, 2 * n))


def _patch_second_half_sweep(patch, change):
    """`change(first call's arguments, arguments)` gives the second call's arguments."""
    true, calls = gibbs.half_sweep, []

    def half_sweep(noise, gaussian, **named):
        arguments = {"noise": noise, "prior": gaussian, **named}
        calls.append(arguments)
        if len(calls) % 2 == 0:
            arguments = change(calls[-2], arguments)
        return true(**arguments)

    patch.setattr(gibbs, "half_sweep", half_sweep)


def stale_users_in_the_item_draw(patch):
    """Items are drawn given the users of the last sweep."""
    _patch_second_half_sweep(patch, lambda first, now: now | {"other": first["side"]})


def same_noise_on_both_sides(patch):
    """One key is used for the users' and the items' noise."""
    _patch_second_half_sweep(patch, lambda first, now: now | {"noise": first["noise"]})


def _patch_kernel(patch, change):
    """Let `change` alter what the fused kernel is called with."""
    true = xla.update_rows
    names = list(inspect.signature(true).parameters)

    def update_rows(*arguments):
        given = dict(zip(names, arguments, strict=True))
        return true(**given | change(given))

    patch.setattr(xla, "update_rows", update_rows)


def kernel_drops_the_prior_mean(patch):
    """The fused h = tau X^T y."""
    _patch_kernel(patch, lambda given: {"shift": jnp.zeros_like(given["shift"])})


def kernel_drops_the_weight(patch):
    """The fused prior precision is every row's alike."""
    _patch_kernel(patch, lambda given: {"weight": jnp.ones_like(given["weight"])})


def kernel_loses_a_rating(patch):
    """The first rating of the whole is no row's."""

    def change(given):
        start = given["rows"].start
        return {"rows": given["rows"]._replace(start=start.at[0].set(1))}

    _patch_kernel(patch, change)


def kernel_skips_the_last_row(patch):
    """The threads' shares end one row too early."""

    def change(given):
        share = given["rows"].share
        return {"rows": given["rows"]._replace(share=share.at[-1].add(-1))}

    _patch_kernel(patch, change)


def kernel_negates_the_offset(patch):
    """The fused y = r + mu + c."""
    _patch_kernel(patch, lambda given: {"table": given["table"].at[:, -1].multiply(-1)})


def exactness_rejects(fused: bool = False) -> bool:
    p = p_values(seed=1, terms=EVERYTHING, fused=fused)
    return not min(p.values()) >= FALSE_REJECTION / len(p)


def fails(test, *arguments) -> bool:
    try:
        test(*arguments)
    except AssertionError:
        return True
    return False


row_mode = test_conditionals.test_update_without_noise_is_the_conditional_mode
CHECKS = {
    "joint distribution": exactness_rejects,
    "row mode": lambda: fails(row_mode, Terms(3), "user", False, False),
    "row covariance": lambda: fails(
        test_conditionals.test_noise_has_the_conditional_covariance, "user", False
    ),
    "layout": lambda: fails(test_conditionals.test_layout_changes_nothing_but_rounding),
    "ALS monotone": lambda: fails(test_als.test_never_lowers_the_log_posterior, Terms(3), False),
    "ALS fixed point": lambda: fails(test_als.test_gradient_is_zero_at_the_fixed_point, Terms(3)),
}
ROW = {"joint distribution", "row mode"}
CAUGHT_BY = {
    wrong_mean: ROW | {"ALS monotone", "ALS fixed point"},
    wrong_precision: ROW | {"row covariance", "ALS monotone", "ALS fixed point"},
    prior_mean_dropped: ROW | {"ALS fixed point"},
    ridge_times_count: ROW | {"row covariance", "ALS fixed point"},
    padding_not_masked: ROW | {"row covariance", "layout", "ALS monotone", "ALS fixed point"},
    noise_not_transposed: {"joint distribution", "row covariance"},
    degrees_of_freedom_off_by_one: {"joint distribution"},
    mean_shrinks_too_little: {"joint distribution"},
    scatter_about_zero: {"joint distribution"},
    tau_counts_twice: {"joint distribution"},
    stale_users_in_the_item_draw: {"joint distribution"},
    same_noise_on_both_sides: {"joint distribution"},
}


FUSED_CHECKS = {
    "joint distribution": partial(exactness_rejects, fused=True),
    "row mode": lambda: fails(row_mode, Terms(3), "user", False, True),
    "weighted row mode": lambda: fails(row_mode, Terms(3), "user", True, True),
    "fused equals blocks": lambda: fails(test_cpu.test_fused_equals_blocks, 6),
}
FUSED_CAUGHT_BY = {
    kernel_drops_the_prior_mean: set(FUSED_CHECKS),
    kernel_drops_the_weight: {"weighted row mode", "fused equals blocks"},
    kernel_loses_a_rating: set(FUSED_CHECKS),
    kernel_skips_the_last_row: set(FUSED_CHECKS),
    kernel_negates_the_offset: set(FUSED_CHECKS),
}


@pytest.mark.mistakes
@pytest.mark.parametrize(
    ("bug", "checks", "caught_by"),
    [(bug, CHECKS, names) for bug, names in CAUGHT_BY.items()]
    + [(bug, FUSED_CHECKS, names) for bug, names in FUSED_CAUGHT_BY.items()],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_planted_bug_is_caught(bug, checks, caught_by, monkeypatch):
    bug(monkeypatch)
    caught = {name for name, check in checks.items() if check()}
    assert caught == caught_by


@pytest.mark.mistakes
def test_unplanted_code_passes_the_quick_checks():
    """The checks above reject bugs, not the code."""
    assert not [name for name, check in CHECKS.items() if name != "joint distribution" and check()]
    assert np.isfinite(p_values(seed=1, terms=EVERYTHING, replicates=50)["tau"])
