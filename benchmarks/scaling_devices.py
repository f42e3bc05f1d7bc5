"""`python -m benchmarks.scaling_devices`: what sharding costs, measured and on paper.

    measure  weak scaling on virtual CPU devices: each has the same share of a set that grows
    model    memory, traffic and time of a sweep on accelerators, from stated bandwidths

Virtual devices share one processor, so `measure` shows what sharding adds (padding, gathered
tables, waiting for one another), never a network and never a speed-up. Bytes are counted from the
collectives in the compiled program.
"""

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from pmf.cli.console import plain_app, run_app

RATINGS, USERS, ITEMS = 1_100_000, 8_000, 3_000  # a device; more than `pmf.inference.blocks.SMALL`
BYTES = {"f64": 8, "f32": 4, "s64": 8, "s32": 4, "u32": 4, "pred": 1}
KINDS = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"

app = plain_app("What sharding costs: measured on virtual devices, modelled for accelerators.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def collectives(text: str) -> list[tuple[str, int]]:
    """(kind, bytes of its results on a device) of each collective in a compiled program."""
    collectives_of_text = []
    for result, kind in re.findall(rf"= (.*?) ({KINDS})(?:-start)?\(", text):
        shapes = re.findall(r"(\w+)\[([\d,]*)\]", result)
        sizes = (BYTES[t] * math.prod(int(x) for x in dims.split(",") if x) for t, dims in shapes)
        collectives_of_text.append((kind, sum(sizes)))
    return collectives_of_text


def received(kind: str, size: int, devices: int) -> float:
    """Bytes that a device receives in a ring: an all-reduce goes round twice."""
    return (2 if kind == "all-reduce" else 1) * size * (devices - 1) / devices


def worker(method: str, devices: int, rank: int, sweeps: int) -> dict[str, Any]:
    """Seconds per sweep, bytes per sweep and balance on `devices` devices, in this process."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    from pmf.data.synthetic import movielens_shaped
    from pmf.parallel.placement import device_mesh, place, rows_on_mesh
    from pmf.parallel.sharding import on_mesh, shard_spec

    users, items = USERS * devices, ITEMS * devices
    ratings = movielens_shaped(0, RATINGS * devices, users, items)
    counts = np.bincount(ratings.user, minlength=users), np.bincount(ratings.item, minlength=items)
    placement = place(*counts, device_mesh(devices))
    data = rows_on_mesh(placement, ratings, ratings, rank)
    build = _builder(method, rank)
    algorithm = on_mesh(build, data, shard_spec(build, placement))
    key = jax.random.key(0)
    state = algorithm.init(key, data)
    program = jax.jit(algorithm.step.func).lower(*algorithm.step.args, key, state, data).compile()
    seconds = []
    for sweep in range(sweeps):
        begin = time.perf_counter()
        state, _ = program(*algorithm.step.args, jax.random.key(sweep), state, data)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begin)
    sent = collectives(program.as_text())
    loads = [
        np.bincount(side.owner(np.arange(len(side.count))), side.count, devices)
        for side in (placement.user, placement.item)
    ]
    cells = sum(x.value.size for side in (data.by_user, data.by_item) for x in side.local.blocks)
    return {
        "method": method,
        "devices": devices,
        "ratings": len(ratings.value),
        "rank": rank,
        "sweep_s": min(seconds),
        "median_s": float(np.median(seconds)),
        "received_mb": sum(received(*one, devices) for one in sent) / 1e6,
        "all_gathers": sum(kind == "all-gather" for kind, _ in sent),
        "largest_all_reduce_bytes": max(
            (size for kind, size in sent if kind == "all-reduce"), default=0
        ),
        "load_max_over_mean": float(max(load.max() / load.mean() for load in loads)),
        "cells_per_rating": cells / 2 / len(ratings.value),
    }


def _builder(method: str, rank: int) -> Callable[[Any], Any]:
    """The algorithm of these data."""
    from pmf.fitting.methods.gibbs import default_hyperprior
    from pmf.inference.als import als
    from pmf.inference.gibbs import gibbs
    from pmf.model.priors import Ridge, from_ridge
    from pmf.types import Terms

    terms, prior = Terms(rank), from_ridge(Ridge(5.0, 5.0, 5.0, 5.0), tau=1.0)
    if method == "als":
        return lambda data: als(prior.build(terms, data), terms, 3.0)
    return lambda data: gibbs(default_hyperprior(terms), terms, 3.0, 1.5)


@app.command()
def measure(
    rank: Annotated[int, typer.Option(help="Width of the factors.")] = 16,
    sweeps: Annotated[int, typer.Option(help="Sweeps to time; the fastest counts.")] = 8,
    as_json: AsJson = False,
    only: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Weak scaling of ALS and Gibbs on 1, 2, 4 and 8 virtual devices, a process each."""
    if only:
        method, devices = only.split(":")
        print(json.dumps(worker(method, int(devices), rank, sweeps)))
        return
    for method in ("als", "gibbs"):
        alone = None
        for devices in (1, 2, 4, 8):
            command = [sys.executable, "-m", "benchmarks.scaling_devices", "measure"]
            command += ["--only", f"{method}:{devices}", "--rank", str(rank)]
            done = subprocess.run(
                [*command, "--sweeps", str(sweeps)],
                capture_output=True,
                text=True,
                env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()},
            )
            if done.returncode:
                raise RuntimeError(f"{method} on {devices}: {done.stderr.strip()[-500:]}")
            row = json.loads(done.stdout.splitlines()[-1])
            rate = row["ratings"] / row["sweep_s"]
            alone = alone or rate
            row["rate_to_one_device"] = rate / alone
            print(json.dumps(row) if as_json else _line(row), flush=True)


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['method']:<5} {row['devices']} devices  {row['ratings']:>9,} ratings  "
        f"sweep {row['sweep_s']:6.3f} s  rate {row['rate_to_one_device']:.2f} of one device's  "
        f"received {row['received_mb']:6.2f} MB per device  "
        f"load {row['load_max_over_mean']:.3f}  cells {row['cells_per_rating']:.2f} a rating"
    )


