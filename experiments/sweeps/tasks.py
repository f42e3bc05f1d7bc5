"""What a sweep has to do: searches and runs, in an order in which each finds what it needs."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from experiments.config.identity import Point
from experiments.runs import tune
from experiments.runs.execute import execute
from experiments.runs.folders import checkpoints_of
from experiments.systems.base import OnStep
from experiments.systems.registry import check_code
from pmf.errors import InputError, NotFiniteError
from pmf.fitting.checkpoint import holds_checkpoints


class Options(NamedTuple):
    """How a sweep is run; none of it changes a number."""

    folder: Path  # runs/EXPERIMENT
    resume: bool = False
    checkpoint_minutes: float = 5.0


class Task(NamedTuple):
    """A search, or a run and the search that it waits for."""

    key: str  # a run's or a search's identity
    is_search: bool
    needs: str | None
    point: Point

    @property
    def title(self) -> str:
        what = "tuning" if self.is_search else "run"
        return " ".join(filter(None, (what, self.key, self.point.title)))


class Failure(NamedTuple):
    """A task that failed: one line, and for what nobody foresaw the traceback."""

    title: str
    message: str
    details: str = ""


class Show(NamedTuple):
    """Who watches a sweep is told of a task's key, and what became of it."""

    started: Callable[[Task], None]
    stepped: Callable[[str, str, int, int], None]  # key, phase, step, total
    finished: Callable[[Task, Failure | None], None]


def tasks_of(points: list[Point], folder: Path) -> list[Task]:
    """What is left to do: each search once, before the first run that waits for it.

    A finished run needs nothing; nor does a finished search.
    """
    tasks: dict[str, Task] = {}
    for point in points:
        if (folder / point.id).is_dir():
            continue
        study = point.study
        if study is not None and tune.result_file(folder, study).is_file():
            study = None
        if study is not None and study not in tasks:
            tasks[study] = Task(study, True, None, point)
        tasks[point.id] = Task(point.id, False, study, point)
    return list(tasks.values())


def check_resumable(tasks: list[Task], options: Options) -> None:
    """Raise `InputError` where runs left checkpoints and nobody said what to do with them."""
    left = [
        task.key
        for task in tasks
        if not task.is_search and holds_checkpoints(checkpoints_of(options.folder / task.key))
    ]
    if left and not options.resume:
        few = ", ".join(left[:3]) + ", ..." * (len(left) > 3)
        raise InputError(
            f"{options.folder}: {len(left)} interrupted runs left checkpoints ({few}); go on from "
            "them with --resume, or remove them with `python -m experiments clean`"
        )


def perform(task: Task, options: Options, on_step: OnStep) -> None:
    """Do one task. Raises `InputError` where the system's file is not what the task names."""
    folder, point = options.folder, task.point
    check_code(point.config.system, point.code)
    if task.is_search:
        tune.search(point, folder, on_step)
        return
    found = tune.found(folder, point.study) if point.study else None
    execute(point, folder / point.id, on_step, options.resume, found, options.checkpoint_minutes)


def attempt(task: Task, options: Options, on_step: OnStep) -> Failure | None:
    """Do one task; a failure is returned, so that it does not end the others."""
    try:
        perform(task, options, on_step)
    except (InputError, NotFiniteError, OSError) as error:
        return Failure(task.title, str(error))
    except Exception as error:
        return Failure(task.title, f"{type(error).__name__}: {error}", traceback.format_exc())
    return None
