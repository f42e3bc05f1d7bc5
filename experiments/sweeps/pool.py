"""Worker processes on this machine, each with its share of the cores.

Workers are spawned, live through some tasks, and die with their parent, however that dies. A worker
that dies fails its task only, and another one takes its place. The terminal's Ctrl-C reaches the
parent alone, which asks the workers once to stop: each ends its step and writes a checkpoint.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from experiments.runs.cores import available, narrowed, share
from experiments.sweeps.sweep import Slots
from experiments.sweeps.tasks import Failure, Options, Show, Task, attempt
from pmf.errors import Interrupted
from pmf.fitting.signals import signals_noted

POLL = 0.3  # seconds between looks at whether a signal came
BETWEEN_STEPS = 0.2  # seconds between two messages of progress
# A compiled program takes memory maps, some hundreds a task; Linux gives a process 65,530.
MOST_TASKS = 32


class Worker(NamedTuple):
    process: Any
    connection: Connection


@contextmanager
def pool(jobs: int, options: Options, show: Show) -> Iterator[Slots]:
    """`jobs` worker processes as slots.

    Raises `Interrupted` after SIGINT or SIGTERM, when every worker has stopped.
    """
    workers: dict[int, Worker] = {}
    served: dict[int, int] = {}  # tasks of a slot's worker
    busy: dict[int, Task] = {}
    with signals_noted() as caught:

        def start(slot: int, task: Task) -> None:
            if slot in workers and served[slot] == MOST_TASKS:
                _retire(workers.pop(slot))
            if slot not in workers or not workers[slot].process.is_alive():
                workers[slot], served[slot] = _start(slot, jobs, options), 0
            served[slot] += 1
            busy[slot] = task
            workers[slot].connection.send(task)

        def finished() -> list[tuple[int, Failure | None]]:
            by_connection = {workers[slot].connection: slot for slot in busy}
            ended = []
            for connection in wait(list(by_connection), POLL):
                slot = by_connection[connection]  # type: ignore[index]
                ended += _heard(slot, workers, busy, show)
            if caught.signum is not None:
                _stop(list(workers.values()))
                name = signal.Signals(caught.signum).name
                raise Interrupted(
                    f"stopped by {name}; go on with the same command and --resume", caught.signum
                )
            return ended

        try:
            yield Slots(start, finished)
        finally:
            for worker in workers.values():
                worker.process.terminate()
                worker.process.join()


def _heard(
    slot: int, workers: dict[int, Worker], busy: dict[int, Task], show: Show
) -> list[tuple[int, Failure | None]]:
    """One message of a worker; or that there will be none, because its process has ended."""
    worker, task = workers[slot], busy[slot]
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        del workers[slot], busy[slot]
        code = worker.process.exitcode
        hint = "; out of memory, perhaps: try fewer --jobs" if code == -signal.SIGKILL else ""
        return [(slot, Failure(task.title, f"its process ended with code {code}{hint}"))]
    match message:
        case (phase, step, total):
            show.stepped(task.key, phase, step, total)
            return []
        case [failure]:
            del busy[slot]
            return [(slot, failure)]
        case other:
            raise ValueError(f"{other!r}: no message of a worker")


def _retire(worker: Worker) -> None:
    """Let a worker that has nothing to do end."""
    worker.connection.close()
    worker.process.join()


def _stop(workers: list[Worker]) -> None:
    """Ask each to stop, once, and wait: a second signal would end it without a checkpoint."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join()


def _start(slot: int, jobs: int, options: Options) -> Worker:
    """A new worker. A process takes over its parent's cores, so these are narrowed for a moment."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, options), daemon=True)
    before = dict(os.environ)
    # Each may have its share of an accelerator's memory; JAX takes three quarters unasked.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / jobs:.3f}")
    try:
        with narrowed(share(available(), slot, jobs)):
            process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    theirs.close()
    return Worker(process, ours)


def _serve(connection: Connection, options: Options) -> None:
    """A worker's life: tasks in, progress and results out, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send([attempt(task, options, _teller(connection))])


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _teller(connection: Connection):
    """Progress to the parent, not more often than anyone can read."""
    last = [0.0]

    def on_step(phase: str, step: int, total: int) -> None:
        now = time.monotonic()
        if now - last[0] >= BETWEEN_STEPS or step == total:
            last[0] = now
            connection.send((phase, step, total))

    return on_step
