"""The joint-distribution test of a Gibbs sweep.

Geweke, "Getting it right" (JASA 2004), in the exact form of Gandy & Scott, "Unit testing for MCMC
and other Monte Carlo methods" (2021): start many independent replicates from the joint distribution
p(hyperparameters, rows, tau, ratings), move each by a few rounds of (sweep; draw new ratings), and
the joint distribution must still be the same. All draws are independent, so a two-sample test on
any function applies as it stands. The starting draws come from NumPy and SciPy, not from `pmf`.

Functions are those that a rotation of the factors leaves alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from pmf.inference import gibbs
from pmf.inference.blocks import Blocks
from pmf.inference.fused.layout import CSR
from pmf.inference.layout import by_rows, by_rows_in_contexts
from pmf.inference.row_features import (
    GIVEN,
    RATED,
    Features,
    RowFeatures,
    rated_features,
    row_features,
)
from pmf.model.density import joined, log_likelihood, predict, simulate, split_row
from pmf.model.hyperpriors import Gamma, NormalWishart, RowNoise
from pmf.model.likelihood import GaussianLikelihood
from pmf.types import Gaussian, Params, Prior, Ratings, Regression, Side, Terms

SIZE = 5  # users, and items; the last of each has no rating
USER = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3], np.int32)
ITEM = np.array([0, 1, 3, 1, 2, 3, 0, 2, 0, 1, 2, 3], np.int32)
CONTEXT = np.array([0, 0, 1, 2, 0, 1, 3, 3, 1, 2, 2, 0], np.int32)
PAIRS = jnp.asarray(USER), jnp.asarray(ITEM)
UNRATED = jnp.array([SIZE - 1])
MU = 0.5
SHAPES = RowNoise(jnp.array([2.5, 5.0, 10.0, 20.0]))  # fat tails would drown other differences
REPLICATES = 20_000
ROUNDS = 4


class Joint(NamedTuple):
    """Everything random in the model, with a leading axis of replicates."""

    params: Params
    prior: Prior
    rating: jax.Array
    added: dict[str, jax.Array] = {}  # by side, to rows whose features are not known


def features(kinds: tuple[str, ...]) -> Features:
    """Of both sides: what their rows rated, and two numbers of each rated row, or less."""
    Z = np.random.default_rng(7).normal(size=(2, SIZE, 2))
    is_rated = np.arange(SIZE) < SIZE - 1
    sides = [
        {RATED: rated_features(*pair, SIZE, SIZE), GIVEN: row_features(z, is_rated, "given")}
        for pair, z in zip(((USER, ITEM), (ITEM, USER)), Z, strict=True)
    ]
    return Features(*({kind: side[kind] for kind in kinds} for side in sides))


def hyperprior(
    terms: Terms, is_joint: bool, noise: str = "shared", in_contexts: bool = False
) -> gibbs.Hyperprior:
    """Informative on purpose: with few rows a vague one has no moments to compare."""

    def normal_wishart(d: int, shift: float) -> NormalWishart:
        scale_inv = 4.0 * np.eye(d) + 0.8 * np.ones((d, d))
        mean = shift + 0.2 * np.arange(d)
        return NormalWishart(
            jnp.asarray(mean), jnp.asarray(3.0), jnp.asarray(scale_inv), jnp.asarray(d + 5.0)
        )

    def side(has_bias: bool, shift: float) -> tuple[NormalWishart, ...]:
        if is_joint:
            return (normal_wishart(terms.rank + has_bias, shift),)
        return normal_wishart(terms.rank, shift), normal_wishart(int(has_bias), shift + 0.3)

    likelihood = GaussianLikelihood(Gamma(jnp.asarray(4.0), jnp.asarray(2.0)))
    sides = side(terms.user_bias, 0.4), side(terms.item_bias, -0.3)
    own = [SHAPES if noise in (name, "both") else None for name in ("user", "item")]
    return gibbs.Hyperprior(*sides, likelihood, *own, side(True, 0.2) if in_contexts else ())


def _draw_side(rng, hypers, rank: int, replicates: int, of_rows: dict[str, RowFeatures]):
    w, gaussian = _draw_rows(rng, hypers, replicates, SIZE)
    still = [hyper._replace(mean=0 * hyper.mean, strength=jnp.inf) for hyper in hypers]
    regressions, added = {}, np.zeros_like(w)
    for kind, table in of_rows.items():
        B, own = _draw_rows(rng, still, replicates, len(table.centre))
        known, shift = np.asarray(table.known), np.asarray(table.Z) @ B
        spread = np.swapaxes(shift, 1, 2) @ shift / known.sum()
        offset = np.asarray(table.centre) @ B
        regressions[kind] = Regression(B, offset, own.precision, spread)
        w = w + shift
        values, vectors = np.linalg.eigh(spread)
        root = vectors * np.sqrt(np.maximum(values, 0))[:, None]
        unknown = np.einsum("rij,rnj->rni", root, rng.normal(size=w.shape))
        unrated = np.arange(SIZE) == SIZE - 1
        added = added + np.where((unrated & ~known)[:, None], unknown, 0)
    w = w + added
    gaussian = gaussian._replace(regressions=regressions)
    return split_row(jnp.asarray(w), rank), jax.tree.map(jnp.asarray, gaussian), jnp.asarray(added)


def _draw_rows(rng, hypers, replicates: int, number: int):
    means, precisions, rows = [], [], []
    for hyper in hypers:
        m0, beta, scale_inv, dof = (np.asarray(x) for x in hyper)
        d = len(m0)
        if d == 0:
            continue
        Lambda = scipy.stats.wishart.rvs(
            float(dof), np.linalg.inv(scale_inv), replicates, random_state=rng
        ).reshape(replicates, d, d)
        root = np.linalg.cholesky(np.linalg.inv(Lambda))
        m = m0 + np.einsum("rij,rj->ri", root, rng.normal(size=(replicates, d))) / np.sqrt(beta)
        epsilon = rng.normal(size=(replicates, number, d))
        rows.append(m[:, None] + np.einsum("rij,rnj->rni", root, epsilon))
        means.append(m)
        precisions.append(Lambda)
    total = sum(m.shape[1] for m in means)
    precision, at = np.zeros((replicates, total, total)), 0
    for Lambda in precisions:
        d = Lambda.shape[1]
        precision[:, at : at + d, at : at + d] = Lambda
        at += d
    empty = np.zeros((replicates, 0))
    w = np.concatenate(rows, -1) if rows else np.zeros((replicates, number, 0))
    gaussian = Gaussian(np.concatenate([empty, *means], -1), precision, np.ones(replicates))
    return w, gaussian


def _draw_noise(rng, noise: RowNoise, replicates: int) -> np.ndarray:
    s = rng.choice(np.asarray(noise.shapes), (replicates, 1))
    return rng.gamma(np.repeat(s, SIZE, 1)) / s


def _with(side: Side, precision: np.ndarray) -> Side:
    return side._replace(noise_precision=jnp.asarray(precision))


def draw_joint(
    seed: int,
    terms: Terms,
    hyper: gibbs.Hyperprior,
    replicates: int,
    of_rows: Features,
) -> Joint:
    """Independent draws from the joint distribution, by NumPy and SciPy alone."""
    rng = np.random.default_rng(seed)
    user, user_prior, user_added = _draw_side(rng, hyper.user, terms.rank, replicates, of_rows.user)
    item, item_prior, item_added = _draw_side(rng, hyper.item, terms.rank, replicates, of_rows.item)
    added = {"user": user_added, "item": item_added} if any(of_rows) else {}
    context, context_prior = None, None
    if hyper.context:
        context, context_prior, _ = _draw_side(rng, hyper.context, terms.rank, replicates, {})
    gamma = hyper.likelihood.tau
    tau = rng.gamma(float(gamma.shape), 1 / float(gamma.rate), replicates)
    U, b, V, c = (np.asarray(x) for x in (user.factor, user.bias, item.factor, item.bias))
    mean = MU + b[:, USER].sum(-1) + c[:, ITEM].sum(-1) + (U[:, USER] * V[:, ITEM]).sum(-1)
    if context is not None:
        D, e = np.asarray(context.factor), np.asarray(context.bias)
        met = D[:, CONTEXT] * (U[:, USER] + V[:, ITEM])
        mean = mean + e[:, CONTEXT].sum(-1) + met.sum(-1)
    precision = np.repeat(tau[:, None], len(USER), 1)
    if hyper.user_noise is not None:
        alpha = _draw_noise(rng, hyper.user_noise, replicates)
        user, precision = _with(user, alpha), precision * alpha[:, USER]
    if hyper.item_noise is not None:
        beta = _draw_noise(rng, hyper.item_noise, replicates)
        item, precision = _with(item, beta), precision * beta[:, ITEM]
    rating = mean + rng.normal(size=mean.shape) / np.sqrt(precision)
    params = Params(user, item, jnp.full(replicates, MU), context)
    prior = Prior(jnp.asarray(tau), user_prior, item_prior, context_prior)
    return Joint(params, prior, jnp.asarray(rating), added)


def _refilled(rows: Blocks | CSR, rating) -> Blocks | CSR:
    """Rows whose cells hold 1.25 + a rating's position, filled with that rating."""
    padded = jnp.concatenate([jnp.zeros(1), rating])
    if isinstance(rows, CSR):
        return rows._replace(value=padded[rows.value.astype(int)])
    filled = (block._replace(value=padded[block.value.astype(int)]) for block in rows.blocks)
    return Blocks(tuple(filled))


