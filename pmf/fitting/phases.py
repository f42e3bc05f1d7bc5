"""The phases of a fit: each is named to whoever watches while it lasts, and timed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

OnStep = Callable[[str, int, int], None]  # phase, step, total


class Words(NamedTuple):
    """How a phase is called while it lasts, and afterwards."""

    now: str
    past: str


PHASES = {
    "reading": Words("reading", "read"),
    "layout": Words("laying out", "laid out"),
    "search": Words("choosing the prior", "chose the prior"),
    "compilation": Words("compiling", "compiled"),
}
SWEEPS, REST = "sweeps", "rest"  # the time in steps; and that of held-out scores and checkpoints


def no_progress(phase: str, step: int, total: int) -> None:
    """Ignores progress."""


class Clock:
    """Times a fit from when it is made, and tells `on_step` of each phase's two ends.

    What happens within a phase may tell `on_step` more, the phase's name and what it is:
    `on_step("choosing the prior: candidate 2", 3, 20)`, for 20 sweeps at the most.
    """

    def __init__(self, on_step: OnStep = no_progress):
        self.on_step, self.begin = on_step, time.perf_counter()
        self.spent: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times one of `PHASES`; a second time is added to the first."""
        self.on_step(PHASES[name].now, 0, 1)
        begin = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - begin)
        self.on_step(PHASES[name].now, 1, 1)

    def add(self, name: str, seconds: float) -> None:
        """Counts seconds that passed in a phase."""
        self.spent[name] = self.spent.get(name, 0.0) + seconds

    def resume(self, seconds: float) -> None:
        """Counts sweeps that an earlier process took, and so that time into the whole."""
        self.add(SWEEPS, seconds)
        self.begin -= seconds

    def seconds(self) -> dict[str, float]:
        """By phase, in their order, and the rest: together all since the beginning."""
        whole = time.perf_counter() - self.begin
        spent = {name: self.spent[name] for name in (*PHASES, SWEEPS) if name in self.spent}
        return spent | {REST: max(0.0, whole - sum(spent.values()))}


def phases_in_words(phases: dict[str, float], sweeps: str) -> str:
    """`read 4.1 s · laid out 1.2 s · 12 sweeps 8.9 s · the rest 0.3 s`; `sweeps` is "12 sweeps"."""
    past = {name: words.past for name, words in PHASES.items()} | {
        SWEEPS: sweeps,
        REST: "the rest",
    }
    return " · ".join(f"{past[name]} {duration(x, 1)}" for name, x in phases.items())


def duration(seconds: float, digits: int = 0) -> str:
    """A time in the unit that suits it, seconds with so many digits."""
    minutes = seconds / 60
    if minutes < 1.5:
        return f"{seconds:.{digits}f} s"
    return f"{minutes:.{digits}f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
