"""A short run of the attack on folders of checkpoints, and its judge. Catches: a spoilt checkpoint
that is loaded or ends in a traceback, somebody else's file that is gone, a judge that is blind."""

import shutil

import numpy as np
import pytest

from pmf.fitting.checkpoint import STATE
from pmf.io import sealed
from tests.robustness.checkpoints import STOP, judge, run, stopped


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return stopped(tmp_path_factory.mktemp("attack") / "good")


def test_twenty_spoilt_folders_end_well_or_in_one_line():
    total, failures = run(range(20), seed=1)
    assert not failures, "\n".join(failures)
    assert total["from an older step"] and total["refused"]


def test_an_untouched_folder_goes_on(good, tmp_path):
    shutil.copytree(good, tmp_path / "a")
    assert judge(tmp_path / "a").name == "resumed"


def test_the_judge_sees_other_bits(good, tmp_path):
    """One bit of the state is changed, and sealed."""
    shutil.copytree(good, tmp_path / "a")
    newest = sealed.named(tmp_path / "a", STATE)[0]
    facts, arrays = sealed.read(newest)
    name = next(name for name in arrays if "user.factor" in name)
    arrays[name] = np.nextafter(arrays[name], np.inf)
    newest.unlink()
    sealed.write(tmp_path / "a", STOP, STATE, facts, arrays)
    outcome = judge(tmp_path / "a")
    assert (outcome.name, outcome.message) == ("failed", f"other bits, from step {STOP + 1}")


def test_the_judge_sees_a_traceback(good, tmp_path, monkeypatch):
    shutil.copytree(good, tmp_path / "a")
    monkeypatch.setattr(sealed, "read", lambda path: 1 / 0)
    outcome = judge(tmp_path / "a")
    assert outcome.name == "failed" and "ZeroDivisionError" in outcome.message


def test_the_judge_sees_a_lost_file(good, tmp_path, monkeypatch):
    shutil.copytree(good, tmp_path / "a")
    monkeypatch.setattr(sealed, "remove", lambda paths: (tmp_path / "a" / "mine.csv").unlink(True))
    outcome = judge(tmp_path / "a")
    assert (outcome.name, outcome.message) == ("failed", "lost or altered: mine.csv")
