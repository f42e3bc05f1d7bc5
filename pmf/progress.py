"""A progress bar for `on_step` callbacks; silent where standard error is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(name: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """Gives a callback `on_step(phase, step, total)` that moves a bar, one bar a phase."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}

        def on_step(phase: str, step: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(" ".join(filter(None, (name, phase))))
            progress.update(tasks[phase], completed=step, total=total)

        yield on_step
