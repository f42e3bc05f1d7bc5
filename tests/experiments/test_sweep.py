"""Sweeps: order, failures, workers, jobs of a cluster. Catches: a run before its search, one
failure that takes others along, a worker that outlives its parent."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from experiments.config.files import load_experiment
from experiments.config.identity import identify
from experiments.runs import tune
from experiments.runs.cores import available, narrowed, share
from experiments.runs.folders import only_one
from experiments.sweeps.display import Clock, display, in_words
from experiments.sweeps.sweep import Slots, sweep_here, sweep_in
from experiments.sweeps.tasks import Failure, Options, Show, Task, check_resumable, tasks_of
from experiments.systems.base import Outcome
from experiments.systems.registry import SYSTEMS
from pmf.errors import InputError
from pmf.fitting.checkpoint import STATE
from pmf.io import sealed
from pmf.io.sealed_json import write_json
from tests.helpers.grids import ARMS, TOML, finish, write

RESULT = tune.SearchResult({"factor": 3.0}, 0.9, 7, 1.5, 0.5)
SILENT = Show(lambda task: None, lambda *step: None, lambda task, failure: None)
LITTLE = ["split.fold=1", 'model.method="als"']


def task(key: str, needs: str | None = None) -> Task:
    return Task(key, needs is None, needs, None, Path("none", key))  # type: ignore[arg-type]


@contextmanager
def slots(fails: set[str], log: list):
    """Slots in which the task that started last ends first."""
    running = {}

    def start(slot: int, one: Task) -> None:
        assert slot not in running
        running[slot] = one
        log.append(sorted(x.key for x in running.values()))

    def wait():
        slot, one = running.popitem()
        log.append(f"-{one.key}")
        return [(slot, Failure(one.key, "broken") if one.key in fails else None)]

    yield Slots(start, wait)


@pytest.fixture
def untitled(monkeypatch):
    monkeypatch.setattr(Task, "title", property(lambda self: self.key))


def test_a_run_waits_for_its_search_and_no_slot_idles(untitled):
    log = []
    tasks = [task("s"), task("a", "s"), task("b", "s"), task("t"), task("c", "t")]
    assert sweep_in(slots(set(), log), 2, tasks, SILENT) == []
    assert log[0] == ["s"] and log[1] == ["s", "t"] and log[2] == "-t"
    assert log.index("-s") < min(i for i, x in enumerate(log) if "a" in x and x != "-a")
    assert {x for x in log if isinstance(x, str)} == {"-s", "-t", "-a", "-b", "-c"}
    assert max(len(x) for x in log if isinstance(x, list)) == 2


def test_what_waits_for_a_failed_search_fails_with_it_and_nothing_else(untitled):
    log, ends = [], []
    tasks = [task("s"), task("a", "s"), task("t"), task("c", "t")]
    show = SILENT._replace(finished=lambda one, failure: ends.append((one.key, bool(failure))))
    failures = sweep_in(slots({"s"}, log), 1, tasks, show)
    assert [(x.title, x.message) for x in failures] == [
        ("s", "broken"),
        ("a", "its search s failed"),
    ]
    assert sorted(ends) == [("a", True), ("c", False), ("s", True), ("t", False)]


def test_finished_runs_and_searches_are_skipped(tmp_path):
    points = identify(load_experiment(write(tmp_path, ARMS, "arms"), []))
    tasks = tasks_of(points, tmp_path)
    assert [x.is_search for x in tasks] == [False, False, True, False, False, True, False, False]
    assert [x.needs for x in tasks[-3:]] == [None, points[-1].study, points[-1].study]
    place = tune.result_file(tmp_path, points[-1].study)
    place.parent.mkdir()
    write_json(place, {"study": points[-1].study, **RESULT._asdict()})
    finish(tmp_path / points[0].id)
    keys = [x.key for x in tasks_of(points, tmp_path)]
    assert keys == [points[1].id, points[2].study, *(p.id for p in points[2:])]
    place.write_text(place.read_text().replace("0.9", "0.8"))
    with pytest.raises(
        InputError, match=f"{place}: altered since it was written; remove it, and .* searc"
    ):
        tasks_of(points, tmp_path)
    place.write_text("{}")
    with pytest.raises(InputError, match=f"{place}: without a seal, damaged or made by another"):
        tasks_of(points, tmp_path)


def test_interrupted_runs_are_named_before_any_work(tmp_path):
    tasks = tasks_of(identify(load_experiment(write(tmp_path), [])), tmp_path)
    working = tmp_path / f".{tasks[1].key}.checkpoints"
    working.mkdir()
    sealed.write(working, 1, STATE, {}, {})
    with pytest.raises(InputError, match=f"1 interrupted runs .*{tasks[1].key}.*--resume"):
        check_resumable(tasks, Options(tmp_path))
    check_resumable(tasks, Options(tmp_path, resume=True))
    with only_one(tasks[1].place):  # by a process that goes on, they are not left
        check_resumable(tasks, Options(tmp_path))


def test_one_failing_run_does_not_lose_the_others(tmp_path):
    """A rank that the data cannot support fails, and the run after it is made."""
    points = identify(load_experiment(write(tmp_path), [*LITTLE, "model.rank=[500, 2]"]))
    failures = sweep_here(tasks_of(points, tmp_path / "runs"), Options(tmp_path / "runs"), SILENT)
    assert len(failures) == 1 and "rank 500 is more than" in failures[0].message
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [points[1].id]


@pytest.mark.slow
def test_workers_do_the_work_and_one_that_dies_is_replaced(tmp_path):
    from experiments.sweeps.pool import pool

    points = identify(
        load_experiment(write(tmp_path), [*LITTLE, "model.seed=[0, 1, 2]", "model.rank=[500, 2]"])
    )
    options, killed = Options(tmp_path / "runs"), []

    def stepped(key: str, phase: str, *progress) -> None:
        if not killed and phase == "compiling":  # one that gets so far
            killed.append(key)
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    tasks = tasks_of(points, tmp_path / "runs")
    failures = sweep_in(pool(1, options, SILENT._replace(stepped=stepped)), 1, tasks, SILENT)
    died = [x for x in failures if "its process ended with code -9" in x.message]
    assert len(died) == 1 and len(failures) == 4 and "rank=2" in died[0].title
    made = {path.name for path in (tmp_path / "runs").iterdir() if path.name[0] != "."}
    assert made == {p.id for p in points if p.config.model.rank == 2} - set(killed)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_worker_ends_after_its_share_of_tasks(tmp_path, monkeypatch):
    """Compiled programs take memory maps for as long as a process lives."""
    from experiments.sweeps import pool

    monkeypatch.setattr(pool, "MOST_TASKS", 2)
    points = identify(
        load_experiment(write(tmp_path), [*LITTLE, "model.seed=[0, 1, 2, 3]", "model.rank=500"])
    )
    pids = []
    with pool.pool(1, Options(tmp_path / "runs"), SILENT) as (start, finished):
        for task in tasks_of(points, tmp_path / "runs"):
            start(0, task)
            pids.append(multiprocessing.active_children()[0].pid)
            while not finished():
                pass
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert not multiprocessing.active_children()


def command(config: Path, *more: str, **environment) -> subprocess.Popen:
    folder = config.parent
    where = ("--runs-dir", str(folder / "runs"), "--figures-dir", str(folder / "figures"))
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", "run", str(config), *where, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def steps(folder: Path) -> dict[str, int]:
    """The newest checkpoint of each unfinished run."""
    files = sorted(folder.glob(f".*.checkpoints/0*{STATE}"))
    return {path.parent.name: sealed.step_of(path) for path in files}


def children(process: subprocess.Popen) -> list[Path]:
    """Those of its processes that compute, not multiprocessing's resource tracker."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    places = [Path("/proc") / pid for pid in pids]
    return [place for place in places if b"spawn_main" in (place / "cmdline").read_bytes()]


