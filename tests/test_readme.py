"""The README's example runs as it stands there. Catches: a name or an argument that has moved."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import pmf
from experiments.tables.summary import summary
from tests.helpers.commands import as_a_user

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_printed_table_is_the_tracked_one():
    """All but its times, which are one machine's."""
    tracked = README.parent / "experiments" / "results" / "quickstart"
    runs, scores = (
        pd.read_csv(tracked / f"{x}.csv", dtype={"id": str}) for x in ("runs", "scores")
    )
    printed = re.search(r"^method rank .*?\n\n", README.read_text(encoding="utf8"), re.M | re.S)
    assert printed is not None
    first, *lines = printed[0].split("\n")[:4]
    head, *table = summary(runs, scores).split("\n")
    assert head == first
    assert [line.split()[:7] for line in lines] == [line.split()[:7] for line in table]


def test_every_citation_is_of_this_version():
    """Catches a release that is cited as the one before it."""
    root = README.parent
    cff = dict(
        re.findall(
            r"^(title|version|date-released): (.*)$", (root / "CITATION.cff").read_text(), re.M
        )
    )
    for page in (README, root / "docs" / "index.md"):
        entry = dict(re.findall(r"^  (\w+) = {(.*)},?$", page.read_text(encoding="utf8"), re.M))
        assert entry["version"] == cff["version"] == pmf.__version__
        assert entry["title"].replace("{", "").replace("}", "") == cff["title"].strip('"')
        assert entry["date"] == cff["date-released"]
    changes = (root / "CHANGELOG.md").read_text(encoding="utf8")
    newest = re.findall(r"^## \[(\d.*?)\] - (.*)$", changes, re.M)[0]
    assert newest == (cff["version"], cff["date-released"])


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf8"), re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf8")
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=as_a_user(),
    )
    assert done.returncode == 0, done.stderr
    assert pmf.load(tmp_path / "model.pmf").settings.method == "gibbs"
