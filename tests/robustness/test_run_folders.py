"""Spoilt run folders, in short. Catches: a file that nobody checks before it is read, a library's
error instead of one line."""

import pytest

from experiments.runs import folders
from tests.robustness import run_folders
from tests.robustness.run_folders import torment


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with run_folders.predicting():
        yield run_folders.make(tmp_path_factory.mktemp("made"))


def test_no_spoilt_run_is_read_otherwise_or_ends_in_a_traceback(made, tmp_path):
    counts, wrong = torment(made, 30, 1, tmp_path, each=False)
    assert wrong == [] and counts["refused"] > 15 and counts["same"] > 3


def test_files_that_nobody_checks_are_noticed(made, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "check_files", lambda *arguments: None)
    counts, wrong = torment(made, 20, 2, tmp_path, each=False)
    assert counts["other in silence"] and len(wrong) > 2