def wait_for(what, seconds: float = 300.0) -> bool:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(what())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux for child processes")
def test_a_stopped_sweep_leaves_checkpoints_and_no_process(tmp_path):
    """SIGTERM to the parent reaches the workers, which write checkpoints; SIGKILL ends them too."""
    grid = [
        "split.fold=1",
        "model.method=als",
        "model.tolerance=0",
        "model.num_steps=1000000",
        "model.seed=[0,1]",
    ]
    config, folder = write(tmp_path), tmp_path / "runs" / "tiny"
    more = [part for text in grid for part in ("--set", text)]
    more += ["--jobs", "2", "--resume", "--checkpoint-minutes", "0.01"]
    process = command(config, *more)
    assert wait_for(lambda: len(steps(folder)) == 2)
    workers, before = children(process), steps(folder)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 143 and "the same command and --resume" in errors, errors
    after = steps(folder)
    assert len(after) == len(workers) == 2 and all(after[x] > before[x] for x in after)
    assert not any(worker.exists() for worker in workers)
    assert not [x for x in folder.iterdir() if not x.name.startswith(".")]

    process = command(config, *more)
    assert wait_for(lambda: all(steps(folder).get(x, 0) > after[x] for x in after))  # both went on
    workers = children(process)
    process.kill()
    process.communicate()
    assert len(workers) == 2 and wait_for(lambda: not any(x.exists() for x in workers), 60)


