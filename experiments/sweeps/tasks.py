"""What a sweep has to do: searches and runs, in an order in which each finds what it needs."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from experiments.config.identity import Point
from experiments.runs import tune
from experiments.runs.execute import execute
from experiments.runs.folders import checkpoints_of, lock_of, opened
from experiments.systems.base import OnStep
from experiments.systems.registry import check_code
from pmf.errors import InputError, NotFiniteError
from pmf.fitting.checkpoint import holds_checkpoints
from pmf.io.locks import Busy, holder_of


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
    place: Path  # the run's folder, or the search's result

    @property
    def holder(self) -> str | None:
        """The process that works on it, if there is one."""
        return holder_of(lock_of(self.place))

    @property
    def title(self) -> str:
        what = "tuning" if self.is_search else "run"
        return " ".join(filter(None, (what, self.key, self.point.title)))


class Failure(NamedTuple):
    """A task that failed: one line, and for what nobody foresaw the traceback."""

    title: str
    message: str
    details: str = ""


class Elsewhere(NamedTuple):
    """What became of a task that another process works on: it is looked at again."""

    holder: str


Result = Failure | Elsewhere | None  # None: it is done


class Show(NamedTuple):
    """Who watches a sweep is told of a task's key, and what became of it."""

    started: Callable[[Task], None]
    stepped: Callable[[str, str, int, int], None]  # key, phase, step, total
    finished: Callable[[Task, Failure | None], None]
    busy: Callable[[Task, str], None] = lambda task, holder: None  # by another process


def tasks_of(points: list[Point], folder: Path) -> list[Task]:
    """What is left to do: each search once, before the first run that waits for it.

    A finished run needs nothing; nor does a finished search. Raises `InputError` naming a file of
    either that is not as it was written.
    """
    tasks: dict[str, Task] = {}
    for point in points:
        place, study = folder / point.id, point.study
        if place.exists():
            opened(place)
            continue
        if study is not None and tune.result_file(folder, study).exists():
            tune.search_result(folder, study)
            study = None
        if study is not None and study not in tasks:
            tasks[study] = Task(study, True, None, point, tune.result_file(folder, study))
        tasks[point.id] = Task(point.id, False, study, point, place)
    return list(tasks.values())


def check_resumable(tasks: list[Task], options: Options) -> None:
    """Raise `InputError` where runs left checkpoints and nobody said what to do with them.

    Those of a run that another process works on are not left.
    """
    left = [
        task.key
        for task in tasks
        if not task.is_search
        and holds_checkpoints(checkpoints_of(task.place))
        and task.holder is None
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
    search = tune.search_result(folder, point.study) if point.study else None
    execute(point, task.place, on_step, options.resume, search, options.checkpoint_minutes)


def attempt(task: Task, options: Options, on_step: OnStep) -> Result:
    """Do one task; a failure is returned, so that it does not end the others."""
    try:
        perform(task, options, on_step)
    except Busy as error:
        return Elsewhere(error.holder)
    except (InputError, NotFiniteError, OSError) as error:
        return Failure(task.title, str(error))
    except Exception as error:
        return Failure(task.title, f"{type(error).__name__}: {error}", traceback.format_exc())
    return None
