"""Any algorithm on a mesh of devices, and its state's form that knows no devices.

The mathematics sees exactly the real rows: padding rows, which make the devices' parts equal, are
cut off at the beginning of a step and added at its end, which moves no data. Means, Gram matrices
and sums over sharded rows become all-reduces by themselves; `pmf.inference.row_update` gathers the
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

from pmf.parallel.placement import AXIS, Placement, fetched
from pmf.types import Algorithm, Data, Form

Build = Callable[[Data], Algorithm]  # a prior may depend on each row's number of ratings
# A state's shape for these many rows shows which axis of an array counts users or items.
MANY_USERS, MANY_ITEMS = 1_000_003, 1_000_033


@jax.tree_util.register_static
@dataclass(frozen=True)
class Cut:
    """How the arrays of an algorithm's data and state are cut over a mesh. Static.

    For each array of a state, in order: the side ("user", "item") whose rows it has and along which
    axis, counted from the last so that stacked chains change nothing; or None.
    """

    mesh: Mesh
    users: int
    items: int
    ratings: int
    axes: tuple[tuple[str, int] | None, ...]

    def rows(self, side: str) -> int:
        return self.users if side == "user" else self.items

    def sharding(self, ndim: int, where: tuple[str, int] | None) -> NamedSharding:
        """Where an array of a state lives: cut along its rows, or whole on every device."""
        names: list[str | None] = [None] * ndim
        if where is not None:
            names[where[1]] = AXIS
        return NamedSharding(self.mesh, PartitionSpec(*names))

    def map(self, change: Callable[[Any, tuple[str, int] | None], Any], state: Any) -> Any:
        """`change(array, where)` of every array of a state."""
        arrays, form = jax.tree.flatten(state)
        changed = [change(x, where) for x, where in zip(arrays, self.axes, strict=True)]
        return jax.tree.unflatten(form, changed)

    def real(self, state: Any) -> Any:
        """A state without its padding rows."""

        def cut(x, where):
            if where is None:
                return x
            return jax.lax.slice_in_dim(x, 0, self.rows(where[0]), axis=where[1] % x.ndim)

        return self.map(cut, state)

    def real_data(self, data: Data) -> Data:
        """The data without padding rows and padding ratings."""

        def first(n: int, x):  # `ratings` may be None, which has no arrays
            return jax.tree.map(lambda array: array[:n], x)

        return data._replace(
            ratings=first(self.ratings, data.ratings),
            user_count=first(self.users, data.user_count),
            item_count=first(self.items, data.item_count),
            user_row=first(self.users, data.user_row),
            item_row=first(self.items, data.item_row),
        )

    def filled(self, state: Any) -> Any:
        """A state with padding rows, each array kept where it belongs."""

        def fill(x, where):
            if where is not None:
                width = [(0, 0)] * x.ndim
                width[where[1]] = (0, -x.shape[where[1]] % self.mesh.size)
                x = jnp.pad(x, width)
            return jax.lax.with_sharding_constraint(x, self.sharding(x.ndim, where))

        return self.map(fill, state)


def cut_of(build: Build, placement: Placement) -> Cut:
    """How the state of the algorithm that `build(data)` gives is cut."""
    users, items = len(placement.user.count), len(placement.item.count)
    ratings = int(placement.user.count.sum())
    shapes = [jax.ShapeDtypeStruct((n,), np.int32) for n in (MANY_USERS, MANY_ITEMS)] * 2
    state = jax.eval_shape(
        lambda key, data: build(data).init(key, data),
        jax.random.key(0),
        Data(None, (), (), *shapes),
    )

    def where(shape: tuple[int, ...]) -> tuple[str, int] | None:
        for side, number in (("user", MANY_USERS), ("item", MANY_ITEMS)):
            if number in shape:
                return side, shape.index(number) - len(shape)
        return None

    axes = tuple(where(x.shape) for x in jax.tree.leaves(state))
    return Cut(placement.mesh, users, items, ratings, axes)


def on_mesh(build: Build, data: Data, cut: Cut) -> Algorithm:
    """The algorithm that `build(data)` gives, on sharded data: the same steps to rounding."""

    def init(key, data: Data):
        data = cut.real_data(data)
        return cut.filled(build(data).init(key, data))

    return Algorithm(jax.jit(init), Partial(_step_on_mesh, cut, build(data).step))


def _step_on_mesh(cut: Cut, step: Partial, key, state, data: Data):
    state, info = step(key, cut.real(state), cut.real_data(data))
    return cut.filled(state), info


def form_of(cut: Cut, placement: Placement) -> Form:
    """`to_host` and `from_host` for `pmf.fitting.driver`."""
    here = partial(to_host, cut=cut, placement=placement)
    return Form(here, partial(from_host, cut=cut, placement=placement))


def to_host(state: Any, cut: Cut, placement: Placement) -> Any:
    """A state as NumPy arrays in the rows' original order, without padding rows.

    The same on every process and for any number of devices: what a checkpoint should hold.
    """

    def one(x, where):
        return x if where is None else np.take(x, getattr(placement, where[0]).place, where[1])

    return cut.map(one, fetched(state))


def from_host(state: Any, cut: Cut, placement: Placement) -> Any:
    """The inverse of `to_host`, on another mesh perhaps."""

    def one(x, where):
        x = np.asarray(x)
        if where is not None:
            x = np.take(x, getattr(placement, where[0]).row, where[1])
            width = [(0, 0)] * x.ndim
            width[where[1]] = (0, -x.shape[where[1]] % cut.mesh.size)
            x = np.pad(x, width)
        sharding = cut.sharding(x.ndim, where)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return cut.map(one, state)
