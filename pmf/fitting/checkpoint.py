"""Checkpoints of a run: a folder from which the run resumes bit for bit.

    FOLDER/00000120-0f3a90b17c55d2e8.pmf-state   a checkpoint: all that the run knew after step 120
    FOLDER/00000120-88c1e2d90a7b6f34.pmf-draws   the draws kept since the checkpoint before it
    FOLDER/.pmf.lock                             while a fit writes there

Each file is sealed (`pmf.io.sealed`): one that a crash or a bad disk has spoilt is never loaded,
and what else lies in the folder stays. The last few checkpoints are kept. Draws are not part of one
because writing all of them again each time would cost the square of their number: later checkpoints
refer to their files. Of a job of several processes the first one writes.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pmf.errors import InputError
from pmf.io import sealed
from pmf.io.locks import only_writer
from pmf.io.pytrees import Named, put_together, take_apart
from pmf.io.sealed import DAMAGE, Facts, step_of

FORMAT = 2
PROGRAM = "programs that steps compile to"
MANY = 5  # differences to another run that are told
STATE, DRAWS, PROBE = ".pmf-state", ".pmf-draws", ".pmf-probe"


@dataclass(frozen=True)
class Checkpoints:
    """A run's checkpoints: their folder, how often, how many to keep, and whether to resume.

    One is written after every `every_steps` steps and as soon as `every_minutes` have passed since
    the last, whichever comes first (None: not by that), and at SIGINT or SIGTERM. `resume` goes on
    from the newest whole checkpoint; in an empty folder it starts the run.
    """

    folder: str | Path
    every_steps: int | None = None
    every_minutes: float | None = 5.0
    keep: int = 3
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_minutes", "keep"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"checkpoints: {name}={value} must be above 0")


def holds_checkpoints(folder: Path) -> bool:
    """Whether there is any, whole or not, of a run that took a step."""
    return any(step_of(path) for path in sealed.named(folder, STATE))


def remove_checkpoints(folder: Path) -> None:
    """Remove what fits wrote to a folder, and the folder itself where nothing else is in it.

    Raises `Busy` where one is writing.
    """
    if folder.is_dir():
        with only_writer(folder, "removal"):
            sealed.remove(sealed.named(folder))
            sealed.remove_unfinished(folder)
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def claimed(checkpoints: Checkpoints | None) -> Iterator[None]:
    """Make the folder and lock it for writing, before the work.

    Raises `InputError` where it cannot be written, another process writes to it, or it holds
    checkpoints that nobody asked to resume.
    """
    if checkpoints is None:
        yield
        return
    folder = Path(checkpoints.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot keep checkpoints in {folder} ({error.strerror})") from error
    with only_writer(folder, "fit") if _is_first() else nullcontext():
        if (folder / "steps").is_dir() and (folder / "run.json").is_file():
            raise InputError(
                f"{folder} holds the checkpoints of an earlier pmf, which this one cannot read; "
                "name another folder, or resume with that version"
            )
        if not checkpoints.resume and holds_checkpoints(folder):
            raise InputError(
                f"{folder} holds the checkpoints of a run; resume it, or remove the folder to "
                "start again"
            )
        if _is_first():
            sealed.write(folder, 0, PROBE, {}, {})
            sealed.remove(sealed.named(folder, PROBE))
            sealed.remove_unfinished(folder)
        yield


class Checkpoint(NamedTuple):
    """What a checkpoint holds. `arrays` and each of `draws` are pytrees."""

    arrays: Any
    facts: Facts
    draws: list[Any]


class CheckpointFolder:
    """One run's folder, `claimed`. `fingerprint` names everything that fixes the run's numbers.

    With `resume`, the newest whole checkpoint is read; each that is damaged gives a warning.
    Raises `InputError` where none is whole, or it is of another run.
    """

    def __init__(self, checkpoints: Checkpoints, fingerprint: Facts):
        self.settings, self.fingerprint = checkpoints, {"checkpoint format": FORMAT, **fingerprint}
        self.path = Path(checkpoints.folder)
        self.last_time = time.monotonic()
        self.found = self._newest_whole() if checkpoints.resume else None
        self.notes: Facts = self.found.content["notes"] if self.found else {}
        self.draws: list[str] = self.found.content["draws"] if self.found else []  # names of files
        if _is_first():  # the run writes again what is later, and damaged ones would be in its way
            sealed.remove(self._later())

    def note(self, facts: Facts, at_once: bool = True) -> None:
        """Keep facts with the checkpoints, before the first: they are in `notes` after a resume.

        `at_once` they are a checkpoint themselves, of step 0.
        """
        self.notes |= facts
        if at_once:
            self._save_state(0, {}, {})

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after `step`."""
        steps, minutes = self.settings.every_steps, self.settings.every_minutes
        passed = time.monotonic() - self.last_time
        return bool((steps and step % steps == 0) or (minutes and passed >= 60 * minutes))

    def save(self, step: int, arrays: Any, facts: Facts, draws: list[Any]) -> None:
        """Write a checkpoint: after it returns, a run can resume from it.

        `draws` are those kept since the last one: pytrees alike, with a leading axis of draws.
        Raises `InputError` where the system refuses, as for a full disk; the last one is intact.
        """
        if draws:
            parts = [take_apart(draw) for draw in draws]
            stack = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            self._write(step, DRAWS, {}, stack)
        self._save_state(step, facts, take_apart(arrays))
        self.last_time = time.monotonic()

    def _save_state(self, step: int, facts: Facts, arrays: Named) -> None:
        content = {
            "fingerprint": self.fingerprint,
            "notes": self.notes,
            "draws": self.draws,
            "facts": facts,
        }
        self._write(step, STATE, content, arrays)
        if _is_first():
            states = filter(sealed.is_ours, sealed.named(self.path, STATE))
            sealed.remove(list(states)[self.settings.keep :])

    def _write(self, step: int, kind: str, content: Facts, arrays: Named) -> None:
        if not _is_first():
            return
        try:
            path = sealed.write(self.path, step, kind, content, arrays)
        except InputError as error:
            raise InputError(
                f"{error}; free some space or fix the folder, and resume: the checkpoints before "
                "are whole"
            ) from error
        if kind == DRAWS:
            self.draws.append(path.name)

    def load(self, program: str | None, arrays_like: Any, draw_like: Any) -> Checkpoint | None:
        """The checkpoint that was found, or None where the run is to start.

        `program` completes the fingerprint: a digest of the compiled step, where there is one that
        must be the same. The trees of the result have the structure, types and placement of
        `arrays_like` and `draw_like`. Raises `InputError` where it is of another program, or the
        processes of a job found different ones.
        """
        if program is not None:
            self.fingerprint[PROGRAM] = program
        saved, self.found = self.found, None  # which frees it
        step = step_of(saved.path) if saved else 0
        if (on_all(step), on_all(-step)) != (step, -step):
            raise InputError(
                f"{self.path}: the job's processes do not all see the same checkpoints"
            )
        if saved is None or step == 0:
            return None
        self._check_same(saved.content["fingerprint"])
        tree, names = jax.tree.structure(draw_like), take_apart(draw_like)
        draws = [jax.tree.unflatten(tree, [part[name] for name in names]) for part in saved.draws]
        return Checkpoint(put_together(arrays_like, saved.arrays), saved.content["facts"], draws)

    def _newest_whole(self) -> "_Read | None":
        damaged: list[int] = []
        for path in sealed.named(self.path, STATE):
            try:
                return self._read_state(path)
            except _OtherRun:
                raise
            except DAMAGE as error:
                message = f"{path}: this checkpoint is damaged ({_line(error)})"
                warnings.warn(message, stacklevel=2)
                damaged.append(step_of(path))
        if any(damaged):
            raise InputError(
                f"{self.path}: every checkpoint is damaged; remove the folder to start again"
            )
        return None

    def _read_state(self, path: Path) -> "_Read":
        content, arrays = sealed.read(path)
        self._check_same(content["fingerprint"])
        return _Read(
            path, content, arrays, [sealed.read(self.path / x)[1] for x in content["draws"]]
        )

    def _check_same(self, facts: Facts) -> None:
        names = [name for name in self.fingerprint if facts.get(name) != self.fingerprint[name]]
        if PROGRAM not in facts and PROGRAM in names:
            names.remove(PROGRAM)  # written on a mesh, or before the run compiled anything
        if names:
            changes = [_change(n, facts.get(n), self.fingerprint[n]) for n in names[:MANY]]
            changes += [f"and {len(names) - MANY} more"] if len(names) > MANY else []
            raise _OtherRun(
                f"{self.path} holds the checkpoints of another run: {'; '.join(changes)}. Resume "
                "with what it was started with (numbers are the same bit for bit only then), or "
                "name another folder"
            )

    def _later(self) -> list[Path]:
        """What the run has yet to write: all but the checkpoint found, older ones, and draws."""
        states = sealed.named(self.path, STATE)
        if self.found is not None:
            states = states[: states.index(self.found.path)]
        return states + [
            path for path in sealed.named(self.path, DRAWS) if path.name not in self.draws
        ]


class _Read(NamedTuple):
    """A checkpoint's parts, every one as it was written."""

    path: Path
    content: Facts
    arrays: Named
    draws: list[Named]


class _OtherRun(InputError):
    """The checkpoints are whole, but of another run: nothing to fall back from."""


def on_all(number: int) -> int:
    """The largest number of all processes of a job."""
    if jax.process_count() == 1:
        return number
    from jax.experimental.multihost_utils import process_allgather

    return int(process_allgather(np.array(number)).max())


def _is_first() -> bool:
    return jax.process_index() == 0


def _change(name: str, before: Any, now: Any) -> str:
    """One difference between two fingerprints; of long digests only that they differ."""
    if isinstance(now, str) and len(now) == 64:
        return f"the {name} differ"
    return f"{name} was {before!r}, is {now!r}"


def _line(error: Exception) -> str:
    """The beginning of an error's message."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
