"""The full conditional of one row, and the half-sweep that ALS, Gibbs and fold-in share.

Given the other side, with x_i = (V_i, 1) and y_ui = r_ui - mu - c_i, row u's conditional is

    w_u ~ N(inv(P) h, inv(P))
    P = Lambda + tau sum_i x_i x_i^T,    h = Lambda m + tau sum_i x_i y_ui

(Salakhutdinov & Mnih, "Bayesian PMF using MCMC", ICML 2008, eq. 11-13). With P = L L^T,

    w = inv(L)^T (inv(L) h + noise)

is its mode for noise = 0 (ALS) and a draw from it for noise ~ N(0, I) (Gibbs). Factor and bias of
a row are updated jointly.
"""

import jax
import jax.numpy as jnp
from jax.lax.linalg import cholesky, triangular_solve
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from pmf.model.density import joined, parted
from pmf.types import CSR, Gaussian, Rows, Sharded, Side


def design(other: Side, mu: Float[Array, ""], num_bias: int) -> Float[Array, "n1 d1"]:
    """The table that a half-sweep gathers: a row (x_i, mu + c_i) for each i, x_i = (V_i, 1).

    `num_bias` is the width of the *updated* side's bias, and so of the constant in x_i. A last row
    of zeros stands for padded cells: there x = 0 and y = 0, so they add nothing to P or h.
    """
    n = other.factor.shape[0]
    ones = jnp.ones((n, num_bias), other.factor.dtype)
    offset = mu + other.bias.sum(-1, keepdims=True)
    return jnp.pad(jnp.concatenate([other.factor, ones, offset], axis=-1), ((0, 1), (0, 0)))


def potentials(
    x: Float[Array, "b w d"],
    y: Float[Array, "b w"],
    prior: Gaussian,
    weight: Float[Array, " b"],
    tau: Float[Array, ""],
) -> tuple[Float[Array, "b d d"], Float[Array, "b d"]]:
    """P = Lambda + tau X^T X and h = Lambda m + tau X^T y of each row in a chunk.

    The prior's mean m is one for all rows, or one a row of the chunk.
    """
    # Full float32: a GPU's default (TF32) keeps 10 bits of the Gram matrix.
    gram = jnp.einsum("bwk,bwl->bkl", x, x, precision="highest")
    moment = jnp.einsum("bwk,bw->bk", x, y, precision="highest")
    P = weight[:, None, None] * prior.precision + tau * gram
    h = weight[:, None] * shift(prior) + tau * moment
    return P, h


def shift(prior: Gaussian) -> Float[Array, "*n d"]:
    """Lambda m: one for all rows, or one a row."""
    return jnp.einsum("de,...e->...d", prior.precision, prior.mean, precision="highest")


def no_noise(prior: Gaussian) -> Float[Array, "1 d"]:
    """The noise of a half-sweep that takes every row to its mode: one row serves all."""
    return jnp.zeros((1, prior.mean.shape[-1]), prior.precision.dtype)


def solve_rows(
    P: Float[Array, "b d d"], h: Float[Array, "b d"], noise: Float[Array, "b d"]
) -> Float[Array, "b d"]:
    """w = inv(L)^T (inv(L) h + noise) of each row, P = L L^T: a draw from N(inv(P) h, inv(P))."""
    L = cholesky(P, symmetrize_input=False)
    # As row vectors, z L^T = h and w L = z + noise: 15 % faster on a CPU than columns.
    z = triangular_solve(L, h[:, None], left_side=False, lower=True, transpose_a=True)
    return triangular_solve(L, z + noise[:, None], left_side=False, lower=True)[:, 0]


def half_sweep(
    noise: Float[Array, "#n d"],
    prior: Gaussian,
    tau: Float[Array, ""],
    mu: Float[Array, ""],
    side: Side,
    other: Side,
    rows: tuple[Rows, ...] | CSR | Sharded,
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """Update every row of `side` given `other`; one row of `noise` serves all.

    Returns the new rows w and each row's squared error at them. The error costs one product with
    the panel already in cache; from it come the log posterior and the draw of tau for nothing.
    Compressed rows go through the fused CPU kernel, which is tested equal to the blocks.
    """
    if isinstance(rows, Sharded):
        return _half_sweep_on_mesh(noise, prior, tau, mu, side, other, rows)
    n, d = side.factor.shape[0], noise.shape[-1]
    table = design(other, mu, side.bias.shape[-1])
    weight = jnp.broadcast_to(prior.weight, (n,))
    if isinstance(rows, CSR):
        from pmf.inference.fused.xla_call import update_rows  # loads numba, an optional dependency

        return update_rows(rows, table, prior.precision, shift(prior), weight, noise, tau)
    noise = jnp.broadcast_to(noise, (n, d))

    def update_chunk(carry, chunk: Rows):
        w, error = carry
        panel = table.at[chunk.col].get(mode="promise_in_bounds")
        x, y = panel[..., :d], chunk.value - panel[..., d]
        row = jnp.minimum(chunk.row, n - 1)  # a padding row computes something and is dropped
        own = prior if prior.mean.ndim == 1 else prior._replace(mean=prior.mean[row])
        P, h = potentials(x, y, own, weight[row], tau)
        new = solve_rows(P, h, noise[row])
        residual = y - jnp.einsum("bwk,bk->bw", x, new, precision="highest")
        w = w.at[chunk.row].set(new, mode="drop")
        error = error.at[chunk.row].set(jnp.sum(residual**2, -1), mode="drop")
        return (w, error), None

    carry = joined(side), jnp.zeros(n, noise.dtype)
    for block in rows:
        carry, _ = jax.lax.scan(update_chunk, carry, block)
    return carry


def _half_sweep_on_mesh(noise, prior: Gaussian, tau, mu, side: Side, other: Side, sharded: Sharded):
    """`half_sweep` of each device's own rows.

    All that travels is one all-gather of the other side's rows.
    """
    mesh, (n, rank) = sharded.mesh, side.factor.shape
    (axis,) = mesh.axis_names

    def own_rows(noise, mean, weight, w, other, precision, tau, mu, blocks):
        everyones = jax.lax.all_gather(other, axis, tiled=True)
        prior, sides = Gaussian(mean, precision, weight), (parted(w, rank), parted(everyones, rank))
        return half_sweep(noise, prior, tau, mu, *sides, blocks)

    def filled(x, value=0.0):  # up to equal shares; the added rows are cut off again below
        fill = [(0, -len(x) % mesh.size)] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, fill, constant_values=value)

    rows, whole = PartitionSpec(axis), PartitionSpec()
    mean_spec = whole if prior.mean.ndim == 1 else rows
    specs = rows, mean_spec, rows, rows, rows, whole, whole, whole, rows
    # half_sweep does not annotate which of its values differ between devices: no check of it.
    mapped = jax.shard_map(own_rows, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False)
    weight = filled(jnp.broadcast_to(prior.weight, (n,)), 1.0)
    noise = jnp.broadcast_to(noise, (n, noise.shape[-1]))
    mean = prior.mean if prior.mean.ndim == 1 else filled(prior.mean)
    tables = filled(noise), mean, weight, filled(joined(side)), filled(joined(other))
    w, error = mapped(*tables, prior.precision, tau, mu, sharded.blocks)
    return w[:n], error[:n]
