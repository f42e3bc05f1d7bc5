"""Checkpoints. Catches: a resumed run that differs in one bit, a damaged or foreign checkpoint that
is loaded, a signal that loses work, draws written again and again."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from safetensors.numpy import load_file

import pmf
from pmf.data.synthetic import movielens_shaped
from pmf.errors import InputError, Interrupted
from pmf.fitting import fingerprint, prior_search
from pmf.fitting.checkpoint import (
    DRAWS,
    STATE,
    CheckpointFolder,
    Checkpoints,
    claimed,
    holds_checkpoints,
    remove_checkpoints,
)
from pmf.fitting.driver import Run, run
from pmf.fitting.methods.gibbs import default_hyperprior
from pmf.fitting.prior_search import Choice
from pmf.fitting.schedule import Record, Schedule
from pmf.fitting.search import Search, Trial
from pmf.inference.als import als
from pmf.inference.gibbs import gibbs
from pmf.inference.map import gradient_map
from pmf.io.locks import LOCK, Busy
from pmf.io.sealed import named, read, step_of, write
from pmf.model.hyperpriors import Gamma
from pmf.model.likelihood import GaussianLikelihood
from pmf.process.signals import signals_noted
from pmf.types import Ratings, Terms
from tests.helpers import commands
from tests.helpers.problems import random_prior, small_data, small_ratings
from tests.io.test_atomic import killed_parts

TERMS = Terms(2)
PRIOR = random_prior(TERMS)
DATA = small_data(2)
STEPS = 7


class Crash(Exception):
    """Stands for a process that dies: nothing is written after it."""


def sampler():
    likelihood = GaussianLikelihood(Gamma(jnp.float32(1), jnp.float32(1)))
    hyperprior = default_hyperprior(Terms(2))._replace(likelihood=likelihood)
    return gibbs(jax.tree.map(lambda x: x.astype(float), hyperprior), TERMS, 3.5, 1.0)


def by_gradient(optimizer, batch_size=None):
    return gradient_map(PRIOR, TERMS, 3.5, optimizer, batch_size)


POINT, SAMPLES = Schedule(STEPS), Schedule(2, average=True, burn_in=3, thin=2, num_chains=2)
ADAM = by_gradient(optax.adam(3.0))  # too fast: validation soon gets worse
CASES = {
    "als": (als(PRIOR, TERMS, 3.5), POINT),
    "adam": (ADAM, POINT),
    "lbfgs": (by_gradient(optax.lbfgs()), POINT),
    "mini-batch": (by_gradient(optax.adam(0.1), 8), POINT),
    "gibbs": (sampler(), SAMPLES),
    "gibbs, draws not stored": (sampler(), replace(SAMPLES, store_draws=False)),
    "tolerance": (als(PRIOR, TERMS, 3.5), Schedule(STEPS, tolerance=0.5)),  # stops at step 3 or 4
    "patience": (ADAM, Schedule(STEPS, patience=3)),
}


def part(n: int) -> Ratings:
    """Some ratings to watch."""
    return Ratings(*(x[:n] for x in small_ratings()))


def whole(case: str, folder: CheckpointFolder | None = None, on_record=lambda record: None):
    algorithm, schedule = CASES[case]
    validation = part(20) if schedule.patience else None
    return run(
        algorithm,
        4,
        DATA,
        schedule,
        part(30),
        validation,
        case,
        folder=folder,
        on_record=on_record,
    )


def crash_at(stop: int):
    def on_record(record: Record) -> None:
        if record.step == stop:
            raise Crash

    return on_record


def assert_same_bits(one: Run, two: Run) -> None:
    """All but the times."""
    results = (jax.tree.leaves(x._replace(records=[], compile_seconds=0)) for x in (one, two))
    for a, b in zip(*results, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.records, two.records, strict=True):
        np.testing.assert_array_equal(a._replace(seconds=0), b._replace(seconds=0))


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_died_often_ends_bit_for_bit_like_one_that_never_did(case, every, tmp_path):
    undisturbed = whole(case)
    last = len(undisturbed.records)
    checkpoints = Checkpoints(tmp_path, every_steps=every, resume=True)
    begun = []
    for stop in (1, 2, 3, last):
        with pytest.raises(Crash):
            whole(case, CheckpointFolder(checkpoints, {}), crash_at(stop))
    ended = whole(case, CheckpointFolder(checkpoints, {}), lambda record: begun.append(record.step))
    assert_same_bits(undisturbed, ended)
    assert begun[0] == (last - 1) // every * every + 1  # it went on, and did not start again
    if last % every == 0:  # and once more from the end
        assert_same_bits(
            undisturbed, whole(case, CheckpointFolder(checkpoints, {}), crash_at(last))
        )


def test_the_cases_stop_for_the_reasons_they_are_named_for():
    assert "log posterior changed" in whole("tolerance").stopped
    assert "validation RMSE was best at step" in whole("patience").stopped
    assert whole("gibbs").draws.mu.shape == (4,)


def test_seconds_go_on_from_the_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, every_steps=1, resume=True)
    with pytest.raises(Crash):
        whole("als", CheckpointFolder(checkpoints, {}), crash_at(4))
    seconds = [record.seconds for record in whole("als", CheckpointFolder(checkpoints, {})).records]
    assert len(seconds) == STEPS and np.all(np.diff(seconds) > 0)


# The folder by itself.

ARRAYS = {"w": np.arange(3000.0), "none": np.zeros((4, 0)), "count": np.int32(3)}


def folder_at(path: Path, resume: bool = True, keep: int = 3, **identity) -> CheckpointFolder:
    return CheckpointFolder(Checkpoints(path, resume=resume, keep=keep), identity)


def filled(path: Path, steps: int = 3, keep: int = 3) -> CheckpointFolder:
    """Checkpoint j holds w = arange * j and j draws."""
    path.mkdir(exist_ok=True)
    folder = folder_at(path, resume=False, keep=keep)
    assert folder.load("program", ARRAYS, draw(0)) is None
    for step in range(1, steps + 1):
        save(folder, step)
    return folder


def save(folder: CheckpointFolder, step: int) -> None:
    arrays = {**ARRAYS, "w": ARRAYS["w"] * step}
    folder.save(step, arrays, {"step": step, "nan": float("nan")}, [draw(step)])


def draw(step: int):
    return {"U": np.full((1, 50), float(step)), "b": np.zeros((1, 0))}


def loaded(path: Path):
    return folder_at(path).load("program", ARRAYS, draw(0))


def states(path: Path) -> list[int]:
    return sorted(map(step_of, named(path, STATE)))


def state(path: Path, step: int) -> Path:
    """The file of the checkpoint of a step."""
    (file,) = path.glob(f"{step:08d}-*{STATE}")
    return file


def draws(path: Path, step: int) -> Path:
    (file,) = path.glob(f"{step:08d}-*{DRAWS}")
    return file


def assert_is_checkpoint(checkpoint, step: int) -> None:
    np.testing.assert_array_equal(checkpoint.arrays["w"], ARRAYS["w"] * step)
    assert (
        checkpoint.arrays["none"].shape == (4, 0) and checkpoint.arrays["count"].dtype == np.int32
    )
    assert checkpoint.facts["step"] == step and np.isnan(checkpoint.facts["nan"])
    assert len(checkpoint.draws) == step
    for number, one in enumerate(checkpoint.draws, 1):
        np.testing.assert_array_equal(one["U"], draw(number)["U"])


def test_the_last_few_are_kept_and_each_draw_is_written_once(tmp_path):
    filled(tmp_path, steps=5)
    assert states(tmp_path) == [3, 4, 5]
    files = sorted(tmp_path.glob(f"*{DRAWS}"))
    assert [read(path)[1]["['U']"].tolist() for path in files] == [
        [[float(step)] * 50] for step in range(1, 6)
    ]
    assert len(list(tmp_path.iterdir())) == 8
    assert_is_checkpoint(loaded(tmp_path), 5)


def test_an_empty_folder_starts_the_run(tmp_path):
    assert loaded(tmp_path) is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def null(path: Path) -> None:
    path.write_text("null\n")


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [cut, flip, null, Path.unlink, folder_in_place]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [state, draws])
def test_a_damaged_checkpoint_is_never_loaded(damage, which, tmp_path):
    """The one before it is; the step is then written again, and is the newest whole one."""
    filled(tmp_path)
    path = which(tmp_path, 3)
    damage(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder = folder_at(tmp_path)
    assert_is_checkpoint(folder.load("program", ARRAYS, draw(0)), 2)
    if (which, damage) != (state, Path.unlink):  # which nothing tells
        (warning,) = caught
        assert "00000003-" in str(warning.message) and "damaged" in str(warning.message)
    save(folder, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_is_checkpoint(loaded(tmp_path), 3)


@pytest.mark.parametrize("keep", [1, 3])
def test_damage_that_stays_takes_no_whole_checkpoints_place(keep, tmp_path):
    """A file without our mark is not removed, and must not count among those that are kept."""
    filled(tmp_path, keep=keep)
    path = tmp_path / f"{9:08d}-{'0' * 16}{STATE}"
    null(path)
    with pytest.warns(UserWarning, match="damaged"):
        folder = folder_at(tmp_path, keep=keep)
    save(folder, 4)
    save(folder, 5)
    with pytest.warns(UserWarning, match="damaged"):
        checkpoint = folder_at(tmp_path).load("program", ARRAYS, draw(0))
    assert checkpoint.facts["step"] == 5 and path.read_text() == "null\n"


def test_nothing_whole_is_an_error_and_stays_one(tmp_path):
    filled(tmp_path)
    cut(draws(tmp_path, 1))  # which all three refer to
    before = sorted(tmp_path.iterdir())
    for _ in range(2):
        with pytest.warns(UserWarning), pytest.raises(InputError, match="every checkpoint is dam"):
            loaded(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_draws_after_the_last_checkpoint_are_removed(tmp_path):
    """And what a process that was killed had begun to write; nothing that is somebody else's."""
    filled(tmp_path)
    foreign = ["mine.csv", ".env", f"{9:08d}-{'0' * 16}{DRAWS}", ".git", "m.pmf"]
    for name in foreign[:3]:
        (tmp_path / name).write_text("mine")
    (tmp_path / foreign[3]).mkdir()
    later = write(tmp_path, 9, DRAWS, {}, {})
    begun = killed_parts(tmp_path)
    before = set(tmp_path.iterdir())
    checkpoints = Checkpoints(tmp_path, resume=True)
    with claimed(checkpoints):
        assert_is_checkpoint(CheckpointFolder(checkpoints, {}).load("program", ARRAYS, draw(0)), 3)
    assert set(tmp_path.iterdir()) == before - {later, begun}
    remove_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(foreign)


