"""What a person sees of a sweep, on standard error: bars on a terminal, else plain lines."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from experiments.sweeps.tasks import Failure, Show, Task
from pmf.fitting.phases import duration


@contextmanager
def display(name: str, tasks: list[Task], slots: int) -> Iterator[Show]:
    """Watches a sweep of these tasks: which are under way, how many are done, the time left."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(name, tasks, slots, console) as show:
            yield show
    else:
        yield _lines(name, tasks, slots)


class Clock:
    """How long a sweep still takes: as its finished runs did, searches and runs apart."""

    def __init__(self, tasks: list[Task], slots: int):
        self.left = {True: 0, False: 0}
        for task in tasks:
            self.left[task.is_search] += 1
        self.spent: dict[bool, list[float]] = {True: [], False: []}
        self.begun: dict[str, float] = {}
        self.slots = slots

    def start(self, task: Task) -> None:
        self.begun[task.key] = time.monotonic()

    def end(self, task: Task) -> float:
        """Its seconds."""
        now = time.monotonic()
        seconds = now - self.begun.pop(task.key, now)
        self.left[task.is_search] -= 1
        self.spent[task.is_search].append(seconds)
        return seconds

    def seconds_left(self) -> float | None:
        """An estimate, or None before anything like it has been seen."""
        total = 0.0
        for kind, count in self.left.items():
            if count and not self.spent[kind]:
                return None
            total += count * sum(self.spent[kind]) / max(1, len(self.spent[kind]))
        return total / max(1, min(self.slots, sum(self.left.values())))


def in_words(seconds: float | None) -> str:
    """A time left; nothing where it is unknown or over."""
    return f"about {duration(seconds)} left" if seconds else ""


def _lines(name: str, tasks: list[Task], slots: int) -> Show:
    clock, total = Clock(tasks, slots), len(tasks)

    def finished(task: Task, failure: Failure | None) -> None:
        seconds = clock.end(task)
        count = total - sum(clock.left.values())
        what = f"FAILED: {failure.message}" if failure else f"{seconds:.1f} s"
        left = in_words(clock.seconds_left())
        line = ", ".join(filter(None, (what, left)))
        print(f"{name} {count}/{total}: {task.title}: {line}", file=sys.stderr, flush=True)

    def busy(task: Task, holder: str) -> None:
        print(f"{name}: {_left_to(task, holder)}", file=sys.stderr, flush=True)

    return Show(clock.start, lambda key, phase, step, total: None, finished, busy)


def _left_to(task: Task, holder: str) -> str:
    return f"{task.title} is left to {holder}; its result is waited for"


@contextmanager
def _bars(name: str, tasks: list[Task], slots: int, console: Console) -> Iterator[Show]:
    clock = Clock(tasks, slots)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        whole = progress.add_task(name, total=len(tasks), note="")
        bars: dict[str, Any] = {}

        def started(task: Task) -> None:
            clock.start(task)
            bars[task.key] = progress.add_task(f"  {task.title}", total=None, note="")

        def stepped(key: str, phase: str, step: int, total: int) -> None:
            if key in bars:
                progress.update(bars[key], completed=step, total=total, note=phase)

        def finished(task: Task, failure: Failure | None) -> None:
            clock.end(task)
            if task.key in bars:
                progress.remove_task(bars.pop(task.key))
            if failure is not None:
                console.print(f"{task.title} FAILED: {failure.message}", markup=False)
            progress.update(whole, advance=1, note=in_words(clock.seconds_left()))

        def busy(task: Task, holder: str) -> None:
            if task.key in bars:
                progress.remove_task(bars.pop(task.key))
            console.print(_left_to(task, holder), markup=False)

        yield Show(started, stepped, finished, busy)
