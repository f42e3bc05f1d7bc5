"""The protocol with rival libraries, by fakes: none of them is installed here. Catches: a failure
that is hidden or that ends the sweep, a made-up prediction that is not counted, a process left."""

import os
import select
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.systems.rivals import client, worker
from experiments.systems.rivals.client import (
    RIVALS,
    Outcome,
    Rival,
    predict_by_rival,
    resolved_options,
)
from pmf.errors import InputError
from pmf.types import Ratings
from tests.helpers import fake_rivals

TRAIN = Ratings(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), np.array([1.0, 5.0, 3.0, 2.0]))
USER, ITEM = np.array([2, 1, 3, 0]), np.array([1, 2, 1, 0])  # item 2 and user 3 are unknown


@pytest.fixture
def ask(monkeypatch):
    """Ask a fake, as a rival of the sweep would be asked."""
    monkeypatch.setattr(client, "WORKER", Path(fake_rivals.__file__))
    for fake in fake_rivals.FAKES:
        known = Rival("json", "numpy", {"unknown": 2.0, "rank": 8}, (), "")
        monkeypatch.setitem(RIVALS, fake.__name__, known)

    def predict(name: str, timeout: float = 60, python: str = sys.executable, **options) -> Outcome:
        return predict_by_rival(name, TRAIN, USER, ITEM, options, 7, python, timeout)

    return predict


def failure(outcome: Outcome) -> str:
    assert outcome.mean is None and outcome.variance is None and outcome.replaced == 0
    return outcome.error


def test_predictions_and_variances_arrive_in_order(ask):
    outcome = ask("mean_of_item")
    np.testing.assert_array_equal(outcome.mean, [4.0, 2.0, 4.0, 1.5])
    np.testing.assert_array_equal(outcome.variance, [1.0, 2.0, 3.0, 4.0])
    assert (outcome.error, outcome.cold, outcome.replaced) == ("", 2, 0)
    assert outcome.version == np.__version__ and 0 <= outcome.seconds < 60
    assert ask("no_variance").variance is None


def test_the_worker_sees_sizes_seed_options_and_no_test_rating(ask):
    np.testing.assert_array_equal(ask("echoes").mean, [4, 3, 7, 11.0])
    assert set(worker.Task._fields) & {"test_value", "test_rating"} == set()


@pytest.mark.parametrize("unknown", [1e36, -9.0, np.nan, np.inf])
def test_absurd_cold_predictions_are_replaced_and_counted(ask, monkeypatch, unknown):
    """The scale is 1 to 5: below -3 and above 9 is absurd. Only the unknown item is affected."""
    outcome = ask("mean_of_item", unknown=unknown)
    np.testing.assert_array_equal(outcome.mean, [4.0, np.mean(TRAIN.value), 4.0, 1.5])
    np.testing.assert_array_equal(outcome.variance, [1.0, np.var(TRAIN.value), 3.0, 4.0])
    assert (outcome.cold, outcome.replaced, outcome.error) == (2, 1, "")


def test_sane_cold_predictions_stay(ask):
    outcome = ask("mean_of_item", unknown=8.5)
    assert outcome.mean[1] == 8.5 and outcome.replaced == 0


def test_wild_warm_predictions_stay_as_they_are(ask):
    """A rival that diverged is not helped."""
    outcome = client._checked(
        {"mean": np.array([1e9, 2.0, 2.0, 2.0])},
        {**TRAIN._asdict(), "test_user": USER, "test_item": ITEM},
        0.0,
        "",
    )
    assert outcome.mean[0] == 1e9 and outcome.replaced == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_a_number", "2 of 2 predictions of known users and items are no numbers"),
        ("no_spread", "2 of 2 predictions of known users and items are no numbers"),
        ("too_few", "predictions of shape (1,) for 4 pairs"),
        ("raises", "ArithmeticError: the 7th sweep diverged"),
        ("dies", "died by signal 11: a last word"),
        ("exits", "died by exit code 3:"),
    ],
)
def test_failures_are_results(ask, name, message):
    assert failure(ask(name)) == message


def test_a_rival_that_is_not_installed_is_a_result(ask, monkeypatch):
    missing = Rival("no_such_library", "no-such-library", {"rank": 8}, (), "")
    monkeypatch.setitem(RIVALS, "mean_of_item", missing)
    assert "ModuleNotFoundError: No module named 'no_such_library'" == failure(ask("mean_of_item"))
    message = "/no/such/python cannot be run: No such file or directory"
    assert failure(ask("echoes", python="/no/such/python")) == message


def test_a_slow_rival_is_stopped_with_its_children(ask, monkeypatch, tmp_path):
    monkeypatch.setenv("CHILD", str(tmp_path / "child"))
    begin = time.monotonic()
    assert failure(ask("dawdles", timeout=8)) == "stopped after 8 s"
    assert time.monotonic() - begin < 50
    assert _ends(int((tmp_path / "child").read_text()), seconds=10)


def _ends(pid: int, seconds: float) -> bool:
    """Whether a process, not a child of ours, has ended or does so soon."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], seconds)[0])
    finally:
        os.close(watched)


def test_wrong_requests_raise(ask):
    with pytest.raises(InputError, match="peer 'lunch': not one of cmfrec, smurff"):
        resolved_options("lunch", {})
    with pytest.raises(InputError, match="k: no option of cmfrec; it has rank, lambda_"):
        resolved_options("cmfrec", {"k": 3})
    with pytest.raises(InputError, match="rank=1.5: cmfrec takes a int"):
        resolved_options("cmfrec", {"rank": 1.5})
    with pytest.raises(InputError, match="use_cg=1: cmfrec takes a bool"):
        resolved_options("cmfrec", {"use_cg": 1})
    assert resolved_options("cmfrec", {"lambda_": 3})["lambda_"] == 3
    with pytest.raises(InputError, match="test_item: row numbers are 0 or more"):
        predict_by_rival("echoes", TRAIN, USER, -ITEM, {}, 0, sys.executable, 9)


def test_every_rival_has_a_function_and_a_space_of_its_options():
    assert set(RIVALS) == set(worker.PREDICT)
    for rival in RIVALS.values():
        assert rival.cold and rival.space
        for name, low, high, log in rival.space:
            assert low <= rival.options[name] <= high and (low > 0 or not log)
            assert type(low) is type(high) is type(rival.options[name])
