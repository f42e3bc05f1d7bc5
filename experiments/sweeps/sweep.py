"""A sweep over a grid: one task after another here, or several at once elsewhere.

One failing task does not end the others; what waits for it fails with it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from experiments.sweeps.tasks import Failure, Options, Show, Task, attempt


class Slots(NamedTuple):
    """Somewhere else to do tasks: `start(slot, task)`, and `wait()` for what has ended meanwhile.

    `wait` gives the slots that are free again, each with its task's failure or None, and returns
    now and then without any.
    """

    start: Callable[[int, Task], None]
    wait: Callable[[], list[tuple[int, Failure | None]]]


def sweep_here(tasks: list[Task], options: Options, show: Show) -> list[Failure]:
    """Do the tasks in this process, one after another; what failed."""
    failures: dict[str, Failure] = {}
    for task in tasks:
        failure = _blocked(task, failures)
        if failure is None:
            show.started(task)
            failure = attempt(task, options, _watcher(task, show))
        if failure is not None:
            failures[task.key] = failure
        show.finished(task, failure)
    return list(failures.values())


def _watcher(task: Task, show: Show) -> Callable[[str, int, int], None]:
    return lambda phase, step, total: show.stepped(task.key, phase, step, total)


def sweep_in(
    slots: AbstractContextManager[Slots], count: int, tasks: list[Task], show: Show
) -> list[Failure]:
    """Do the tasks in `count` slots, each as soon as what it needs is done; what failed."""
    failures: dict[str, Failure] = {}
    pending, running = list(tasks), dict[int, Task]()
    with slots as (start, wait):
        while pending or running:
            for task in list(pending):
                failure = _blocked(task, failures)
                if failure is not None:
                    pending.remove(task)
                    failures[task.key] = failure
                    show.finished(task, failure)
            for slot in (slot for slot in range(count) if slot not in running):
                ready = _next_ready(pending, running)
                if ready is None:
                    break
                pending.remove(ready)
                running[slot] = ready
                show.started(ready)
                start(slot, ready)
            for slot, failure in wait() if running else []:
                task = running.pop(slot)
                if failure is not None:
                    failures[task.key] = failure
                show.finished(task, failure)
    return list(failures.values())


def _next_ready(pending: list[Task], running: dict[int, Task]) -> Task | None:
    """The first task that waits for nothing which is pending or running."""
    undone = {task.key for task in (*pending, *running.values())}
    return next((task for task in pending if task.needs not in undone), None)


def _blocked(task: Task, failures: dict[str, Failure]) -> Failure | None:
    if task.needs not in failures:
        return None
    return Failure(task.title, f"its search {task.needs} failed")
