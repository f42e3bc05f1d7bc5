"""One process of a job of several: what `test_distributed.py` starts. Prints one JSON line.

distributed_worker.py PORT NUM_PROCESSES PROCESS_ID METHOD STEPS [DIE_AT]
"""

import json
import os
import signal
import sys

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_platforms", "cpu")

import pmf  # noqa: E402
from pmf.parallel.placement import device_mesh  # noqa: E402
from pmf.parallel.processes import flat_from_parts, initialise, rows_from_parts  # noqa: E402
from pmf.parallel.sharding import on_mesh, shard_spec, to_host  # noqa: E402
from pmf.types import Ratings  # noqa: E402
from tests.helpers.meshes import (  # noqa: E402
    BUILDS,
    FITS,
    FRAME,
    ITEMS,
    TERMS,
    USERS,
    compiled,
    steps,
    tailed_ratings,
)

HEARTBEAT_SECONDS = 10


def part_of(num: int, process: int) -> Ratings:
    """The ratings that this process holds: any of them."""
    ratings = tailed_ratings()
    holder = np.random.default_rng(0).integers(num, size=len(ratings.value))
    return Ratings(*(x[holder == process] for x in ratings))


def outcome(method: str, part: Ratings, num_steps: int, die_at: int) -> dict:
    """The state after some steps, in its host form, and the log posteriors."""
    mesh, build = device_mesh("all"), BUILDS[method](TERMS)
    if method == "map":
        placement, data = flat_from_parts(part, USERS, ITEMS, mesh)
    else:
        placement, data = rows_from_parts(part, USERS, ITEMS, TERMS.rank, mesh)
    spec = shard_spec(build, placement)
    algorithm = on_mesh(build, data, spec)
    start, program = compiled(algorithm, data)

    def die(step: int) -> None:
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    state, values = steps(algorithm, program, data, start, num_steps, after_step=die)
    leaves = [
        np.asarray(x).ravel().tolist() for x in jax.tree.leaves(to_host(state, spec, placement))
    ]
    return {"state": leaves, "log_posterior": values}


def fitted() -> dict:
    """What the public interface predicts, given the whole frame in every process."""
    model = pmf.PMF(rank=3, method="als", devices="all", **FITS["als"])
    model.fit(FRAME[:400], heldout=FRAME[400:])
    return {
        "mean": model.predict(FRAME[400:])["mean"].tolist(),
        "heldout": model.heldout_prediction.mean.tolist(),
    }


def resumed() -> dict:
    """The same after a stop, which a signal asks the first process for: both stop and go on."""
    folder = os.environ["KEPT"]
    checkpoints = pmf.Checkpoints(folder, every_minutes=None, resume=True)

    def stop(phase: str, step: int, total: int) -> None:
        if (phase, step, jax.process_index()) == ("als", 2, 0):
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        pmf.PMF(rank=3, method="als", devices="all", **FITS["als"]).fit(
            FRAME[:400], heldout=FRAME[400:], on_step=stop, checkpoints=checkpoints
        )
    except pmf.Interrupted as stopped:
        message = str(stopped)
    begun = []
    model = pmf.PMF(rank=3, method="als", devices="all", **FITS["als"]).fit(
        FRAME[:400],
        FRAME[400:],
        on_record=lambda record: begun.append(record.step),
        checkpoints=checkpoints,
    )
    files = sorted(os.listdir(folder))
    return {
        "mean": model.predict(FRAME[400:])["mean"].tolist(),
        "said": message,
        "begun": begun[0],
        "heldout": model.heldout_prediction.mean.tolist(),
        "files": len(files),
    }


def main(port: str, num: str, process: str, methods: str, num_steps: str, die_at: str) -> None:
    initialise(f"127.0.0.1:{port}", int(num), int(process), HEARTBEAT_SECONDS)
    part = part_of(int(num), int(process))
    result = {
        method: WHOLE[method]()
        if method in WHOLE
        else outcome(method, part, int(num_steps), int(die_at))
        for method in methods.split(",")
    }
    print(json.dumps(result))


WHOLE = {"fit": fitted, "resumed": resumed}


if __name__ == "__main__":
    main(*sys.argv[1:])
