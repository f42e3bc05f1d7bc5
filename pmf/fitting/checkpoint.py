"""Checkpoints of a run: a folder from which the run goes on bit for bit.

    FOLDER/run.json          what run it is (its fingerprint), and the prior that was chosen for it
    FOLDER/steps/00000120/   one checkpoint, by Orbax: the arrays, and a JSON of everything else
    FOLDER/draws/...         kept draws, each written once; later checkpoints refer to them

A checkpoint is written beside its place and renamed, and the last few are kept. Every array, file
and JSON is checked against a sha256 when it is read: one that a crash or a bad disk has spoilt is
never loaded. Draws are not part of a checkpoint because writing all of them again each time would
cost the square of their number; a file of draws that no checkpoint refers to, left by a crash,
is removed.
"""

import json
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pmf.errors import InputError
from pmf.io.atomic import replacing
from pmf.io.pytrees import Named, digest, digest_of, put_together, seal, take_apart, unseal

FORMAT = 1
PROGRAM = "programs that steps compile to"
# What Orbax and TensorStore raise for a file that is missing, cut short or altered, or a full disk.
STORAGE_ERRORS = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)

Facts = dict[str, Any]  # what JSON can hold
Files = list[list[str]]  # of draws: name and sha256


@dataclass(frozen=True)
class Checkpoints:
    """Where a run's checkpoints go, how often, how many are kept, and whether to go on from them.

    One is written after every `every_steps` steps and as soon as `every_minutes` have passed since
    the last, whichever comes first (None: not by that), and at SIGINT or SIGTERM. `resume` goes on
    from the newest whole checkpoint; in an empty folder it starts the run.
    """

    folder: str | Path
    every_steps: int | None = None
    every_minutes: float | None = 5.0
    keep: int = 3
    resume: bool = False

    def __post_init__(self):
        for name in ("every_steps", "every_minutes", "keep"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"checkpoints: {name}={value} must be above 0")


def holds_checkpoints(folder: Path) -> bool:
    """Whether there is any, whole or not."""
    return any((folder / "steps").glob("*"))


class Checkpoint(NamedTuple):
    """What a checkpoint holds. `arrays` and each of `draws` are pytrees."""

    arrays: Any
    facts: Facts
    draws: list[Any]