@pytest.mark.slow
def test_the_command_lists_failures_and_exits_with_1(tmp_path):
    config = write(tmp_path)
    little = [part for text in LITTLE for part in ("--set", text)]
    process = command(config, *little, "--set", "model.rank=[500, 2]", "--dry-run")
    output, errors = process.communicate()
    assert process.returncode == 0 and "2 runs, 0 there" in output and not errors
    assert not (tmp_path / "runs").exists()
    process = command(config, *little, "--set", "model.rank=[500, 2]")
    output, errors = process.communicate()
    assert process.returncode == 1 and output == ""
    assert "1 failed of a grid of 2 runs:" in errors and "rank=500: rank 500 is more" in errors
    assert re.search(r"tiny 2/2: run [0-9a-f]{12} rank=2: \d+\.\d s", errors)
    process = command(config, *little, "--set", "model.rank=2")  # its other run is there
    output, errors = process.communicate()
    assert process.returncode == 0 and "1 of 1 runs are there" in errors
    assert output.splitlines()[1].split()[:2] == ["ALS", "2"]


@pytest.mark.slow
def test_jobs_of_a_cluster(tmp_path):
    pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    from experiments.sweeps.cluster import cluster

    points = identify(load_experiment(write(tmp_path, TOML), [*LITTLE, "model.rank=[500, 2]"]))
    options = Options(tmp_path / "runs")
    tasks = tasks_of(points, options.folder)
    failures = sweep_in(cluster("local", ["timeout_min=5"], options), 2, tasks, SILENT)
    assert [x.message[:8] for x in failures] == ["rank 500"]
    assert (options.folder / points[1].id).is_dir()
    for parameters, message in ((["gpu"], "say NAME=VALUE"), (["lunch=3"], "lunch")):
        with pytest.raises(InputError, match=message), cluster("local", parameters, options):
            pass
    with pytest.raises(InputError, match="--cluster slrm"), cluster("slrm", [], options):
        pass


def test_jobs_share_the_cores_equally():
    assert [share([3, 5, 7], slot, 2) for slot in (0, 1)] == [[3], [5]]
    assert [share([0, 1, 2, 3], slot, 2) for slot in (0, 1)] == [[0, 1], [2, 3]]
    assert [share([4, 6], slot, 3) for slot in (0, 1, 2)] == [[4], [6], [4]]
    before = available()
    with narrowed(before[:1]):
        assert available() == before[:1]
    assert available() == before


