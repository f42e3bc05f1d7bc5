"""`python -m tests.robustness.foreign`: no command touches what is somebody else's.

In every folder that a command writes to lie foreign things of many names, all of them days old: a
file, a hidden file, a folder, a hidden folder, links, and names that are nearly this program's own.
Every command is run there, in one process. A command may refuse; but afterwards the tree is what it
was, but for what the command is said to write. Then names like those that were written are planted
too, and everything is run again. Exit code 1 where anything foreign is changed, missing or new.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import typer
from typer.testing import CliRunner

from pmf.cli.console import run_app

DAYS = 3 * 86_400  # seconds since anything foreign was touched
FILES = (
    "notes.txt",
    ".env",
    "mine.csv",
    "mine.pmf",
    ".m.pmf.0123456789abcdef.part",
    ".x.part",
    "scores.csv.bak",
    "00000001.part",
    "draw.safetensors",
    "run.json.old",
    "a.lock",
    ".a.lock",
    "study.journal",
    "Ünïcode ☃",
    "-rf",
    "new\nline",
)
FOLDERS = (".git", "drafts", "00000009", "draws.old", "pmf-ratings-mine", ".0123456789ab.mine")
OURS_ALIKE = ("{}~", "{}.bak", ".{}", "{}.tmp", "{}.part")
CONFIG = """
data = "ratings.csv"
[split]
kind = "sample_records"
[model]
rank = [1]
num_steps = 3
[model.prior]
tau = 1.0
user_factor = 1.0
item_factor = 1.0
user_bias = 1.0
item_bias = 1.0
"""
PRIOR = "tau=1,user_factor=1,item_factor=1,user_bias=1,item_bias=1"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Step(NamedTuple):
    """A command, and patterns of the paths that it may make, change or, of its own, remove."""

    words: str
    writes: tuple[str, ...] = ()


OF_PMF = (
    Step(
        f"pmf fit ratings.csv --rank 1 --steps 3 --prior {PRIOR} --out models/m.pmf",
        ("models/m.pmf",),
    ),
    Step(
        f"pmf fit ratings.csv --rank 1 --steps 3 --prior {PRIOR} --out models/m.pmf "
        "--checkpoints kept --checkpoint-steps 1",
        ("models/m.pmf", "kept*"),
    ),
    Step(
        f"pmf fit ratings.csv --rank 1 --steps 3 --prior {PRIOR} --out models/m.pmf "
        "--checkpoints kept --checkpoint-steps 1 --resume",
        ("models/m.pmf", "kept*"),
    ),
    Step(
        "pmf fit parts --method map --on-disk --rank 1 --steps 3 "
        f"--prior {PRIOR} --out models/d.pmf",
        ("models/d.pmf",),
    ),
    Step("pmf evaluate models/m.pmf test.csv --train ratings.csv --json"),
    Step("pmf predict models/m.pmf ratings.csv --out lists/p.csv", ("lists/p.csv",)),
    Step("pmf predict models/m.pmf ratings.csv --out ratings.csv"),
    Step("pmf fit ratings.csv --out ratings.csv"),
    Step("pmf recommend models/m.pmf --all -n 2 --out lists/l.parquet", ("lists/l.parquet",)),
    Step("pmf recommend models/m.pmf --all -n 2 --out models/m.pmf"),
    Step("pmf similar models/m.pmf --item 1 -n 2"),
    Step("pmf fold-in models/m.pmf ratings.csv -n 2 --out lists/f.csv", ("lists/f.csv",)),
    Step("pmf fold-in models/m.pmf ratings.csv -n 2 --out ratings.csv"),
    Step("pmf explain models/m.pmf --user 1 --item 1"),
    Step(
        "pmf split ratings.csv --train lists/train.csv --test lists/test.csv",
        ("lists/train.csv", "lists/test.csv"),
    ),
    Step("pmf split ratings.csv --train ratings.csv --test lists/test.csv"),
    Step("pmf data list"),
    Step("pmf data describe ratings.csv"),
    Step("pmf data fetch ml-1m --from-zip ratings.csv"),
    Step("pmf doctor"),
    Step("pmf doctor --clean --folder models --folder lists --folder kept"),
)
OF_EXPERIMENTS = (
    Step("experiments run tiny.toml --no-figures", ("runs/tiny*",)),
    Step("experiments run tiny.toml --no-figures --dry-run"),
    Step("experiments run tiny.toml --no-figures --resume", ("runs/tiny*",)),
    Step("experiments collect tiny.toml", ("results/tiny*",)),
    Step("experiments clean", ("runs/tiny*",)),
    Step("paper_figures --results runs --out out", ("out*",)),
    Step("paper_figures report --results runs --out out", ("out*",)),
    Step("experiments clean --runs tiny --yes", ("runs/tiny*",)),
    Step("experiments run tiny.toml", ("runs/tiny*",)),
)
TABLES = ("runs/tiny", "results/tiny")
FOLDERS_WRITTEN = (
    ".",
    "models",
    "lists",
    "kept",
    "kept/steps",
    "data",
    "temporary",
    "runs",
    "runs/tiny",
    "runs/tiny/studies",
    "results",
    "results/tiny",
    "out",
    "out/tiny",
)


def make(root: Path) -> None:
    """The inputs, and every folder that is written to."""
    for name in FOLDERS_WRITTEN:
        (root / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pair = rng.permutation(12 * 10)[:100]
    frame = pd.DataFrame({"user": pair // 10, "item": pair % 10})
    frame["rating"] = rng.integers(1, 6, 100)
    frame[80:].to_csv(root / "test.csv", index=False)
    frame = frame[:80]
    frame.to_csv(root / "ratings.csv", index=False)
    (root / "parts").mkdir()
    frame.to_parquet(root / "parts" / "a.parquet")
    (root / "tiny.toml").write_text(CONFIG)
    (root.parent / "elsewhere").mkdir(exist_ok=True)
    (root.parent / "elsewhere" / "thesis.tex").write_text("mine")


def plant(folder: Path, files: tuple[str, ...] = FILES, folders: tuple[str, ...] = FOLDERS) -> None:
    """Foreign things in a folder, where their names are free, and all of them old."""
    links = {"link.pmf": "thesis.tex", ".link": ".", "nowhere": "no-such-file"}
    made = [folder / name for name in (*files, *folders, *links) if not _is_there(folder / name)]
    for path in made:
        if path.name in links:
            path.symlink_to(_elsewhere(folder) / links[path.name])
        elif path.name in folders:
            path.mkdir()
            (path / "HEAD").write_text("mine")
        else:
            path.write_text("mine")
        os.utime(path, (time.time() - DAYS,) * 2, follow_symlinks=False)


def _elsewhere(folder: Path) -> Path:
    return next(one for one in folder.parents if (one / "elsewhere").is_dir()) / "elsewhere"


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def tree(root: Path) -> dict[str, str]:
    """Every path below, with what is there; links are not followed."""
    entries = {}
    for path in _all(root):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        match kind:
            case "link":
                content = os.readlink(path)
            case "file":
                content = sha256(path.read_bytes()).hexdigest()
            case _:
                content = ""
        entries[str(path.relative_to(root))] = f"{kind} {content}"
    return entries


def _all(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        yield from (Path(folder, name) for name in (*folders, *files))


def run(step: Step) -> Any:
    """Run a command in this process; what it raised, or None."""
    program, *words = step.words.split()
    return CliRunner().invoke(_apps()[program], words).exception


def _apps() -> dict[str, typer.Typer]:
    import experiments.__main__
    import paper_figures.__main__
    from pmf.cli.main import app as of_pmf

    return {
        "pmf": of_pmf,
        "experiments": experiments.__main__.app,
        "paper_figures": paper_figures.__main__.app,
    }


def attack(root: Path, steps: tuple[Step, ...], foreign: set[str], works: bool) -> list[str]:
    """What each command did that it must not, one line each. `root` is the current folder.

    With `works`, a command that is to write may not refuse.
    """
    faults = []
    for step in steps:
        before = tree(root)
        error = run(step)
        if not isinstance(error, (ValueError, SystemExit, type(None))) or (
            error is not None and works and step.writes
        ):
            faults.append(f"{step.words}: {type(error).__name__}: {error}")
        after = tree(root)
        for path in sorted(before.keys() | after.keys()):
            allowed = path not in foreign and any(fnmatch(path, one) for one in step.writes)
            if before.get(path) != after.get(path) and not allowed:
                was, is_now = before.get(path, "nothing"), after.get(path, "nothing")
                faults.append(f"{step.words}: {path}: {was:.20} became {is_now:.20}")
    return faults


def torment(root: Path, steps: tuple[Step, ...], alike: bool = True) -> tuple[int, list[str]]:
    """How many foreign paths there were, and the faults; `root` is the current folder.

    Without `alike`, names that are like those that were written are not tried.
    """
    make(root)
    for name in FOLDERS_WRITTEN:
        tables = name in TABLES  # where a foreign table is refused
        plant(root / name, tuple(one for one in FILES if not (tables and one == "mine.csv")))
    foreign = set(tree(root))
    faults = attack(root, steps, foreign, works=True)
    if alike:
        foreign |= _plant_alike(root, foreign)
        faults += attack(root, steps, foreign, works=False)
    for name in TABLES:
        plant(root / name)
    foreign |= {f"{name}/mine.csv" for name in TABLES}
    return len(foreign), faults + attack(root, steps, foreign, works=False)


def _plant_alike(root: Path, foreign: set[str]) -> set[str]:
    """Foreign files whose names are nearly those that commands have written; their paths."""
    before = tree(root)
    for path in {root / name for name in before if name not in foreign}:
        plant(path.parent, tuple(one.format(path.name) for one in OURS_ALIKE), ())
    return set(tree(root)) - set(before)


@app.command()
def main() -> int:
    """Run every command among foreign things, and look what became of them."""
    import experiments.__main__

    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "root").resolve()
        root.mkdir()
        # Whatever commands write to is in there.
        tempfile.tempdir = str(root / "temporary")
        os.environ["PMF_DATA_DIR"] = str(root / "data")
        experiments.__main__.RESULTS = root / "results"
        os.chdir(root)
        steps = (*OF_PMF, *OF_EXPERIMENTS)
        number, faults = torment(root, steps)
        os.chdir("/")
    print(f"{3 * len(steps)} commands among {number} foreign things: {len(faults)} faults")
    for fault in faults:
        print(fault, file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    run_app(app)
