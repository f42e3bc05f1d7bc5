"""A measurement in a process of its own, so that it sees no other's memory, threads or programs.

`run` is the asking end; `answer` and `peak_bytes` are the answering one, which imports nothing
heavy: a rival's interpreter has no `pmf`.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
THREADS = int(os.environ.get("PMF_BENCH_THREADS", "2"))
FRESH = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "JAX_COMPILATION_CACHE_DIR": ""}

Worker = Callable[..., dict[str, Any]]


def run(
    python: str, module: str, worker: str, arguments: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    """What a module's worker answers to arguments by name, of kinds that JSON has.

    Raises `RuntimeError` with its last words where it dies.
    """
    done = subprocess.run(
        [python, "-m", module, worker, json.dumps(arguments)],
        capture_output=True,
        text=True,
        env=os.environ | FRESH | environment,
    )
    if done.returncode:
        words = done.stderr.strip()[-500:] or f"exit code {done.returncode}"
        raise RuntimeError(f"{worker}: {words}")
    return json.loads(done.stdout.splitlines()[-1])


def answer(workers: dict[str, Worker]) -> None:
    """Call the worker that the command line names, and print what it returns."""
    # The same cores for both sides.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    worker, arguments = sys.argv[1:]
    print(json.dumps(workers[worker](**json.loads(arguments))))


def by_name(*workers: Worker) -> dict[str, Worker]:
    """Workers by their functions' names."""
    return {worker.__name__: worker for worker in workers}


def peak_bytes() -> int:
    """This program's own peak: a child's ru_maxrss begins at its parent's on Linux."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