def test_the_time_left_is_what_finished_tasks_took(monkeypatch, untitled, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tasks = [task("s"), task("a", "s"), task("b", "s"), task("c", "s")]
    clock = Clock(tasks, slots=2)
    assert clock.seconds_left() is None
    for key, seconds in (("s", 8.0), ("a", 60.0)):
        one = next(x for x in tasks if x.key == key)
        clock.start(one)
        now[0] += seconds
        assert clock.end(one) == seconds
    assert clock.seconds_left() == 60.0  # two runs of 60 s in two slots
    assert [in_words(x) for x in (0.0, 60.0, 600.0, 9000.0)] == [
        "",
        "about 60 s left",
        "about 10 min left",
        "about 2.5 h left",
    ]
    with display("tiny", tasks[:1], 1) as show:
        show.started(tasks[0])
        show.finished(tasks[0], None)
    assert capsys.readouterr().err == "tiny 1/1: s: 0.0 s\n"


def test_what_another_process_works_on_is_left_to_it_and_found_later(untitled, tmp_path):
    """It is not started, nor is what waits for it; the others are done meanwhile."""
    log, holders, looks = [], [], {"s": 3}

    class Held(Task):
        @property
        def holder(self):
            looks[self.key] = looks.get(self.key, 0) - 1
            return "process 7 on host" if looks[self.key] > 0 else None

    tasks = [Held(*task(key, needs)) for key, needs in (("s", None), ("a", "s"), ("t", None))]
    show = SILENT._replace(busy=lambda one, holder: holders.append((one.key, holder)))
    at_hand = iter([[], []])  # what has ended, while nothing of ours is under way

    @contextmanager
    def polled():
        with slots(set(), log) as (start, wait):
            yield Slots(start, lambda: wait() if len(log) % 2 else next(at_hand))

    assert sweep_in(polled(), 1, tasks, show) == []
    assert [x for x in log if isinstance(x, str)] == ["-t", "-s", "-a"]
    assert holders == [("s", "process 7 on host")]


def test_two_sweeps_at_once_share_the_runs_and_make_each_once(tmp_path, monkeypatch):
    """Both end without a failure, when all is there."""
    made, both = [], threading.Barrier(2)

    def predict(settings, split, *rest):
        made.append(settings.seed)
        both.wait(60)  # each is in the middle of one run while the other begins its next
        return Outcome(np.full(len(split.test), 3.0))

    monkeypatch.setitem(SYSTEMS, "pmf", SYSTEMS["pmf"]._replace(fit_and_predict=predict))
    points = identify(load_experiment(write(tmp_path), [*LITTLE, "model.seed=[0, 1, 2, 3]"]))
    options = Options(tmp_path / "runs")
    tasks, holders = tasks_of(points, options.folder), []
    show = SILENT._replace(busy=lambda task, holder: holders.append(holder))
    options.folder.mkdir()
    with ThreadPoolExecutor(2) as threads:
        sweeps = [threads.submit(sweep_here, tasks, options, show) for _ in range(2)]
        assert [sweep.result() for sweep in sweeps] == [[], []]
    assert sorted(made) == [0, 1, 2, 3] and f"process {os.getpid()} on " in holders[0]
    assert {path.name for path in options.folder.iterdir()} == {point.id for point in points}
    assert tasks_of(points, options.folder) == []


OWN = """
import time
from pydantic import BaseModel, ConfigDict
from experiments.systems.base import Outcome, System

class Constant(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    level: float = 3.0

def fit_and_predict(settings, split, dataset, on_step, checkpoints):
    time.sleep(1)  # so that the other process meets this one
    return Outcome(mean=split.test["rating"].to_numpy() * 0 + settings.level)

SYSTEM = System(Constant, fit_and_predict)
"""
OWN_TOML = """
data = "{data}"
system = "mine.py:SYSTEM"
[split]
kind = "sample_records"
[model]
level = [2.0, 2.5, 3.0, 3.5]
"""


@pytest.mark.slow
def test_the_command_twice_at_once_ends_twice_with_the_same_tables(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    config = write(tmp_path, OWN_TOML)
    both = [command(config, "--no-figures") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] and len(outputs[0][0].splitlines()) > 4
    left = [path.name for path in (tmp_path / "runs" / "tiny").glob(".*")]
    assert left == []
