"""The parts of the model, as tuples. `docs/notation.md` ties each field to the papers.

All are `NamedTuple`s of arrays, hence pytrees: they stack under `vmap`, shard, and serialise
without registration.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np
from jaxtyping import Float, Int

# Fields hold NumPy arrays on the host and JAX arrays on a device; a static checker takes either.
if TYPE_CHECKING:
    Array: TypeAlias = Any
else:
    Array = jax.Array | np.ndarray


class Terms(NamedTuple):
    """Which terms the model has. Static: it fixes array widths and never enters traced code."""

    rank: int  # k, the width of the factors; 0 for biases only
    user_bias: bool = True
    item_bias: bool = True


class Ratings(NamedTuple):
    """Observed ratings as parallel arrays; `user` and `item` are row numbers, not raw ids."""

    user: Int[Array, " n"]
    item: Int[Array, " n"]
    value: Float[Array, " n"]


class Side(NamedTuple):
    """One side's rows: factors `(n, k)` and biases `(n, b)`, where b is 0 or 1.

    An ablation is a width of zero, not a branch. A row's `noise_precision` is that of its ratings,
    in units of tau; None: 1 for all.
    """

    factor: Float[Array, "*s n k"]
    bias: Float[Array, "*s n b"]
    noise_precision: Float[Array, "*s n"] | None = None


class Params(NamedTuple):
    """theta = (U, b, V, c, mu). A stack of draws has the same fields with a leading axis.

    `context` has the rows (D_t, e_t) of the contexts that ratings are given in, such as days; None:
    the model has none.
    """

    user: Side
    item: Side
    mu: Float[Array, "*s"]
    context: Side | None = None


class Regression(NamedTuple):
    """B, by which features z_j of one kind move a row's prior mean: by B^T z_j - offset.

    `offset` is B^T of the rows' mean features, so that the mean is an average row's. A row without
    features has it. Rows of B, one a feature, are N(0, inv(precision)). `spread` is how much the
    features move rows: the covariance of B^T z_j - offset over those that have features.
    """

    coefficients: Float[Array, "*s q d"]
    offset: Float[Array, "*s d"]
    precision: Float[Array, "*s d d"]
    spread: Float[Array, "*s d d"]


class Gaussian(NamedTuple):
    """w_j ~ N(mean, inv(weight_j * precision)) for the rows w_j of one side.

    `mean` is one for all rows, or one per row (the hybrid's, from each item's features). So is
    `weight`: one number, or one per row (the count-weighted prior). With `regressions`, by kind of
    features (`pmf.inference.row_features`), it is the mean of rows without features.
    """

    mean: Float[Array, "*n d"]
    precision: Float[Array, "d d"]
    weight: Float[Array, "*n"]
    regressions: dict[str, Regression] = {}


class Prior(NamedTuple):
    """The rating precision tau and the Gaussian prior of each side's (factor, bias) rows."""

    tau: Float[Array, ""]
    user: Gaussian
    item: Gaussian
    context: Gaussian | None = None


Class = TypeVar("Class", bound=type[Any])


def by_identity(cls: Class) -> Class:
    """A decorator of tuples of frames or arrays, which have no truth value: each equals itself
    alone, and has a hash.
    """
    methods: dict[str, Callable[..., Any]] = {
        "__eq__": lambda self, other: self is other,
        "__ne__": lambda self, other: self is not other,
        "__hash__": lambda self: id(self),
    }
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls
