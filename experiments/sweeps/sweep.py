"""A sweep over a grid: one task after another here, or several at once elsewhere.

One failing task does not end the others; what waits for it fails with it. What another process
works on is left to it, and looked at again: its result is there then, or it has gone.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from experiments.runs.folders import POLL
from experiments.sweeps.tasks import Elsewhere, Failure, Options, Result, Show, Task, attempt


class Slots(NamedTuple):
    """Somewhere to do tasks: `start(slot, task)`, and `wait()` for what has ended meanwhile.

    `wait` gives the slots that are free again, each with its task's result, and returns now and
    then without any.
    """

    start: Callable[[int, Task], None]
    wait: Callable[[], list[tuple[int, Result]]]


def sweep_here(tasks: list[Task], options: Options, show: Show) -> list[Failure]:
    """Do the tasks in this process, one after another; what failed."""
    return sweep_in(_here(options, show), 1, tasks, show)


@contextmanager
def _here(options: Options, show: Show) -> Iterator[Slots]:
    """This process as one slot: what is started is done."""
    ended: list[tuple[int, Result]] = []

    def start(slot: int, task: Task) -> None:
        def on_step(phase: str, step: int, total: int) -> None:
            show.stepped(task.key, phase, step, total)

        ended.append((slot, attempt(task, options, on_step)))

    def wait() -> list[tuple[int, Result]]:
        if not ended:
            time.sleep(POLL)
        return [ended.pop() for _ in range(len(ended))]

    yield Slots(start, wait)


def sweep_in(
    slots: AbstractContextManager[Slots], count: int, tasks: list[Task], show: Show
) -> list[Failure]:
    """Do the tasks in `count` slots, each as soon as what it needs is done; what failed."""
    failures: dict[str, Failure] = {}
    pending, running = list(tasks), dict[int, Task]()
    announced: set[str] = set()  # of tasks that another process works on

    def finished(task: Task, result: Result) -> None:
        if isinstance(result, Elsewhere):
            pending.append(task)
            show.busy(task, result.holder)
            return
        if result is not None:
            failures[task.key] = result
        show.finished(task, result)

    with slots as (start, wait):
        while pending or running:
            for task in list(pending):
                failure = _blocked(task, failures)
                if failure is not None:
                    pending.remove(task)
                    finished(task, failure)
            free = [slot for slot in range(count) if slot not in running]
            for slot, ready in zip(free, _ready(pending, running, show, announced), strict=False):
                pending.remove(ready)
                running[slot] = ready
                show.started(ready)
                start(slot, ready)
            for slot, result in wait() if pending or running else []:
                finished(running.pop(slot), result)
    return list(failures.values())


def _ready(
    pending: list[Task], running: dict[int, Task], show: Show, announced: set[str]
) -> Iterator[Task]:
    """The tasks that wait for nothing which is pending or running, nor for another process."""
    undone = {task.key for task in (*pending, *running.values())}
    for task in list(pending):
        if task.needs in undone:
            continue
        if (holder := task.holder) is None:
            yield task
        elif task.key not in announced:
            announced.add(task.key)
            show.busy(task, holder)


def _blocked(task: Task, failures: dict[str, Failure]) -> Failure | None:
    if task.needs not in failures:
        return None
    return Failure(task.title, f"its search {task.needs} failed")
