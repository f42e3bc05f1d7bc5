"""Mistakes as data (`tests/mistakes/KIND.toml`), planted one at a time in a copy of the repository.

`tests/mistakes/README.md` says what an entry holds.
"""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LISTS = ROOT / "tests" / "mistakes"
NEEDED = (
    "pmf",
    "benchmarks",
    "experiments",
    "paper_figures",
    "tests",
    "configs",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "mkdocs.yml",
    "CITATION.cff",
    "LICENSE",
    "pyproject.toml",
)
TIMEOUT = 1800  # seconds for one mistake: for hangs, which a mistake may well cause
FAILED, NOT_RUN = 1, (2, 3, 4, 5)  # pytest's exit codes


class Mistake(NamedTuple):
    """`text`, found once in `file`, becomes `instead`; then each of `tests` must fail.

    A test is `tests/test_x.py::test_y`, of which some case must fail, or `...::test_y[case]`.
    """

    kind: str
    name: str
    file: str
    text: str
    instead: str
    tests: list[str]


class Outcome(NamedTuple):
    """What pytest said of a copy: its exit code, all that it printed, the tests that failed."""

    code: int
    output: str
    failed: list[str]


def mistakes() -> list[Mistake]:
    """All that are listed, by kind."""
    listed = []
    for path in sorted(LISTS.glob("*.toml")):
        for name, fields in tomllib.loads(path.read_text()).items():
            listed.append(Mistake(path.stem, name, **fields))
    return listed


def complaints(mistake: Mistake) -> list[str]:
    """Why an entry cannot be planted as it stands; nothing where it can."""
    source = (ROOT / mistake.file).read_text()
    texts = []
    if (count := source.count(mistake.text)) != 1:
        texts.append(f"its text is {count} times in {mistake.file}: {mistake.text!r}")
    if mistake.text == mistake.instead:
        texts.append("it changes nothing")
    if not mistake.tests:
        texts.append("no test is to catch it")
    texts += [f"there is no {test}" for test in mistake.tests if not _exists(test)]
    if not texts and mistake.file.endswith(".py"):
        try:
            ast.parse(source.replace(mistake.text, mistake.instead))
        except SyntaxError as error:
            texts.append(f"what it leaves is no Python: {error}")
    return texts


def _exists(test: str) -> bool:
    file, _, name = test.partition("::")
    return name.partition("[")[0] in _tests_of(file)


@cache
def _tests_of(file: str) -> set[str]:
    path = ROOT / file
    if not path.is_file():
        return set()
    return {x.name for x in ast.parse(path.read_text()).body if isinstance(x, ast.FunctionDef)}


def copy_of_the_repository(folder: Path) -> None:
    """What the tests need, in `folder`."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def plant(mistake: Mistake, folder: Path) -> None:
    """Make the mistake in a copy."""
    path = folder / mistake.file
    path.write_text(path.read_text().replace(mistake.text, mistake.instead))


def outcome(tests: list[str], folder: Path) -> Outcome:
    """Run tests in a copy, in one process."""
    report = folder / "outcome.xml"
    options = ("-n", "0", "-p", "no:cacheprovider", "--tb=short", f"--junit-xml={report}")
    options += ("-o", "junit_family=xunit1")  # which has the files' names
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *dict.fromkeys(tests)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    failed = []
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(f"{case.get('file')}::{case.get('name')}")
    return Outcome(run.returncode, run.stdout + run.stderr, failed)


def passed(test: str, failed: list[str]) -> bool:
    """Whether a test, in all of its cases, is not among those that failed."""
    return not any(name == test or name.startswith(f"{test}[") for name in failed)