def test_an_emptied_folder_goes_with_its_checkpoints(tmp_path):
    filled(tmp_path / "kept")
    remove_checkpoints(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
    remove_checkpoints(tmp_path / "kept")  # nothing to do


def test_notes_come_back_with_every_checkpoint(tmp_path):
    folder = folder_at(tmp_path, resume=False)
    folder.note({"search": [1, 2]})
    assert not holds_checkpoints(tmp_path)  # of a step: nothing is lost by starting again
    resumed = folder_at(tmp_path)
    assert resumed.notes == {"search": [1, 2]} and resumed.load("program", ARRAYS, draw(0)) is None
    for step in range(1, 5):  # the note's own file is no more among those that are kept
        save(folder, step)
    assert states(tmp_path) == [2, 3, 4] and folder_at(tmp_path).notes == {"search": [1, 2]}


def test_a_damaged_note_is_found_again(tmp_path):
    folder_at(tmp_path).note({"search": [1, 2]})
    cut(state(tmp_path, 0))
    with pytest.warns(UserWarning, match="00000000-.* is damaged"):
        assert folder_at(tmp_path).notes == {}


def test_the_notes_of_another_run_do_not_stay(tmp_path):
    folder_at(tmp_path, seed=1).note({"search": [1, 2]})
    folder_at(tmp_path, resume=False, seed=2).note({"search": [3, 4]})
    assert folder_at(tmp_path, seed=2).notes == {"search": [3, 4]}


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    """A limit on the size of files stands for a full disk: writes fail in the middle."""
    folder = filled(tmp_path)
    before = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = {"U": np.ones((1, 100_000))}
    for arrays, draws in (({"w": np.ones(100_000)}, []), (ARRAYS, [large])):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            with pytest.raises(InputError, match="cannot write .*00000004-.*: File too large; fr"):
                folder.save(4, arrays, {}, draws)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert sorted(tmp_path.iterdir()) == before
    assert_is_checkpoint(loaded(tmp_path), 3)


# What is seen before the work.


def fit_at(path: Path, **checkpoints):
    """A fit that fails the test where it reads its ratings."""
    with pytest.raises(InputError) as caught:
        pmf.PMF().fit(path / "none.csv", checkpoints=Checkpoints(path, **checkpoints))
    assert "none.csv" not in str(caught.value).removeprefix(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    assert fit_at(tmp_path / "file").startswith(f"cannot keep checkpoints in {tmp_path / 'file'} (")
    assert "(Not a directory)" in fit_at(tmp_path / "file" / "folder")
    assert "(File name too long)" in fit_at(tmp_path / ("x" * 256))


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path, *rest):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("os.open", refuse)
    assert fit_at(tmp_path) == f"cannot lock {tmp_path / LOCK}: Read-only file system"


def test_a_path_that_leaves_no_room_for_names(tmp_path):
    long = tmp_path
    while len(str(long)) < 3800:
        long = long / ("x" * 200)
    long = long / ("x" * (4060 - len(str(long))))  # a path may have 4095 bytes
    assert "File name too long" in fit_at(long)


def test_two_fits_do_not_share_a_folder(frame, tmp_path):
    checkpoints = Checkpoints(tmp_path, resume=True)
    with (
        claimed(checkpoints),
        pytest.raises(Busy, match=f"{tmp_path}: process {os.getpid()} on .*fit"),
    ):
        pmf.PMF(**SETTINGS).fit(frame, checkpoints=checkpoints)


def test_checkpoints_of_an_earlier_kind_are_not_overlooked(tmp_path):
    (tmp_path / "steps" / "00000004").mkdir(parents=True)
    (tmp_path / "run.json").write_text("{}")
    assert "of an earlier pmf, which this one cannot read" in fit_at(tmp_path, resume=True)


@pytest.mark.parametrize("wrong", [{"every_steps": 0}, {"every_minutes": -1.0}, {"keep": 0}])
def test_plans_are_checked(wrong, tmp_path):
    with pytest.raises(InputError, match="must be above 0"):
        Checkpoints(tmp_path, **wrong)


def test_minutes_are_counted_from_the_last_checkpoint(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    folder = CheckpointFolder(Checkpoints(tmp_path, every_steps=10, every_minutes=2), {})
    assert not folder.due(1) and folder.due(20)
    now[0] += 119
    assert not folder.due(1)
    now[0] += 1
    assert folder.due(1)
    folder.save(1, {"w": np.ones(1)}, {}, [])
    assert not folder.due(1)


# The estimator: what run it is.


@pytest.fixture(scope="module")
def frame():
    ratings = movielens_shaped(0, n=600, users=40, items=100)
    return pd.DataFrame(dict(zip(["user", "item", "rating"], ratings, strict=True)))


SETTINGS = {"rank": 2, "seed": 1, "num_steps": 6, "tolerance": 0.0}


@pytest.fixture(scope="module")
def stopped(frame, tmp_path_factory):
    """The folder of a run that was stopped."""
    path = tmp_path_factory.mktemp("stopped")
    fit_and_crash(frame, path, **SETTINGS, method="map", prior=ISOTROPIC)
    return path


ISOTROPIC = pmf.IsotropicPrior(1.0, 5.0, 5.0, 2.0, 2.0)


def fit_and_crash(frame, path, heldout=None, **settings):
    def on_step(phase: str, step: int, total: int) -> None:
        if phase == settings["method"] and step == 5:
            raise Crash

    with pytest.raises(Crash):
        pmf.PMF(**settings).fit(
            frame, heldout, on_step, checkpoints=Checkpoints(path, every_steps=2)
        )


def test_a_fit_on_disk_goes_on_bit_for_bit(frame, tmp_path):
    """Its step is a loop on the host, and its ratings are bytes in files."""
    path = tmp_path / "ratings.parquet"
    frame.to_parquet(path)
    settings = {**SETTINGS, "method": "map", "on_disk": True, "batch_size": 64}
    settings["prior"] = ISOTROPIC
    fit_and_crash(path, tmp_path / "kept", **settings)
    checkpoints = Checkpoints(tmp_path / "kept", every_steps=2, resume=True)
    went_on = pmf.PMF(**settings).fit(path, checkpoints=checkpoints)
    straight = pmf.PMF(**settings).fit(path)
    pd.testing.assert_frame_equal(went_on.predict(frame), straight.predict(frame), check_exact=True)
    assert went_on.log_posterior() == straight.log_posterior()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rank": 3}, "setting rank was 2, is 3"),
        ({"learning_rate": 0.1}, "setting learning_rate was 0.02, is 0.1"),
        ({"seed": 2}, "setting seed was 1, is 2"),
        ({"optimizer": optax.adam(0.02)}, "setting optimizer was 'adam', is 'an optax transfor"),
        ({"prior": replace(ISOTROPIC, tau=2.0)}, "setting prior was "),
        ({"data": 1}, "the training ratings differ"),
        ({"heldout": 1}, "the held-out ratings differ"),
        ({"pmf": "9.9"}, r"pmf version was '[\d.]+', is '9.9'"),
        ({"jax": "0.99"}, r"jax version was '[\d.]+', is '0.99'"),
        ({"format": 3}, "checkpoint format was 2, is 3"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_another_run_is_refused(changed, message, frame, stopped, monkeypatch):
    heldout = None
    settings = {**SETTINGS, "method": "map", "prior": ISOTROPIC}
    match list(changed.items()):
        case [("data", _)]:
            frame = frame.assign(rating=frame["rating"].mask(frame.index == 7, 0.5))
        case [("heldout", _)]:
            heldout = frame[:50]
        case [(("pmf" | "jax") as package, version)]:
            true = fingerprint.metadata.version
            other = {package: version}
            monkeypatch.setattr(
                fingerprint.metadata, "version", lambda name: other.get(name) or true(name)
            )
        case [("format", number)]:
            monkeypatch.setattr("pmf.fitting.checkpoint.FORMAT", number)
        case _:
            settings |= changed
    before = sorted(stopped.rglob("*"))
    with pytest.raises(InputError, match=f"of another run: {message}.* Resume with what it was"):
        checkpoints = Checkpoints(stopped, resume=True)
        pmf.PMF(**settings).fit(frame, heldout, checkpoints=checkpoints)
    assert sorted(stopped.rglob("*")) == before


def test_another_optax_object_is_refused(tmp_path):
    """It is code, and known by the program that it compiles to."""
    checkpoints = Checkpoints(tmp_path, every_steps=1, resume=True)
    with pytest.raises(Crash):
        whole("adam", CheckpointFolder(checkpoints, {}), crash_at(3))
    with pytest.raises(InputError, match="the programs that steps compile to differ"):
        run(by_gradient(optax.adam(2.9)), 4, DATA, POINT, folder=CheckpointFolder(checkpoints, {}))


def test_checkpoints_are_not_overwritten_unasked(frame, stopped):
    with pytest.raises(InputError, match="holds the checkpoints of a run; resume it, or remove"):
        pmf.PMF(**SETTINGS).fit(frame, checkpoints=Checkpoints(stopped))


def test_settings_that_change_no_number_do_not_matter(frame, stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "copy")
    settings = {**SETTINGS, "method": "map", "prior": ISOTROPIC, "duplicates": "last"}
    checkpoints = Checkpoints(tmp_path / "copy", resume=True)
    pmf.PMF(**settings, scale=(0.5, 5), clip=True).fit(frame, checkpoints=checkpoints)


def test_a_chosen_prior_is_not_searched_again(frame, tmp_path, monkeypatch):
    settings = {**SETTINGS, "method": "als"}
    prior = replace(ISOTROPIC, tau=1 / 3, user_factor=0.1 + 0.2)  # no short decimals
    trials = [Trial({"a": 1 / 7}, float("inf"), 0.0, 0.0)]
    choice = Choice(prior, Search(vars(prior), trials))
    monkeypatch.setattr(prior_search, "choose_prior", lambda problem: choice)
    train, heldout = frame[:500], frame[500:]
    undisturbed = pmf.PMF(**settings).fit(train, heldout).require_fitted().fit
    fit_and_crash(train, tmp_path, heldout, **settings)
    monkeypatch.delattr(prior_search, "choose_prior")
    checkpoints = Checkpoints(tmp_path, resume=True)
    resumed = pmf.PMF(**settings).fit(train, heldout, checkpoints=checkpoints).require_fitted().fit
    assert resumed.search == undisturbed.search and resumed.search.trials == trials
    assert resumed.prior == undisturbed.prior and resumed.prior.tau > 0
    one, other = resumed.run, undisturbed.run
    jax.tree.map(np.testing.assert_array_equal, one.draws, other.draws)
    np.testing.assert_array_equal(one.heldout.mean, other.heldout.mean)
    np.testing.assert_array_equal(resumed.noise_variance, undisturbed.noise_variance)


# Signals.


@pytest.fixture(autouse=True)
def interruptible():
    """Tests that a shell starts in the background ignore SIGINT, and so would their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 4, STEPS])
def test_a_signal_lets_the_step_finish_and_writes_a_checkpoint(signum, at, tmp_path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    checkpoints = Checkpoints(tmp_path, resume=True)
    message = f"als: stopped by {signum.name} after step {at}; resume from"
    with pytest.raises(Interrupted, match=message) as caught:
        whole("als", CheckpointFolder(checkpoints, {}), signal_at(at, signum))
    assert caught.value.signum == signum
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert states(tmp_path) == [at]
    assert_same_bits(whole("als"), whole("als", CheckpointFolder(checkpoints, {}), crash_at(at)))


def signal_at(at: int, *signums: signal.Signals):
    def on_record(record: Record) -> None:
        if record.step == at:
            for signum in signums:
                os.kill(os.getpid(), signum)

    return on_record


def test_a_signal_just_before_the_checkpoint_waits_for_the_next(tmp_path, monkeypatch):
    folder = CheckpointFolder(Checkpoints(tmp_path), {})

    def due(step: int) -> bool:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    monkeypatch.setattr(folder, "due", due)
    with pytest.raises(Interrupted, match="after step 3"):
        whole("als", folder)
    assert states(tmp_path) == [3]


def test_a_second_signal_stops_at_once(tmp_path):
    folder = CheckpointFolder(Checkpoints(tmp_path), {})
    with pytest.raises(KeyboardInterrupt) as caught:
        whole("als", folder, signal_at(2, signal.SIGTERM, signal.SIGINT))
    assert caught.type is KeyboardInterrupt and not list(tmp_path.iterdir())


def test_without_checkpoints_signals_do_what_they_did():
    with pytest.raises(KeyboardInterrupt) as caught:
        whole("als", None, signal_at(2, signal.SIGINT))
    assert caught.type is KeyboardInterrupt


def test_a_signal_too_late_for_the_loop_is_not_lost():
    with pytest.raises(KeyboardInterrupt):
        with signals_noted():
            os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_and_ignored_signals_are_left_alone():
    noted = []

    def elsewhere():
        with signals_noted() as caught:
            noted.append(caught)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert noted[0].signum is None
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_noted() as caught:
            os.kill(os.getpid(), signal.SIGINT)
        assert caught.signum is None
    finally:
        signal.signal(signal.SIGINT, former)


# The command line, as processes that die.

CHILD = """
import contextlib, os, signal, sys
import pmf.cli.main, pmf.fitting.progress

def stop(phase, step, total):
    if os.environ.get("STOP") == f"{phase} {step}":
        os.kill(os.getpid(), getattr(signal, os.environ["BY"]))

pmf.fitting.progress.progress_bar = lambda name="": contextlib.nullcontext(stop)
pmf.cli.main.main()
"""


@pytest.fixture(scope="module")
def fit(frame, tmp_path_factory):
    """`pmf fit` of a file, with checkpoints every second step, as a process."""
    path = tmp_path_factory.mktemp("fit") / "ratings.csv"
    frame.to_csv(path, index=False)

    def call(out: Path, *more, stop: str = "", by: str = "SIGKILL"):
        fixed = "--method gibbs --rank 2 --steps 5 --tau 1.5".split()
        return subprocess.run(
            [sys.executable, "-c", CHILD, "fit", path, *fixed, "--out", out, *map(str, more)],
            capture_output=True,
            text=True,
            env=os.environ | {"STOP": stop, "BY": by},
        )

    return call


def same_model(one: Path, two: Path) -> bool:
    a, b = load_file(one), load_file(two)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_the_command_survives_signals_and_kill_9(fit, tmp_path):
    options = "--checkpoints", tmp_path / "kept", "--checkpoint-steps", 2, "--resume"
    one, two = tmp_path / "one.pmf", tmp_path / "two.pmf"
    for step, by, code in ((1, "SIGINT", 130), (2, "SIGTERM", 143)):
        stopped = fit(one, *options, stop=f"gibbs {step}", by=by)
        assert stopped.returncode == code and not one.exists()
        assert stopped.stderr.strip().splitlines()[-1] == (
            f"gibbs: stopped by {by} after step {step}; "
            f"resume from the checkpoint in {tmp_path / 'kept'}"
        )
    assert fit(one, *options, stop="gibbs 4").returncode == -signal.SIGKILL
    assert fit(one, *options).returncode == 0
    assert fit(two).returncode == 0
    assert same_model(one, two)


def test_resume_needs_a_folder(tmp_path):
    done = commands.pmf("fit", tmp_path / "none.csv", "--out", tmp_path / "x.pmf", "--resume")
    assert done.returncode == 2 and "need --checkpoints FOLDER" in done.stderr
