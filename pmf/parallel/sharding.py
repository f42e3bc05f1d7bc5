"""Any algorithm on a mesh of devices, and its state's form that knows no devices.

The mathematics sees exactly the real rows: padding rows, which make the devices' parts equal, are
cut off at the beginning of a step and added at its end, which moves no data. Means, Gram matrices
and sums over sharded rows become all-reduces by themselves; `pmf.parallel.sharded_rows` gathers the
other side's rows for a half-sweep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial
from jaxtyping import Array, Key

from pmf.inference.base import Algorithm, AnyInfo, AnyState, HostForm, RowAxis, Step, row_axes
from pmf.inference.layout import NO_ROWS, Data
from pmf.parallel.placement import AXIS, Placement, fetched

Build = Callable[[Data], Algorithm]  # a prior may depend on each row's number of ratings


@jax.tree_util.register_static
@dataclass(frozen=True)
class ShardSpec:
    """How the arrays of an algorithm's data and state are sharded over a mesh. Static.

    `axes` are those that the state declares, see `pmf.inference.base.row_axes`.
    """

    mesh: Mesh
    num_users: int
    num_items: int
    num_ratings: int
    axes: tuple[RowAxis | None, ...]

    def rows(self, side: str) -> int:
        return self.num_users if side == "user" else self.num_items

    def sharding(self, ndim: int, where: RowAxis | None) -> NamedSharding:
        """Where an array of a state lives: cut along its rows, or whole on every device."""
        names: list[str | None] = [None] * ndim
        if where is not None:
            names[where.axis] = AXIS
        return NamedSharding(self.mesh, PartitionSpec(*names))

    def map(self, change: Callable[[Any, RowAxis | None], Any], state: Any) -> Any:
        """`change(array, where)` of every array of a state."""
        arrays, structure = jax.tree.flatten(state)
        changed = [change(x, where) for x, where in zip(arrays, self.axes, strict=True)]
        return jax.tree.unflatten(structure, changed)

    def real(self, state: Any) -> Any:
        """A state without its padding rows."""

        def cut(x: jax.Array, where: RowAxis | None) -> jax.Array:
            if where is None:
                return x
            return jax.lax.slice_in_dim(x, 0, self.rows(where.side), axis=where.axis % x.ndim)

        return self.map(cut, state)

    def real_data(self, data: Data) -> Data:
        """The data without padding rows and padding ratings."""

        def first(n: int, x: Any) -> Any:  # `ratings` may be None, which has no arrays
            return jax.tree.map(lambda array: array[:n], x)

        return data._replace(
            ratings=first(self.num_ratings, data.ratings),
            user_count=first(self.num_users, data.user_count),
            item_count=first(self.num_items, data.item_count),
            user_row=first(self.num_users, data.user_row),
            item_row=first(self.num_items, data.item_row),
        )

    def filled(self, state: Any) -> Any:
        """A state with padding rows, each array kept where it belongs."""

        def fill(x: jax.Array, where: RowAxis | None) -> Any:
            if where is not None:
                width = [(0, 0)] * x.ndim
                width[where.axis] = (0, -x.shape[where.axis] % self.mesh.size)
                x = jnp.pad(x, width)
            return jax.lax.with_sharding_constraint(x, self.sharding(x.ndim, where))

        return self.map(fill, state)


def shard_spec(build: Build, placement: Placement) -> ShardSpec:
    """How the state of the algorithm that `build(data)` gives is sharded."""
    num_rows = {side: len(getattr(placement, side).count) for side in ("user", "item")}
    users, items = (jax.ShapeDtypeStruct((n,), np.int32) for n in num_rows.values())
    state = jax.eval_shape(
        lambda key, data: build(data).init(key, data),
        jax.random.key(0),
        Data(None, NO_ROWS, NO_ROWS, users, items, users, items),
    )
    ratings = int(placement.user.count.sum())
    axes = tuple(row_axes(state, num_rows))
    return ShardSpec(placement.mesh, num_rows["user"], num_rows["item"], ratings, axes)


def on_mesh(build: Build, data: Data, spec: ShardSpec) -> Algorithm:
    """The algorithm that `build(data)` gives, on sharded data: the same steps to rounding."""

    def init(key: Key[Array, ""], data: Data) -> AnyState:
        data = spec.real_data(data)
        state: AnyState = spec.filled(build(data).init(key, data))
        return state

    built = build(data)
    return Algorithm(jax.jit(init), Partial(_step_on_mesh, spec, built.step), built.likelihood)


def _step_on_mesh(
    spec: ShardSpec, step: Step, key: Key[Array, ""], state: Any, data: Data
) -> tuple[AnyState, AnyInfo]:
    state, info = step(key, spec.real(state), spec.real_data(data))
    return spec.filled(state), info


def host_form(spec: ShardSpec, placement: Placement) -> HostForm:
    """`to_host` and `from_host` for `pmf.fitting.driver`."""
    here = partial(to_host, spec=spec, placement=placement)
    return HostForm(here, partial(from_host, spec=spec, placement=placement))


def to_host(state: Any, spec: ShardSpec, placement: Placement) -> Any:
    """A state as NumPy arrays in the rows' original order, without padding rows.

    The same on every process and for any number of devices: what a checkpoint should hold.
    """

    def one(x: np.ndarray, where: RowAxis | None) -> np.ndarray:
        return x if where is None else np.take(x, getattr(placement, where.side).place, where.axis)

    return spec.map(one, fetched(state))


def from_host(state: Any, spec: ShardSpec, placement: Placement) -> Any:
    """The inverse of `to_host`, on another mesh perhaps."""

    def one(x: np.ndarray, where: RowAxis | None) -> jax.Array:
        x = np.asarray(x)
        if where is not None:
            x = np.take(x, getattr(placement, where.side).row, where.axis)
            width = [(0, 0)] * x.ndim
            width[where.axis] = (0, -x.shape[where.axis] % spec.mesh.size)
            x = np.pad(x, width)
        sharding = spec.sharding(x.ndim, where)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return spec.map(one, state)