class Machine(NamedTuple):
    """What one accelerator sustains, in bytes and operations a second. Assumed, not measured."""

    name: str
    memory: float
    flops: float  # float32, in batched Gram products of width `rank`
    gather: float  # bytes of table rows fetched from its own memory
    link: float  # bytes received from other devices


class Task(NamedTuple):
    name: str
    ratings: float
    users: float
    items: float
    rank: int
    devices: int


GPU = Machine("an 80 GB GPU", memory=80e9, flops=15e12, gather=1e12, link=25e9)
TASKS = [
    Task("MovieLens 25M", 25e6, 162_541, 62_423, 64, 1),
    Task("MovieLens 25M", 25e6, 162_541, 62_423, 64, 8),
    Task("1 billion", 1e9, 10e6, 1e6, 64, 8),
    Task("10 billion", 10e9, 100e6, 10e6, 64, 64),
    Task("30 billion, as ALX", 30e9, 365e6, 365e6, 128, 256),
    Task("100 billion", 100e9, 100e6, 10e6, 64, 256),
    Task("100 billion", 100e9, 1e9, 10e6, 32, 512),
]


def modelled(task: Task, machine: Machine = GPU) -> dict[str, Any]:
    """A sweep on paper: float32, 20 % padded cells, arithmetic and gathers overlapped."""
    d = task.rank + 1
    cells = 1.2 * task.ratings / task.devices
    rows = task.users + task.items
    ratings_gb = 2 * cells * 8 / 1e9  # a column and a value, in two orientations
    gathered_gb = 2 * max(task.users, task.items) * (d + 1) * 4 / 1e9  # as received, and as used
    own_gb = 4 * rows * d * 4 / task.devices / 1e9  # rows, noise, new rows, one to spare
    flops = 2 * cells * 2 * d * d + rows / task.devices * (d**3 / 3 + 2 * d * d)
    compute = max(flops / machine.flops, 2 * cells * (d + 1) * 4 / machine.gather)
    traffic = rows * d * 4 * (task.devices - 1) / task.devices
    total = ratings_gb + gathered_gb + own_gb
    return {
        **task._asdict(),
        "ratings_gb": ratings_gb,
        "gathered_gb": gathered_gb,
        "own_gb": own_gb,
        "fits": total * 1e9 < machine.memory,
        "received_gb": traffic / 1e9,
        "compute_s": compute,
        "network_s": traffic / machine.link,
        "sweep_s": compute + traffic / machine.link,
    }


@app.command()
def model(as_json: AsJson = False) -> None:
    """Memory, traffic and time of one ALS or Gibbs sweep, on paper."""
    if not as_json:
        print(
            "ratings | rows | rank | devices | ratings, gathered, own GB per device | fits | "
            "received GB | compute s | network s"
        )
    for task in TASKS:
        row = modelled(task)
        if as_json:
            print(json.dumps(row))
            continue
        size = f"{row['ratings_gb']:.3g}, {row['gathered_gb']:.3g}, {row['own_gb']:.3g}"
        print(
            f"{task.name} | {task.users:.3g} + {task.items:.3g} | {task.rank} | {task.devices} | "
            f"{size} | {'yes' if row['fits'] else 'no'} | {row['received_gb']:.3g} | "
            f"{row['compute_s']:.3g} | {row['network_s']:.3g}"
        )


if __name__ == "__main__":
    run_app(app)
