"""Two real processes on loopback, each with a part of the ratings and two devices.

Catches: a rating lost or sent to the wrong process, a result that only one process has, a job that
hangs when one of its processes is gone.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from pmf import PMF
from pmf.inference.layout import by_rows, flat
from pmf.parallel.processes import exchange, read_part
from tests.helpers.meshes import (
    BUILDS,
    FITS,
    FRAME,
    ITEMS,
    TERMS,
    USERS,
    compiled,
    steps,
    tailed_ratings,
)

HELPERS = Path(__file__).resolve().parents[1] / "helpers"
GUARD_SECONDS = 240  # a job that hangs fails its test
NEVER = -1


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_job(
    methods: str, num_steps: int, die_at: tuple[int, int], **more: str
) -> list[tuple[int, str, str]]:
    """(exit code, standard output, standard error) of each of two processes."""
    port = free_port()
    environment = os.environ | more | {"PYTHONPATH": str(HELPERS.parents[1])}
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                str(HELPERS / "distributed_worker.py"),
                str(port),
                "2",
                str(process),
                methods,
                str(num_steps),
                str(die_at[process]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for process in range(2)
    ]
    try:
        texts_of_processes = [process.communicate(timeout=GUARD_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [
        (one.returncode, *texts) for one, texts in zip(processes, texts_of_processes, strict=True)
    ]


def results(job: list[tuple[int, str, str]]) -> list[dict]:
    for code, _, error in job:
        assert code == 0, error[-2000:]
    return [json.loads(output.splitlines()[-1]) for _, output, _ in job]


def assert_state_equals_one_process(facts: dict, method: str) -> None:
    """Within 1e-9 of the largest number, in float64, after 3 steps."""
    shape = tailed_ratings(), USERS, ITEMS
    if method == "map":  # the parts one after the other: another order of the same ratings
        data = flat(*shape)
    else:
        data = by_rows(*shape, TERMS.rank)
    algorithm = BUILDS[method](TERMS)(data)
    start, program = compiled(algorithm, data)
    state, values = steps(algorithm, program, data, start, 3)
    for a, b in zip(facts["state"], jax.tree.leaves(state), strict=True):
        b = np.ravel(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(b).max(initial=1.0))
    np.testing.assert_allclose(facts["log_posterior"], values, rtol=1e-9)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Stopped and resumed, too: both stop after the same step, one writes, and both go on."""
    folder = str(tmp_path / "kept")
    one, other = results(run_job("gibbs,map,fit,resumed", 3, (NEVER, NEVER), KEPT=folder))
    del other["resumed"]["files"]  # it may look while the first still removes an older checkpoint
    files = one["resumed"].pop("files")
    assert one == other
    assert_state_equals_one_process(one["gibbs"], "gibbs")
    assert_state_equals_one_process(one["map"], "map")
    model = PMF(rank=3, method="als", **FITS["als"]).fit(FRAME[:400], heldout=FRAME[400:])
    np.testing.assert_allclose(one["fit"]["mean"], model.predict(FRAME[400:])["mean"], atol=1e-4)
    assert {name: one["resumed"][name] for name in one["fit"]} == one["fit"]
    assert one["resumed"]["begun"] == 3 and files == 1
    assert "als: stopped by SIGTERM after step 2; resume" in one["resumed"]["said"]
    heldout = model.heldout_prediction.mean
    np.testing.assert_allclose(one["fit"]["heldout"], heldout, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["the coordinator dies", "another dies"])
def test_a_dead_process_ends_the_job(victim):
    """Without heartbeats the survivor would wait in a collective for ever."""
    die_at = (2, NEVER) if victim == 0 else (NEVER, 2)
    job = run_job("als", 1_000_000, die_at)
    survivor, _, error = job[1 - victim]
    assert job[victim][0] == -9 and survivor not in (0, -9)
    assert "UNAVAILABLE" in error or "Gloo" in error, error[-2000:]


@pytest.mark.parametrize("num_processes", [1, 3])
def test_parts_of_a_folder_are_its_ratings(num_processes, tmp_path, monkeypatch):
    """Each row is in one part."""
    for k, rows in enumerate(np.array_split(np.arange(len(FRAME)), 3)):
        FRAME.iloc[rows].to_parquet(tmp_path / f"{k}.parquet", index=False)
    monkeypatch.setattr(jax, "process_count", lambda: num_processes)
    parts = []
    for process in range(num_processes):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        scanned, part = read_part(tmp_path)
        parts.append(part)
    user, item, value = (np.concatenate(x) for x in zip(*parts, strict=True))
    np.testing.assert_array_equal(scanned.users.values[user], FRAME.iloc[:, 0])
    np.testing.assert_array_equal(scanned.items.values[item], FRAME.iloc[:, 1])
    np.testing.assert_array_equal(value, FRAME.iloc[:, 2].astype(np.float32))


def test_exchange_alone_keeps_every_rating():
    ratings = tailed_ratings()
    exchanged = exchange(ratings, np.zeros(len(ratings.value), int))
    for a, b in zip(exchanged, ratings, strict=True):
        np.testing.assert_array_equal(a, b)
