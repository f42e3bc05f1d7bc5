"""Progress bars for `on_step` callbacks: on a terminal, or in a notebook; silent elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

OnStep = Callable[[str, int, int], None]  # phase, step, total
SECONDS = 0.1  # between two pictures in a notebook


@contextmanager
def progress_bar(name: str = "") -> Iterator[OnStep]:
    """Gives a callback `on_step(phase, step, total)` that moves a bar, one bar per phase."""
    console = Console(stderr=True)
    if console.is_jupyter:
        yield _in_notebook(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}

        def on_step(phase: str, step: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(" ".join(filter(None, (name, phase))))
            progress.update(tasks[phase], completed=step, total=total)

        yield on_step


def _in_notebook(name: str) -> OnStep:
    """Bars as HTML, drawn over: no widgets, which a notebook may lack."""
    from IPython.display import HTML, display  # which a notebook brings

    bars: dict[str, str] = {}
    handle = display(HTML(""), display_id=True)
    drawn = 0.0

    def on_step(phase: str, step: int, total: int) -> None:
        nonlocal drawn
        words = escape(" ".join(filter(None, (name, phase))))
        bar = f'<progress value="{step}" max="{total}"></progress>'
        bars[phase] = f"<div>{words} {bar} {step}/{total}</div>"
        if time.monotonic() - drawn >= SECONDS or step == total:
            drawn = time.monotonic()
            handle.update(HTML("".join(bars.values())))

    return on_step


def both(one: OnStep, other: OnStep) -> OnStep:
    """One callback that calls two."""

    def on_step(phase: str, step: int, total: int) -> None:
        one(phase, step, total)
        other(phase, step, total)

    return on_step
