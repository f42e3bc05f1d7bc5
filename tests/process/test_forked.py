"""Processes that fork. Catches: a child that hangs or is killed where it should be told why, and
one that is disturbed although it does not call us."""

import multiprocessing
import os
import warnings

import pandas as pd
import pytest

import pmf
from pmf.process import forked
from tests.helpers.handmade import made

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
RATINGS = pd.DataFrame({"user_id": "x", "item_id": ["m1", "m4"], "rating": [5.0, 2.0]})


def in_child(call) -> str:
    """What a forked child's call raises, or returns, in words."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX, and Python from 3.12 on, warn of any fork
        child = os.fork()
    if child == 0:
        try:
            answer = str(call())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return answer


@needs_fork
@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.predict(RATINGS.assign(user_id=0)),
        lambda model: pmf.recommend(model, n=2),
        lambda model: pmf.fold_in(model, RATINGS),
        lambda model: pmf.PMF(2, num_steps=1).fit(RATINGS.assign(user_id=[0, 1])),
    ],
    ids=["predict", "recommend", "fold_in", "fit"],
)
def test_a_forked_child_is_told_to_spawn(call):
    model = made(1)
    model.predict(RATINGS.assign(user_id=0))  # the parent computes
    answer = in_child(lambda: call(model))
    assert answer.startswith("InputError: this process was forked") and "'spawn'" in answer, answer


@needs_fork
def test_a_forked_child_that_does_not_compute_is_not_disturbed():
    made(1).predict(RATINGS.assign(user_id=0))
    assert in_child(lambda: sum(range(4))) == "6"
    assert in_child(lambda: made(1).fitted.users.values.tolist()) == "[0, 1, 2, 3, 4]"


@needs_fork
def test_a_child_of_one_that_has_not_computed_may(monkeypatch):
    monkeypatch.setattr(forked, "_in_child", False)
    assert in_child(lambda: forked._started and forked._mark() or forked._in_child) == "True"
    monkeypatch.setattr(forked, "_mark", lambda: None)
    monkeypatch.setattr(forked, "_started", False)
    monkeypatch.setattr(os, "register_at_fork", lambda **calls: None)
    assert forked.computing() is None and forked._started


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_started_anew_may_compute(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    forked.computing()
    process = multiprocessing.get_context(method).Process(target=forked.computing)
    process.start()
    process.join(120)
    assert process.exitcode == 0
