"""Which device owns which rows, and the ratings laid out on the devices. Host code, NumPy.

Each device of a one-dimensional mesh owns equally many rows of either side, with about equally many
ratings, as one contiguous range of places. Padding rows fill the last places up to equal ranges.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pmf.data.row_numbers import RowNumbers
from pmf.errors import InputError
from pmf.inference.blocks import capacity, padded_blocks
from pmf.inference.layout import NO_ROWS, Data
from pmf.inference.row_update import Layout
from pmf.parallel.sharded_rows import Sharded
from pmf.types import Ratings

AXIS = "rows"


def device_mesh(devices: int | str) -> Mesh:
    """A mesh of the first `devices` devices, or of "all", over all processes.

    Raises `InputError` where there are fewer.
    """
    available = jax.devices()
    number = len(available) if devices == "all" else int(devices)
    if number > len(available):
        raise InputError(
            f"devices={number}, but JAX sees {len(available)} ({available[0].platform}); say "
            "fewer, or on a CPU start with XLA_FLAGS=--xla_force_host_platform_device_count"
        )
    if number < len(available) and jax.process_count() > 1:
        raise InputError(f'devices={number}: a job of several processes uses them all; say "all"')
    return jax.make_mesh((number,), (AXIS,), (AxisType.Auto,), devices=available[:number])


@dataclass(frozen=True)
class RowAssignment:
    """Which device has which of one side's rows."""

    count: np.ndarray  # (n,): the ratings of each row, in the original order
    place: np.ndarray  # (n,): where each row went; all places below n are taken
    share: int  # places a device

    @cached_property
    def row(self) -> np.ndarray:
        """(n,): the row at each place, the inverse of `place`."""
        row = np.empty_like(self.place)
        row[self.place] = np.arange(len(row), dtype=row.dtype)
        return row

    @property
    def original(self) -> np.ndarray:
        """(n,): the rows' original numbers, in that order."""
        return np.arange(len(self.place), dtype=self.place.dtype)

    def owner(self, row: np.ndarray) -> np.ndarray:
        """The device that owns each of these rows."""
        owner: np.ndarray = self.place[row] // self.share
        return owner


