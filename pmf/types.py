"""The tuples that travel between rooms. `docs/notation.md` ties each field to the papers.

All are `NamedTuple`s of arrays, hence pytrees: they stack under `vmap`, shard, and serialise
without registration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int, UInt8

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


class Rows(NamedTuple):
    """Rows of like degree, padded to one width `w` and cut into `c` chunks of `b` rows.

    A padded cell's `col` is the number of columns, where the gathered table holds an all-zero
    row, so no mask travels. A padding row's `row` is the number of rows; writes to it are dropped.
    """

    row: Int[Array, "c b"]
    col: Int[Array, "c b w"]
    value: Float[Array, "c b w"]


class CSR(NamedTuple):
    """Compressed sparse rows: row j has the cells start[j] to start[j + 1], in any order.

    A cell with `col` the number of columns is padding, as in `Rows`. Values of type uint8 stand for
    `levels`, as few ratings as stars are: value 7 is levels[7]. `share` cuts the rows into runs of
    about equal work, share[k] to share[k + 1], which threads take in turn.
    """

    start: Int[Array, " n1"]
    col: Int[Array, " m"]
    value: Float[Array, " m"] | UInt8[Array, " m"]
    share: Int[Array, " s1"]
    levels: Float[Array, " l"]


@partial(jax.tree_util.register_dataclass, data_fields=["blocks"], meta_fields=["mesh"])
@dataclass(frozen=True)
class Sharded:
    """One side's ratings, each row's on the device of `mesh` that owns the row.

    Every array is cut into equal parts along its first axis; a part is the layout of its device's
    own rows, counted from that device's first, while columns are counted over all devices.
    """

    blocks: tuple[Rows, ...]
    mesh: Mesh


class Data(NamedTuple):
    """The ratings in the order that an algorithm works in, and how many each row has.

    ALS and Gibbs work by rows, `by_user` and `by_item`, and need no flat `ratings`; a gradient
    method is the reverse. Rows are padded blocks, or compressed where the fused kernel runs.
    `user_row` and `item_row` are the numbers that rows' random numbers are drawn by
    (`pmf.data.row_numbers`), where these are not their places.
    """

    ratings: Ratings | None
    by_user: tuple[Rows, ...] | CSR | Sharded
    by_item: tuple[Rows, ...] | CSR | Sharded
    user_count: Int[Array, " users"]
    item_count: Int[Array, " items"]
    user_row: Int[Array, " users"] | None = None
    item_row: Int[Array, " items"] | None = None


class Side(NamedTuple):
    """One side's rows: factors `(n, k)` and biases `(n, b)`, where b is 0 or 1.

    An ablation is a width of zero, not a branch.
    """

    factor: Float[Array, "*s n k"]
    bias: Float[Array, "*s n b"]


class Params(NamedTuple):
    """theta = (U, b, V, c, mu). A stack of draws has the same fields with a leading axis."""

    user: Side
    item: Side
    mu: Float[Array, "*s"]


class Gaussian(NamedTuple):
    """w_j ~ N(mean, inv(weight_j * precision)) for the rows w_j of one side.

    `mean` is one for all rows, or one a row (the hybrid's, from each item's features). `weight` is
    one number for all rows, or one a row (the count-weighted prior).
    """

    mean: Float[Array, "*n d"]
    precision: Float[Array, "d d"]
    weight: Float[Array, "*n"]


class Prior(NamedTuple):
    """The rating precision tau and the Gaussian prior of each side's (factor, bias) rows."""

    tau: Float[Array, ""]
    user: Gaussian
    item: Gaussian


class Algorithm(NamedTuple):
    """An inference algorithm as a pair of pure functions.

    `init(key, data) -> state` and `step(key, state, data) -> (state, info)`; every state has
    `.params` and `.prior`, every info `.log_posterior`. `step` is a `jax.tree_util.Partial`, so
    its priors are traced: another prior costs no recompilation.

    A step that loops on the host, as over ratings on disk, is not traced as a whole; then
    `compile(state, data)` compiles its parts beforehand.
    """

    init: Callable[..., Any]
    step: Callable[..., Any]
    compile: Callable[..., None] | None = None


class Form(NamedTuple):
    """How an algorithm's state comes to the host, and back.

    On the host it is NumPy arrays, rows in their original order without padding, the same in every
    process and for any number of devices.
    """

    to_host: Callable[[Any], Any]
    from_host: Callable[[Any], Any]
