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

from meshes import BUILDS, TERMS, larger_ratings, steps  # noqa: E402

from pmf.distributed import flat_from_parts, initialise, rows_from_parts  # noqa: E402
from pmf.placement import device_mesh  # noqa: E402
from pmf.sharding import cut_of, on_mesh, to_host  # noqa: E402
from pmf.types import Ratings  # noqa: E402

HEARTBEAT_SECONDS = 10


def main(port: str, num: str, process: str, method: str, total: str, die_at: str = "-1") -> None:
    initialise(f"127.0.0.1:{port}", int(num), int(process), HEARTBEAT_SECONDS)
    ratings, users, items = larger_ratings()
    holder = np.random.default_rng(0).integers(int(num), size=len(ratings.value))
    part = Ratings(*(x[holder == int(process)] for x in ratings))
    mesh, build = device_mesh("all"), BUILDS[method](TERMS)
    if method == "map":
        placement, data = flat_from_parts(part, users, items, mesh)
    else:
        placement, data = rows_from_parts(part, users, items, TERMS.rank, mesh)
    cut = cut_of(build, placement)
    algorithm = on_mesh(build, data, cut)

    def watch(step: int) -> None:
        print(f"step {step}", file=sys.stderr, flush=True)
        if step == int(die_at):
            os.kill(os.getpid(), signal.SIGKILL)

    state, values = steps(algorithm, data, int(total), on_step=watch)
    host = to_host(state, cut, placement)
    leaves = [np.asarray(x).ravel().tolist() for x in jax.tree.leaves(host)]
    print(json.dumps({"state": leaves, "log_posterior": values, "devices": mesh.size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
