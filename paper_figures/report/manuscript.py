"""All that the article's sources show: the contents, the facts, and what they are of."""

import hashlib
import os
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from paper_figures.figures.build import Tables
from paper_figures.figures.sources import read_sources
from paper_figures.report.contents import contents
from paper_figures.report.facts import facts, metrics_of
from pmf.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


class Cover(NamedTuple):
    """What a report is called, and whose it is."""

    title: str = "Probabilistic matrix factorization: one posterior, four inferences"
    author: str = "The pmf authors"


def manuscript(results: Path, experiments: dict[str, Tables], cover: Cover) -> dict[str, Any]:
    """All that the sources show, as JSON has it."""
    made = {name: (read_sources(results / name) or {}).get("made", []) for name in experiments}
    return {
        "title": cover.title,
        "author": cover.author,
        "date": date_of(made),
        "tables": digest(results, experiments),
        **contents(experiments),
        "metrics": metrics_of(experiments),
        "facts": {name: facts(tables) for name, tables in experiments.items()},
        "made": made,
        "certified": certified(ROOT / "docs" / "correctness.md"),
        "planted": planted(ROOT / "tests" / "mistakes"),
    }


def date_of(made: dict[str, list[dict[str, Any]]]) -> list[int] | None:
    """Year, month and day: of SOURCE_DATE_EPOCH, else of the last run; None where neither is."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        try:
            day = datetime.fromtimestamp(int(epoch), UTC)
        except (ValueError, OverflowError, OSError) as error:
            message = f"SOURCE_DATE_EPOCH={epoch!r}: it is no time in seconds; unset it"
            raise InputError(message) from error
        return [day.year, day.month, day.day]
    groups = [one for groups in made.values() for one in groups]
    last = max((day for one in groups for day in one["finished"]), default="")
    return [int(x) for x in last[:10].split("-")] if last else None


def digest(results: Path, experiments: dict[str, Tables]) -> str:
    """What names the tables: the beginning of the sha256 of all of them."""
    total = hashlib.sha256()
    for name in sorted(experiments):
        for path in sorted((results / name).glob("*.csv")):
            total.update(f"{name}/{path.name}".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


def certified(page: Path) -> list[list[str]]:
    """Claim, what it is compared with, and where: the first table of the docs' page."""
    text = page.read_text(encoding="utf8") if page.exists() else ""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text.partition("\n## ")[0], re.MULTILINE)
    return [[re.sub(r"\*\*|`", "", cell) for cell in row] for row in rows[2:]]


def planted(folder: Path) -> list[list[Any]]:
    """Each kind of planted mistake, and how many there are of it."""
    return [
        [path.stem.replace("_", " "), len(tomllib.loads(path.read_text("utf8")))]
        for path in sorted(folder.glob("*.toml"))
    ]