def move(
    seed: int,
    joint: Joint,
    hyper: gibbs.Hyperprior,
    of_rows: Features,
    rounds: int = ROUNDS,
    fused: bool = False,
) -> Joint:
    """Each replicate after `rounds` of (sweep; new ratings)."""
    position = np.arange(1.0, len(USER) + 1) + 0.25  # no half steps: values stay floats
    ratings = Ratings(USER, ITEM, position)
    in_contexts = joint.params.context is not None
    if in_contexts:
        shape = SIZE, SIZE, CONTEXT, SIZE
        template = by_rows_in_contexts(ratings, *shape, rank=2, fused=fused)
    else:
        template = by_rows(ratings, SIZE, SIZE, rank=2, growth=1.3, fused=fused)
    step = gibbs.gibbs(hyper, Terms(0), MU, 1.0).step

    def one_round(key, joint: Joint) -> Joint:
        key_sweep, key_data = jax.random.split(key)
        by_user, by_item = (
            _refilled(x, joint.rating) for x in (template.by_user, template.by_item)
        )
        data = template._replace(by_user=by_user, by_item=by_item, features=of_rows)
        if in_contexts:
            rows = _refilled(data.contexts.rows, joint.rating)
            data = data._replace(contexts=data.contexts._replace(rows=rows))
        state, _ = step(key_sweep, gibbs.State(joint.params, joint.prior, joint.added), data)
        context = CONTEXT if in_contexts else None
        tau = state.prior.tau
        rating = simulate(key_data, state.params, *PAIRS, tau, context=context)
        return Joint(state.params, state.prior, rating, state.added)

    @jax.jit
    def all_replicates(keys, joint):
        return jax.vmap(one_round)(keys, joint)

    for key in jax.random.split(jax.random.key(seed), rounds):
        joint = all_replicates(jax.random.split(key, len(joint.rating)), joint)
    return joint


