"""What tables are of: `sources.json` beside them, by which a changed table is noticed.

    runs    the seal of each run's manifest by its id; null of a run that was made before there were
            seals
    tables  the sha256 of each CSV file
    made    how many runs were made with which versions, on which machine, and when; not of tables
            that an older version wrote

Tables without it (another's, or of an older version) are read as they are.
"""

from pathlib import Path

from pmf.errors import InputError
from pmf.io.atomic import replacing
from pmf.io.sealed_json import Facts, check_files, digests, read_json, write_json

SOURCES = "sources.json"


def write_sources(
    folder: Path,
    runs: dict[str, str | None],
    tables: list[Path],
    made: list[Facts] | None = None,
) -> None:
    """Say which runs the tables in a folder are of, how these were made, and what they are."""
    facts = {"runs": runs, "tables": digests(tables), "made": made or []}
    with replacing(folder / SOURCES) as temporary:
        write_json(temporary, facts)


def read_sources(folder: Path) -> Facts | None:
    """What the tables in a folder are of, or None where nothing says so.

    Raises `InputError` where that is not what was written.
    """
    path = folder / SOURCES
    if not path.exists():
        return None
    remedy = f"remove it, and run or collect {folder.name} again"
    facts = read_json(path, remedy)
    if not {"runs", "tables"} <= {*facts}:
        raise InputError(f"{path}: it is another file of this program; {remedy}")
    return facts


def tables_in(folder: Path) -> list[Path]:
    """The tables in a folder, each as it was written where that is known.

    Raises `InputError` naming the one that is not.
    """
    sources = read_sources(folder)
    if sources is None:
        return sorted(folder.glob("*.csv"))
    check_files(folder, sources["tables"], f"run or collect {folder.name} again")
    return [folder / name for name in sources["tables"]]
