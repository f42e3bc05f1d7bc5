"""Pairs of processes on one folder. Catches: two writers at once, a second one who is told nothing,
or of somebody else; a judge that sees neither."""

import re
import socket

import pytest

from tests.robustness import pairs
from tests.robustness.pairs import End, verdict

HOST = socket.gethostname()
HELD = f"/kept: process 7 on {HOST} (fit) is writing there; wait until it is done"


@pytest.mark.slow
def test_of_two_fits_at_once_one_finishes_and_the_other_is_told():
    total, failures = pairs.run("fit", 5)
    assert not failures, "\n".join(failures)
    assert total["one told"]


@pytest.mark.slow
def test_two_sweeps_at_once_share_their_runs():
    total, failures = pairs.run("sweep", 1)
    assert not failures, "\n".join(failures)
    assert total["shared"] == 1


def test_a_sweep_that_is_told_has_failed(tmp_path, monkeypatch):
    monkeypatch.setitem(pairs.KINDS, "sweep", pairs.KINDS["sweep"]._replace(are_right=lambda *x: 1))
    both = [End(7, "finished", ""), End(8, "finished", "")]
    assert verdict("sweep", tmp_path, both) == ("shared", "")
    assert verdict("sweep", tmp_path, [both[0], End(8, "told", HELD)]) == ("failed", HELD)


@pytest.mark.parametrize(
    ("ends", "right", "pattern"),
    [
        ([End(7, "finished", ""), End(8, "told", HELD)], True, "one told"),
        ([End(8, "told", HELD), End(7, "finished", "")], True, "one told"),
        ([End(9, "finished", ""), End(8, "told", HELD)], True, "told otherwise: /kept: process 7"),
        ([End(7, "finished", ""), End(8, "told", HELD + "\nmore")], True, "told otherwise"),
        ([End(7, "finished", ""), End(8, "told", HELD)], False, "other bits"),
        ([End(7, "finished", ""), End(8, "finished", "")], True, "one after the other"),
        ([End(7, "told", HELD), End(8, "told", HELD)], True, "told: /kept.*told: /kept"),
        ([End(7, "finished", ""), End(8, "failed", "Traceback")], True, ".*failed: Traceback"),
    ],
)
def test_the_verdict(ends, right, pattern, tmp_path, monkeypatch):
    monkeypatch.setitem(pairs.KINDS, "fit", pairs.Kind(lambda folder: None, lambda *x: right))
    outcome, wrong = verdict("fit", tmp_path, ends)
    assert re.match(pattern, wrong if outcome == "failed" else outcome, re.DOTALL)
