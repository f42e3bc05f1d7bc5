"""`python -m tests.robustness.kills`: saves killed at random moments; what is left afterwards.

One process has what a save needs, but no thread and no device. It forks a saver that saves a model
to one file again and again, and kills it (SIGKILL) within the first saves. The file must always be
a whole model. Then what was left is made a day old, and one more save must remove it all, but not
the files that are not the program's. Exit code 1 where it does not.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pmf.cli.console import run_app

MODEL, FOREIGN = "m.pmf", (".m.pmf.part", ".m.pmf.0123456789abcdef.part", "notes.txt", ".git")
LONGEST = 0.05  # seconds that a saver lives: some saves of a small model
DAY = 86_401

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def torment(folder: Path, save: Callable[[Path], Any], kills: int, seed: int) -> dict[str, int]:
    """Counts: of kills, of those that left something, of models that were not whole, and of what
    was there after one more save.
    """
    from pmf.estimators.model_file import load

    for name in FOREIGN:
        (folder / name).write_text("mine")
    save(folder / MODEL)
    expected = {MODEL, *FOREIGN}
    rng, broken = np.random.default_rng(seed), 0
    for _ in range(kills):
        _kill(lambda: save(folder / MODEL), rng.uniform(0, LONGEST))
        try:
            load(folder / MODEL)
        except ValueError:
            broken += 1
    left = {path.name for path in folder.iterdir()} - expected
    for name in left:
        os.utime(folder / name, (time.time() - DAY,) * 2)
    save(folder / MODEL)
    after = {path.name for path in folder.iterdir()}
    return {
        "kills": kills,
        "left": len(left),
        "broken": broken,
        "left after a save": len(after - expected),
        "lost": len(expected - after),
    }


def _kill(work: Callable[[], Any], seconds: float) -> None:
    """Do `work` again and again in a forked process, and kill that after some seconds."""
    child = os.fork()
    if not child:
        while True:
            work()
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def fit(path: Path) -> None:
    """A small model, fitted in a process of its own: a process that has computed is not forked."""
    code = (
        "import sys, pandas, pmf; frame = pandas.DataFrame({'user': [1, 1, 2, 2], "
        "'item': [1, 2, 1, 3], 'rating': [1.0, 2, 3, 5]}); pmf.PMF(1, fused=False, num_steps=1, "
        "prior=pmf.IsotropicPrior(1, 1, 1, 1, 1)).fit(frame).save(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


@app.command()
def main(
    kills: Annotated[int, typer.Option(help="Number of kills.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the random moments.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    model: Annotated[
        Path | None, typer.Option(help="The model to save; default a small one.")
    ] = None,
) -> int:
    """Kill saves at random moments, save once more, and look what is left."""
    from pmf.estimators.model_file import load, save

    with tempfile.TemporaryDirectory() as name:
        home, place = Path(name), Path(name, "place")
        place.mkdir()
        if model is None:
            model = home / MODEL
            fit(model)
        saved = load(model)
        counts = torment(place, lambda path: save(saved, path), kills, seed)
    print(json.dumps(counts) if as_json else "\n".join(f"{n:<18} {c}" for n, c in counts.items()))
    return int(counts["broken"] + counts["left after a save"] + counts["lost"] > 0)


if __name__ == "__main__":
    run_app(app)
