"""Commands among foreign things, in short: `tests.robustness.foreign`. Catches: a person's file
that is removed, replaced or moved, and files that appear where no command said so."""

import tempfile

import pytest

from tests.robustness import foreign

NAMES = ["pmf", "experiments and figures"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A current folder, with whatever commands write to inside."""
    import experiments.__main__

    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("PMF_DATA_DIR", str(root / "data"))
    monkeypatch.setattr(tempfile, "tempdir", str(root / "temporary"))
    monkeypatch.setattr(experiments.__main__, "RESULTS", root / "results")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("steps", [foreign.OF_PMF, foreign.OF_EXPERIMENTS[:-1]], ids=NAMES)
def test_what_is_somebody_elses_stays(steps, root):
    number, faults = foreign.torment(root, steps, alike=False)
    assert number > 400 and not faults, "\n".join(faults)


def test_what_is_removed_replaced_or_new_is_seen(root, monkeypatch):
    """The test itself: a command that does wrong is told of."""
    foreign.make(root)
    foreign.plant(root / "models")
    steps = [foreign.Step("removes"), foreign.Step("writes", ("lists/*",)), foreign.Step("fails")]
    acts = {
        "removes": lambda: (root / "models" / ".env").unlink(),
        "writes": lambda: [(root / "lists" / "a").touch(), (root / "b").touch()],
        "fails": lambda: {}["key"],
    }

    def run(step):
        try:
            acts[step.words]()
        except KeyError as error:
            return error

    monkeypatch.setattr(foreign, "run", run)
    lines = foreign.attack(root, steps, set(foreign.tree(root)), works=True)
    assert [line.split(":")[:2] for line in lines] == [
        ["removes", " models/.env"],
        ["writes", " b"],
        ["fails", " KeyError"],
    ]
