"""The interface of every algorithm: a pair of functions, the state between them, its start."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from pmf.inference.layout import NO_ROWS, Data
from pmf.inference.row_update import half_sweep, zero_epsilon
from pmf.model.density import joined, row_epsilon, split_row, with_rows
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.process.programs import FEW, program
from pmf.types import Gaussian, Params, Prior, Side, Terms


class State(NamedTuple):
    """What most algorithms carry from step to step; others add fields."""

    params: Params
    prior: Prior


class Info(NamedTuple):
    log_posterior: Float[Array, ""]


@runtime_checkable
class AnyState(Protocol):
    """What every algorithm's state has."""

    @property
    def params(self) -> Params: ...

    @property
    def prior(self) -> Prior: ...


@runtime_checkable
class AnyInfo(Protocol):
    """What every step tells."""

    @property
    def log_posterior(self) -> Float[Array, "*chains"]: ...


@runtime_checkable
class Init(Protocol):
    def __call__(self, key: Key[Array, ""], data: Data) -> AnyState:
        """The state to begin from."""


@runtime_checkable
class Step(Protocol):
    def __call__(self, key: Key[Array, ""], state: Any, data: Data) -> tuple[AnyState, AnyInfo]:
        """The next state, after one that this algorithm gave."""


class Algorithm(NamedTuple):
    """An inference algorithm as a pair of pure functions.

    `step` is a `jax.tree_util.Partial`, so its priors are traced: another prior costs no
    recompilation.

    A step that loops on the host, as over ratings on disk, is not traced as a whole. It has the
    face of a jitted function: `step.lower(key, state, data)` gives what can be compiled
    (`compile()`) and told from other programs (`as_text()`) beforehand.
    """

    init: Init
    step: Step
    likelihood: Likelihood = GAUSSIAN


class HostForm(NamedTuple):
    """How an algorithm's state comes to the host, and back.

    On the host it is NumPy arrays, rows in their original order without padding, the same in every
    process and for any number of devices.
    """

    to_host: Callable[[AnyState], AnyState]
    from_host: Callable[[AnyState], AnyState]


class Sides(NamedTuple):
    """Both sides' rows, without mu: what a gradient method moves."""

    user: Side
    item: Side


class RowAxis(NamedTuple):
    """Along which axis an array has the rows of which side."""

    side: str  # "user" or "item"
    axis: int  # counted from the last, so that stacked chains change nothing


# Of the fields of a `Side` and of a `Gaussian`, where they have one per row.
ROW_AXES = {"factor": -2, "bias": -2, "noise_precision": -1, "mean": -2, "weight": -1}


def row_axes(state: Any, num_rows: dict[str, int]) -> list[RowAxis | None]:
    """For each array of one chain's state, in order, where its rows are; None where it has none.

    Rows are declared by type: `Params`, `Prior` and `Sides` have those of users and of items. So an
    optimizer's state has them in whatever it keeps for each of the `Sides` that it was given.
    """
    parts = jax.tree.leaves(state, is_leaf=_has_sides)
    return [axis for part in parts for axis in _axes_of(part, num_rows)]


def _has_sides(part: Any) -> bool:
    return isinstance(part, (Params, Prior, Sides))


def _axes_of(part: Any, num_rows: dict[str, int]) -> Iterator[RowAxis | None]:
    fields = part._asdict() if _has_sides(part) else {"": part}
    for side, rows in fields.items():
        named = rows._asdict() if isinstance(rows, (Side, Gaussian)) else {"": rows}
        for name, arrays in named.items():
            for array in jax.tree.leaves(arrays):
                axis = ROW_AXES.get(name, 0)
                length = array.shape[axis] if 0 < -axis <= len(array.shape) else -1
                yield RowAxis(side, axis) if length == num_rows.get(side) else None


def unit_prior(terms: Terms, tau: float, dtype: DTypeLike) -> Prior:
    """N(0, I) rows: where a prior that is learnt begins."""

    def side(has_bias: bool) -> Gaussian:
        d = terms.rank + has_bias
        return Gaussian(jnp.zeros(d, dtype), jnp.eye(d, dtype=dtype), jnp.ones((), dtype))

    return Prior(jnp.asarray(tau, dtype), side(terms.user_bias), side(terms.item_bias))


def update_side(
    side: str,
    params: Params,
    prior: Prior,
    data: Data,
    epsilon: Float[Array, "#n d"] | None = None,
) -> tuple[Params, Float[Array, " n"]]:
    """`params` with the rows of one side, "user", "item" or "context", updated given the others'.

    Without `epsilon` each row goes to its mode. Also returns each row's squared error.
    """
    mine, other, rows = getattr(params, side), data.facing(side, params), data.of(side).rows
    gaussian = getattr(prior, side)
    epsilon = zero_epsilon(gaussian) if epsilon is None else epsilon
    w, error = half_sweep(epsilon, gaussian, prior.tau, params.mu, mine, other, rows)
    return params._replace(**{side: with_rows(mine, w)}), error


def initial_params(
    key: Key[Array, ""], prior: Prior, terms: Terms, mu: float, data: Data, scale: float
) -> Params:
    """Where inference begins: factors N(0, scale^2), biases 0; unrated rows at the prior mean.

    A row without ratings starts at its mode, so a gradient method leaves it there.
    """
    rows = data._replace(ratings=None, by_user=NO_ROWS, by_item=NO_ROWS)
    return _initial_params(key, prior, terms, mu, rows, scale)


def _initial(
    key: Key[Array, ""],
    prior: Prior,
    terms: Terms,
    mu: float | Float[Array, ""],
    data: Data,
    scale: float | Float[Array, ""],
) -> Params:
    key_user, key_item = jax.random.split(key)

    dtype = prior.tau.dtype

    def side(
        key: Key[Array, ""],
        gaussian: Gaussian,
        bias: bool,
        count: Int[Array, " n"],
        row: Int[Array, " n"] | None,
    ) -> Side:
        n = count.shape[0]
        epsilon = row_epsilon(key, row, (n, terms.rank), dtype)
        # As a value of its own, or `scale` would be multiplied into its constants and round anew.
        factor = scale * jax.lax.optimization_barrier(epsilon)
        w = joined(Side(factor, jnp.zeros((n, int(bias)), dtype)))
        return split_row(jnp.where(count[:, None] > 0, w, gaussian.mean), terms.rank)

    return Params(
        side(key_user, prior.user, terms.user_bias, data.user_count, data.user_row),
        side(key_item, prior.item, terms.item_bias, data.item_count, data.item_row),
        jnp.asarray(mu, dtype),
    )


_initial_params = program(_initial, FEW, static_argnames="terms")
