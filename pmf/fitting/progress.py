"""Progress of a fit for people: on a terminal, or in a notebook; silent elsewhere."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from pmf.fitting.phases import OnStep, duration

SECONDS = 0.1  # between two pictures in a notebook


class Watch:
    """Follows a fit's phases by `on_step`, and says of each how far it is.

    They are tasks of a `Progress` of rich's, which knows each one's time, and pace over all of it.
    """

    def __init__(self, progress: Progress | None = None, name: str = ""):
        self.progress = progress or Progress(disable=True)
        self.progress.speed_estimate_period = math.inf
        self.name, self.phase = name, ""

    def on_step(self, phase: str, step: int, total: int) -> None:
        """A phase that was not told of before follows the one before, which is over. What happens
        within one, `phase: what`, stays on its line.
        """
        words, phase = " ".join(filter(None, (self.name, phase))), phase.partition(": ")[0]
        if phase != self.phase:
            self.end()
            self.progress.add_task(words, total=None)
            self.phase = phase
        self.progress.update(self._last.id, description=words)
        if total > 1:  # else it has but two ends
            self.progress.update(self._last.id, completed=step, total=total)

    def end(self) -> None:
        """The phase under way is over, perhaps before all of its steps."""
        if self.progress.tasks:
            done = max(1.0, self._last.completed)
            self.progress.update(self._last.id, completed=done, total=done)

    @property
    def _last(self) -> Task:
        return self.progress.tasks[-1]

    def in_words(self) -> str:
        """The phase under way and its state: `als, 12/100, 8 s, at most 59 s left`."""
        return f"{self._last.description}, {state_of(self._last)}"


def state_of(task: Task) -> str:
    """`12/100, 8 s, at most 59 s left`; without steps where they are not counted, and without the
    time left where the phase is over, or before two steps have shown the pace.

    It is a bound: a fit may stop before its last step.
    """
    words = [duration(task.finished_time or task.elapsed or 0.0)]
    if task.total is not None and task.total > 1:
        words.insert(0, f"{task.completed:.0f}/{task.total:.0f}")
    if task.time_remaining:
        words.append(f"at most {duration(task.time_remaining)} left")
    return ", ".join(words)


class StateColumn(ProgressColumn):
    """The state of a phase, in words."""

    def render(self, task: Task) -> Text:
        return Text(state_of(task))


@contextmanager
def progress_bar(name: str = "") -> Iterator[OnStep]:
    """Gives a callback `on_step(phase, step, total)` that moves a bar, one bar per phase."""
    console = Console(stderr=True)
    if console.is_jupyter:
        yield _in_notebook(name)
        return
    columns = TextColumn("{task.description}"), BarColumn(), StateColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        watch = Watch(progress, name)
        yield watch.on_step
        watch.end()


def _in_notebook(name: str) -> OnStep:
    """Bars as HTML, drawn over: no widgets, which a notebook may lack."""
    from IPython.display import HTML, display  # which a notebook brings

    watch, handle, drawn = Watch(name=name), display(HTML(""), display_id=True), 0.0

    def bar(task: Task) -> str:
        filled = f' value="{task.completed:.0f}" max="{task.total:.0f}"' if task.total else ""
        words = escape(task.description)
        return f"<div>{words} <progress{filled}></progress> {state_of(task)}</div>"

    def on_step(phase: str, step: int, total: int) -> None:
        nonlocal drawn
        watch.on_step(phase, step, total)
        if time.monotonic() - drawn >= SECONDS or step in (0, total):
            drawn = time.monotonic()
            handle.update(HTML("".join(map(bar, watch.progress.tasks))))

    return on_step


def both(one: OnStep, other: OnStep) -> OnStep:
    """One callback that calls two."""

    def on_step(phase: str, step: int, total: int) -> None:
        one(phase, step, total)
        other(phase, step, total)

    return on_step
