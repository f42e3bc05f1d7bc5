"""Limits of the system, told before the work. Catches: an abort, or a library that is called
missing."""

import pytest
from typer.testing import CliRunner

from pmf.cli import console, main
from pmf.errors import InputError
from pmf.process import limits

COMMANDS = (
    ["fit", "ml-small-2016", "--out", "m.pmf"],
    ["evaluate", "m.pmf", "r.csv"],
    ["predict", "m.pmf", "r.csv", "--out", "p.csv"],
    ["recommend", "m.pmf", "--user", "1"],
    ["similar", "m.pmf", "--item", "1"],
    ["fold-in", "m.pmf", "r.csv"],
    ["explain", "m.pmf", "--user", "1", "--item", "1"],
    ["doctor"],
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
def test_too_little_memory_is_one_line_before_the_work(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits, "address_space", lambda: 2 * limits.GIB)
    done = CliRunner().invoke(main.app, arguments)
    assert isinstance(done.exception, InputError)
    assert "the limit on memory is 2.0 GiB" in str(done.exception)
    assert "ulimit -v" in str(done.exception) and not list(tmp_path.iterdir())


def test_no_limit_and_a_high_one_let_everything_through(monkeypatch):
    for limit in (None, 1 << 60):
        monkeypatch.setattr(limits, "address_space", lambda limit=limit: limit)
        limits.check_memory()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 9 bytes"), "allocating 9"),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (OSError(28, "No space left on device", "m.pmf"), "No space left on device: 'm.pmf'"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, message, capfd):
    def fails(**named):
        raise error

    assert console._run(fails) in (1, 2)
    written = capfd.readouterr().err
    assert written.startswith("error: ") and message in written and written.count("\n") == 1


def test_a_mistake_of_ours_is_no_line_about_memory():
    def fails(**named):
        raise RuntimeError("a dictionary changed")

    with pytest.raises(RuntimeError, match="a dictionary changed"):
        console._run(fails)
