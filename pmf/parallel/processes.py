"""Several processes, on one machine or many, each holding a part of the ratings.

    initialise("10.0.0.1:8476", num_processes=4, process_id=0)  # first of all, in every process
    mesh = device_mesh("all")
    scanned, part = read_part("ratings/")  # a folder of Parquet files that every process sees
    users, items = len(scanned.users), len(scanned.items)
    placement, data = rows_from_parts(part, users, items, rank, mesh)
    algorithm = on_mesh(build, data, shard_spec(build, placement))

`part` is any part of the ratings: together the processes hold each rating once. Every process runs
the same program with the same seed; NumPy results are the same in all of them.
"""

from pathlib import Path

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pmf.data.readers.parquet_stream import Scan, encoded_blocks, scan
from pmf.inference.layout import Data
from pmf.parallel.placement import Placement, flat_on_mesh, own_devices, place, rows_on_mesh
from pmf.types import Ratings

PROCESS = "process"


def initialise(
    coordinator: str, num_processes: int, process_id: int, timeout_seconds: int = 100
) -> None:
    """Join the job; `coordinator` is HOST:PORT of process 0. Before anything else uses JAX.

    A process that dies ends the job: the others stop with an error, at the latest
    `timeout_seconds` after its last heartbeat.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_id,
        heartbeat_timeout_seconds=timeout_seconds,
        shutdown_timeout_seconds=timeout_seconds,
    )


def read_part(path: str | Path, scale: tuple[float, float] | None = None) -> tuple[Scan, Ratings]:
    """The scan of a whole Parquet data set, and this process's part of its ratings.

    A process reads the ids of all rows, and then only its own run of rows. Raises `InputError` as
    `pmf.data.readers.parquet_stream.scan`.
    """
    scanned = scan(Path(path), scale)
    mine = encoded_blocks(scanned, jax.process_index(), jax.process_count())
    nothing = Ratings(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    parts = [nothing, *(block for _, block in mine)]
    return scanned, Ratings(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def rows_from_parts(
    part: Ratings, num_users: int, num_items: int, rank: int, mesh: Mesh
) -> tuple[Placement, Data]:
    """Ratings by rows, for ALS and Gibbs, from each process's part.

    Every process ends with the ratings of the users that its devices own, and with those of the
    items. Raises `InputError` where a (user, item) pair repeats.
    """
    placement, process = _place_parts(part, num_users, num_items, mesh), _processes(mesh)
    by_user = exchange(part, process[placement.user.owner(part.user)])
    by_item = exchange(part, process[placement.item.owner(part.item)])
    return placement, rows_on_mesh(placement, by_user, by_item, rank)


def flat_from_parts(
    part: Ratings, num_users: int, num_items: int, mesh: Mesh
) -> tuple[Placement, Data]:
    """The one flat list of gradient methods: the parts in the order of the processes."""
    placement = _place_parts(part, num_users, num_items, mesh)
    sizes = process_allgather(np.array(len(part.value))).reshape(-1)
    share = -(-int(sizes.sum()) // mesh.size)
    number = sizes[: jax.process_index()].sum() + np.arange(len(part.value))
    ratings = exchange(part, _processes(mesh)[number // share])
    return placement, flat_on_mesh(placement, ratings, own_devices(mesh)[0] * share)


def _place_parts(part: Ratings, num_users: int, num_items: int, mesh: Mesh) -> Placement:
    """The placement by the numbers of ratings summed over all processes."""
    user_count = _summed(np.bincount(part.user, minlength=num_users))
    item_count = _summed(np.bincount(part.item, minlength=num_items))
    return place(user_count, item_count, mesh)


def _processes(mesh: Mesh) -> np.ndarray:
    """The process of each device."""
    return np.array([device.process_index for device in mesh.devices])


def exchange(ratings: Ratings, destination: np.ndarray) -> Ratings:
    """Send each rating to process `destination`; gives what all processes sent to this one.

    They come in the order of their senders, each sender's in its own order. One all-to-all whose
    buckets have the size of the largest: `num_processes` buckets of 12 bytes per rating must fit
    in memory twice.
    """
    num, me = jax.process_count(), jax.process_index()
    sent = np.bincount(destination, minlength=num)
    counts = process_allgather(sent).reshape(num, num)  # of each sender, to each process
    order = np.argsort(destination, kind="stable")
    bucket = destination[order]
    seat = np.arange(len(order)) - (np.cumsum(sent) - sent)[bucket]

    def one(x: np.ndarray) -> np.ndarray:
        buckets = np.zeros((1, num, counts.max()), x.dtype)
        buckets[0, bucket, seat] = np.asarray(x)[order]
        received = _turned(buckets)
        return np.concatenate([received[p, : counts[p, me]] for p in range(num)])

    return Ratings(*(one(x) for x in ratings))


def _turned(buckets: np.ndarray) -> np.ndarray:
    """(1, processes, capacity) by receiver to (processes, capacity) by sender: an all-to-all."""
    mesh = _process_mesh()
    by_sender = NamedSharding(mesh, PartitionSpec(PROCESS))
    by_receiver = NamedSharding(mesh, PartitionSpec(None, PROCESS))
    sent = jax.make_array_from_process_local_data(by_sender, buckets)
    return np.asarray(jax.jit(_same, out_shardings=by_receiver)(sent).addressable_data(0))[:, 0]


def _same(x: jax.Array) -> jax.Array:
    return x


def _summed(count: np.ndarray) -> np.ndarray:
    """The sum over processes."""
    mesh = _process_mesh()
    parts = jax.make_array_from_process_local_data(
        NamedSharding(mesh, PartitionSpec(PROCESS)), count[None].astype(np.int32)
    )
    whole = NamedSharding(mesh, PartitionSpec())
    return np.asarray(jax.jit(lambda x: x.sum(0), out_shardings=whole)(parts), np.int64)


def _process_mesh() -> Mesh:
    """One device of each process."""
    first = {device.process_index: device for device in reversed(jax.devices())}
    return Mesh(np.array([first[p] for p in range(jax.process_count())]), (PROCESS,))