def functions(joint: Joint) -> dict[str, np.ndarray]:
    """Numbers that a rotation of the factors leaves alone, one a replicate."""

    def one(params: Params, prior: Prior, rating):
        in_contexts = params.context is not None
        mean = predict(params, *PAIRS, CONTEXT if in_contexts else None)
        out = {
            "tau": prior.tau,
            "rating": rating[0],
            "rating^2": jnp.mean(rating**2),
            "residual^2 tau": prior.tau * jnp.mean((rating - mean) ** 2),
            "prediction": mean[0],
            "prediction without a rating": predict(
                params, UNRATED, UNRATED, UNRATED if in_contexts else None
            )[0],
        }
        sides = [("user", params.user, prior.user), ("item", params.item, prior.item)]
        if in_contexts:
            sides.append(("context", params.context, prior.context))
        else:
            out["log density"] = log_likelihood(params, Ratings(*PAIRS, rating), prior.tau)
        for name, side, gaussian in sides:
            w, rank = joined(side), side.factor.shape[-1]
            if side.noise_precision is not None:
                log = jnp.log(side.noise_precision)
                out[f"{name} noise"], out[f"{name} unrated noise"] = log[0], log[-1]
                out[f"{name} noise, mean"], out[f"{name} noise, spread"] = log.mean(), log.std()
            if w.shape[-1]:
                out |= {
                    f"{name} log|Lambda|": jnp.linalg.slogdet(gaussian.precision)[1],
                    f"{name} |rows|^2": jnp.sum(w**2),
                    f"{name} |m|^2": jnp.sum(gaussian.mean**2),
                    f"{name} (w-m)Lambda(w-m)": jnp.einsum(
                        "nd,de,ne->", w - gaussian.mean, gaussian.precision, w - gaussian.mean
                    ),
                }
            if rank:
                out[f"{name} |m_factor|^2"] = jnp.sum(gaussian.mean[:rank] ** 2)
                out[f"{name} unrated |factor|^2"] = jnp.sum(side.factor[-1] ** 2)
            if side.bias.shape[-1]:
                out[f"{name} bias"] = side.bias[0, 0]
                out[f"{name} bias precision"] = gaussian.precision[-1, -1]
            for kind, (B, offset, precision, spread) in gaussian.regressions.items():
                of = f"{name} {kind}"
                out[f"{of} log|Lambda_B|"] = jnp.linalg.slogdet(precision)[1]
                out[f"{of} B Lambda_B B"] = jnp.einsum("qd,de,qe->", B, precision, B)
                out[f"{of} |B|^2"], out[f"{of} |offset|^2"] = jnp.sum(B**2), jnp.sum(offset**2)
                out[f"{of} B of the bias"], out[f"{of} spread"] = B[0, -1], jnp.trace(spread)
        if params.user.factor.shape[-1]:
            gram = params.user.factor.T @ params.user.factor
            out["tr(U'U V'V)"] = jnp.trace(gram @ params.item.factor.T @ params.item.factor)
            if in_contexts:
                of_contexts = params.context.factor.T @ params.context.factor
                out["tr(U'U D'D)"] = jnp.trace(gram @ of_contexts)
        return out

    values = jax.jit(jax.vmap(one))(*joint[:3])
    return {name: np.asarray(value) for name, value in values.items()}


def p_values(
    seed: int,
    terms: Terms,
    is_joint: bool = False,
    replicates: int = REPLICATES,
    fused: bool = False,
    noise: str = "shared",
    kinds: tuple[str, ...] = (),
    in_contexts: bool = False,
) -> dict[str, float]:
    """A Kolmogorov-Smirnov p-value for each function: moved replicates against fresh draws."""
    hyper = hyperprior(terms, is_joint, noise, in_contexts)
    of_rows = features(kinds)
    start = draw_joint(seed, terms, hyper, replicates, of_rows)
    moved = functions(move(seed, start, hyper, of_rows, fused=fused))
    fresh = functions(draw_joint(seed + 1, terms, hyper, replicates, of_rows))
    return {name: float(scipy.stats.ks_2samp(moved[name], fresh[name]).pvalue) for name in fresh}