class CheckpointFolder:
    """One run's folder. `fingerprint` names everything that fixes the run's numbers.

    Raises `InputError` where the folder cannot be written, holds checkpoints that nobody asked to
    resume, or belongs to another run.
    """

    def __init__(self, checkpoints: Checkpoints, fingerprint: Facts):
        self.plan, self.fingerprint = checkpoints, {"checkpoint format": FORMAT, **fingerprint}
        self.path = Path(checkpoints.folder)
        self.written: Files = []  # of all draws so far
        self.last_time = time.monotonic()
        try:
            for name in ("steps", "draws"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            if not checkpoints.resume and holds_checkpoints(self.path):
                raise InputError(
                    f"{self.path} holds the checkpoints of a run; resume it, or remove the folder "
                    "to start again"
                )
        except OSError as error:
            raise InputError(
                f"cannot keep checkpoints in {self.path} ({error.strerror})"
            ) from error
        self.notes: Facts = self._read_notes() if checkpoints.resume else {}
        self.note({})

    def note(self, facts: Facts) -> None:
        """Keep facts beside the checkpoints from now on: they are in `notes` after a resume."""
        self.notes |= facts
        content = {"fingerprint": self.fingerprint, "notes": self.notes}
        with replacing(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps(seal(content)))

    def _read_notes(self) -> Facts:
        path = self.path / "run.json"
        if not path.exists():
            return {}
        try:
            content = unseal(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{path} is damaged ({error}); what it noted is found again", stacklevel=2
            )
            return {}
        self._check_same(content["fingerprint"])
        return content["notes"]

    def _check_same(self, found: Facts) -> None:
        names = [name for name in self.fingerprint if found.get(name) != self.fingerprint[name]]
        if PROGRAM not in found and PROGRAM in names:
            names.remove(PROGRAM)  # written on a mesh, or before the run compiled anything
        if names:
            changes = "; ".join(_change(n, found.get(n), self.fingerprint[n]) for n in names)
            raise _OtherRun(
                f"{self.path} holds the checkpoints of another run: {changes}. Resume with what it "
                "was started with (numbers are the same bit for bit only then), or name another "
                "folder"
            )

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after `step`."""
        steps, minutes = self.plan.every_steps, self.plan.every_minutes
        passed = time.monotonic() - self.last_time
        return bool((steps and step % steps == 0) or (minutes and passed >= 60 * minutes))

    def save(self, step: int, arrays: Any, facts: Facts, draws: list[Any]) -> None:
        """Write a checkpoint: after it returns, `load` finds it.

        `draws` are those kept since the last one: pytrees alike, with a leading axis of draws.
        Raises `InputError` where the system refuses, as for a full disk; the last one is intact.
        """
        if draws:
            self._save_draws(step, draws)
        named = take_apart(arrays)
        content = {
            "fingerprint": self.fingerprint,
            "arrays": {name: digest(array) for name, array in named.items()},
            "draws": self.written,
            "facts": facts,
        }
        # Orbax refuses arrays of no size; `put_together` needs none.
        self._save_step(step, {n: x for n, x in named.items() if x.size}, seal(content))
        self.last_time = time.monotonic()

    def _save_draws(self, step: int, draws: list[Any]) -> None:
        parts = [take_apart(draw) for draw in draws]
        content = save({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        path = self.path / "draws" / f"{step:08d}.safetensors"
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        self.written.append([path.name, digest_of(content)])

    def _save_step(self, step: int, named: Named, content: dict[str, str]) -> None:
        import orbax.checkpoint as ocp  # heavy, and not every run has checkpoints

        items = ocp.args.Composite(
            arrays=ocp.args.PyTreeSave(named), content=ocp.args.JsonSave(content)
        )
        try:
            with self._steps() as steps:
                steps.save(step, args=items)
        except STORAGE_ERRORS as error:
            for unfinished in (self.path / "steps").glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            raise InputError(
                f"cannot write a checkpoint of step {step} to {self.path}: {_line(error)}; free "
                "some space or mend the folder, and resume"
            ) from error

    @contextmanager
    def _steps(self) -> Iterator[Any]:
        """Orbax's manager for one operation; opening it removes what a crash left half-written."""
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(
            max_to_keep=self.plan.keep,
            step_format_fixed_length=8,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=False,
        )
        with ocp.CheckpointManager((self.path / "steps").absolute(), options=options) as manager:
            yield manager

    def load(self, program: str | None, arrays_like: Any, draw_like: Any) -> Checkpoint | None:
        """The newest whole checkpoint, or None in an empty folder.

        `program` completes the fingerprint: a digest of the compiled step, where there is one that
        must be the same. The trees of the result
        have the structure, types and placement of `arrays_like` and `draw_like`. A damaged
        checkpoint is removed with a warning, and the one before it is tried. Raises `InputError`
        where none is left, or they are of another run.
        """
        if program is not None:
            self.fingerprint[PROGRAM] = program
        found = self._newest_whole(arrays_like, draw_like) if self.plan.resume else None
        self.written = found.content["draws"] if found else []
        kept = {name for name, _ in self.written}
        for file in (self.path / "draws").iterdir():
            if file.name not in kept:  # later than the checkpoint: the run makes them again
                file.unlink()
        if found is None:
            return None
        return Checkpoint(
            put_together(arrays_like, found.arrays), found.content["facts"], found.draws
        )

    def _newest_whole(self, arrays_like: Any, draw_like: Any) -> "_Read | None":
        damaged: list[int] = []
        with self._steps() as steps:
            for step in sorted(steps.all_steps(), reverse=True):
                try:
                    found = self._read_step(steps, step, arrays_like, draw_like)
                except _OtherRun:
                    raise
                except STORAGE_ERRORS as error:
                    message = f"{self.path}: the checkpoint of step {step} is damaged"
                    warnings.warn(f"{message} ({_line(error)})", stacklevel=2)
                    damaged.append(step)
                    continue
                for later in damaged:  # the run will write them again
                    steps.delete(later)
                return found
        if damaged:
            raise InputError(
                f"{self.path}: every checkpoint is damaged; remove the folder to start again"
            )
        return None

    def _read_step(self, steps: Any, step: int, arrays_like: Any, draw_like: Any) -> "_Read":
        import orbax.checkpoint as ocp

        only = ocp.args.Composite(content=ocp.args.JsonRestore())
        content = unseal(steps.restore(step, args=only).content)
        self._check_same(content["fingerprint"])
        arrays: Named = {}
        for name in (name for name, array in take_apart(arrays_like).items() if array.size):
            # One at a time: where one fails, TensorStore has no others under way to complain about.
            only = {name: ocp.RestoreArgs(np.ndarray)}
            some = ocp.args.PyTreeRestore(only, only, partial_restore=True)
            arrays |= steps.restore(step, args=ocp.args.Composite(arrays=some)).arrays
            if digest(arrays[name]) != content["arrays"][name]:
                raise ValueError(f"{name} is not what was written")
        draws = [self._read_draws(name, sha256, draw_like) for name, sha256 in content["draws"]]
        return _Read(arrays, content, draws)

    def _read_draws(self, name: str, sha256: str, like: Any) -> Any:
        content = (self.path / "draws" / name).read_bytes()
        if digest_of(content) != sha256:
            raise ValueError(f"{name} is not what was written")
        draws = load(content)
        return jax.tree.unflatten(jax.tree.structure(like), [draws[n] for n in take_apart(like)])


class _Read(NamedTuple):
    """A checkpoint's parts, every one as it was written."""

    arrays: Named
    content: Facts
    draws: list[Any]


class _OtherRun(InputError):
    """The checkpoints are whole, but of another run: nothing to fall back from."""


def _change(name: str, before: Any, now: Any) -> str:
    """One difference between two fingerprints; of long digests only that they differ."""
    if isinstance(now, str) and len(now) == 64:
        return f"the {name} differ"
    return f"{name} was {before!r}, is {now!r}"


def _line(error: Exception) -> str:
    """An error's first line, not Orbax's essay."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