def assign_rows(count: np.ndarray, num_devices: int) -> RowAssignment:
    """Rows in descending order of their ratings, given to devices 0, 1, 2, 2, 1, 0, 0, 1, ...

    Two devices with equally many rows differ by no more ratings than the largest row has; the last
    devices may have fewer rows.
    """
    n = len(count)
    share = -(-n // num_devices)
    turn, seat = np.divmod(np.arange(num_devices * share), num_devices)
    device = np.where(turn % 2, num_devices - 1 - seat, seat)
    place = device * share + turn
    place = place[place < n]  # the last devices go without the lightest rows
    assigned = np.empty(n, np.int32)
    assigned[np.argsort(-count, kind="stable")] = place
    return RowAssignment(count, assigned, share)


@dataclass(frozen=True)
class Placement:
    """Where every row of both sides is."""

    mesh: Mesh
    user: RowAssignment
    item: RowAssignment
    numbers: RowNumbers

    def placed(self, ratings: Ratings) -> Ratings:
        """The same ratings by places."""
        return Ratings(self.user.place[ratings.user], self.item.place[ratings.item], ratings.value)


def place(
    user_count: np.ndarray,
    item_count: np.ndarray,
    mesh: Mesh,
    numbers: RowNumbers | None = None,
) -> Placement:
    """The placement of rows with these numbers of ratings, over all processes.

    Rows draw by `numbers`, or by the original ones.
    """
    user, item = (assign_rows(count, mesh.size) for count in (user_count, item_count))
    return Placement(mesh, user, item, numbers or RowNumbers(user.original, item.original))


def own_devices(mesh: Mesh) -> list[int]:
    """The numbers, on the mesh, of the devices that belong to this process."""
    process = jax.process_index()
    return [k for k, device in enumerate(mesh.devices) if device.process_index == process]


def rows_on_mesh(
    placement: Placement,
    by_user: Ratings,
    by_item: Ratings,
    rank: int,
    weights: tuple[np.ndarray, np.ndarray] | None = None,
) -> Data:
    """The two orientations that ALS and Gibbs need, each rating with its owners.

    `by_user` are at least the ratings of all users that this process's devices own, `by_item` the
    same for items; others are passed over. Alone, a process gives all ratings twice. `weights` are
    those of either's ratings, checked (default: 1). Raises `InputError` where a (user, item) pair
    repeats.
    """
    mesh, user, item = placement.mesh, placement.user, placement.item
    first, second = placement.placed(by_user), placement.placed(by_item)
    of_users, of_items = weights or (None, None)
    user_cells = first.user, first.item, by_user.value, of_users
    item_cells = second.item, second.user, by_item.value, of_items
    return _data(
        placement,
        None,
        _sharded(mesh, *user_cells, user, item, rank),
        _sharded(mesh, *item_cells, item, user, rank),
    )


def flat_on_mesh(placement: Placement, ratings: Ratings, start: int = 0) -> Data:
    """The one flat list that gradient methods need, cut into equal parts in its own order.

    `ratings` begin with number `start` of all, and are at least those of this process's devices.
    """
    mesh, n = placement.mesh, int(placement.user.count.sum())
    arrays = (_cut(mesh, np.asarray(x), n, start) for x in placement.placed(ratings))
    return _data(placement, Ratings(*arrays), NO_ROWS, NO_ROWS)


def _data(placement: Placement, ratings: Ratings | None, by_user: Layout, by_item: Layout) -> Data:
    mesh, sides = placement.mesh, (placement.user, placement.item)
    user_count, item_count = (
        _cut(mesh, side.count[side.row].astype(np.int32), len(side.row)) for side in sides
    )
    numbers = zip(placement.numbers, sides, strict=True)
    user_row, item_row = (_cut(mesh, number[side.row], len(side.row)) for number, side in numbers)
    return Data(ratings, by_user, by_item, user_count, item_count, user_row, item_row)


def _cut(mesh: Mesh, x: np.ndarray, n: int, start: int = 0) -> jax.Array:
    """n numbers, of which x holds those from `start` on, in equal parts; zeros fill the last."""
    share = -(-n // mesh.size)

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        first = (index[0].start if index else 0) or 0
        rows_of_part = x[first - start : max(min(first + share, n) - start, 0)]
        return np.pad(rows_of_part, (0, share - len(rows_of_part)))

    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.make_array_from_callback((share * mesh.size,), sharding, part)


def _sharded(
    mesh: Mesh,
    row: np.ndarray,
    col: np.ndarray,
    value: np.ndarray,
    weight: np.ndarray | None,
    rows: RowAssignment,
    cols: RowAssignment,
    rank: int,
) -> Sharded:
    """Every device's own layout, all of the same shapes, joined along their first axes."""
    most_rows, num_cols = _common_capacity(rows, mesh.size), cols.share * mesh.size
    owner = row // rows.share
    order = np.argsort(owner, kind="stable")
    parts = []
    for k in own_devices(mesh):
        cells = order[slice(*np.searchsorted(owner, [k, k + 1], sorter=order))]
        local = row[cells] - k * rows.share, col[cells], value[cells]
        weights = None if weight is None else weight[cells]
        with jax.default_device(mesh.devices[k]):
            shape = rows.share, num_cols, rank
            parts.append(padded_blocks(*local, *shape, rows_by_width=most_rows, weight=weights))
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def join(*arrays: jax.Array) -> jax.Array:
        shape = (mesh.size * arrays[0].shape[0], *arrays[0].shape[1:])
        shards = [
            jax.device_put(array, mesh.devices[k])
            for array, k in zip(arrays, own_devices(mesh), strict=True)
        ]
        return jax.make_array_from_single_device_arrays(shape, sharding, shards)

    return Sharded(jax.tree.map(join, *parts), mesh)


def _common_capacity(rows: RowAssignment, num_devices: int) -> dict[int, int]:
    """For each width, the most rows that any one device has of it."""
    degree = np.zeros(num_devices * rows.share, np.int64)
    degree[rows.place] = rows.count
    ladder = list(capacity(degree, int(degree.sum())))
    level = np.searchsorted(ladder, degree).reshape(num_devices, rows.share)
    most = np.max([np.bincount(levels, minlength=len(ladder)) for levels in level], axis=0)
    return dict(zip(ladder, most.tolist(), strict=True))


def fetched(tree: Any) -> Any:
    """Arrays as NumPy arrays, whole on every process."""

    def one(x: Any) -> np.ndarray:
        whole = not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated
        return np.asarray(x) if whole else process_allgather(x, tiled=True)

    return jax.tree.map(one, tree)
