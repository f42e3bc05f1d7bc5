"""`python -m tests.robustness.kill_sweep`: sweeps killed at random moments, resumed, compared.

The sweep has two arms, a search for each and folds; it writes a checkpoint as often as it can. Its
process is killed (SIGKILL, which its workers do not survive) at a moment uniform over most of an
undisturbed sweep's life, resumed, killed again, and at last left to finish. Every table but for
times, and every prediction, must then be an undisturbed sweep's bit for bit. Exit code 1 where one
is not.
"""

import operator
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer

from pmf.cli.console import run_app

KILLS_A_SWEEP = 4
MOST = 0.8  # of a life: few sweeps end before their moment
CONFIG = """
data = "{data}"

[split]
kind = "crossfold_records"
partitions = 3
fold = {folds}

[model]
rank = 3

[tuning]
trials = {trials}
"""
ARMS = {
    "ALS": "num_steps = 30",
    "Gibbs": 'method = "gibbs"\nnum_steps = {draws}\nburn_in = 6\nthin = 2',
}
LOOK = 0.01  # seconds from one look at a sweep to the next

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Sweep(NamedTuple):
    """A small sweep: its configuration, how many workers it has, and where programs are kept."""

    config: Path
    jobs: int
    cache: Path


def make(
    folder: Path,
    jobs: int,
    trials: int = 3,
    draws: int = 20,
    folds: Sequence[int] = (1, 2),
    arms: Sequence[str] = tuple(ARMS),
) -> Sweep:
    """A configuration and its ratings in a folder."""
    from pmf.data.synthetic import movielens_shaped

    ratings = movielens_shaped(0, n=2_000, users=80, items=200)
    frame = pd.DataFrame(dict(zip(("user", "item", "rating"), ratings, strict=True)))
    frame.to_csv(folder / "ratings.csv", index=False)
    config = folder / "sweep.toml"
    choices = {"trials": trials, "draws": draws, "folds": list(folds)}
    text = CONFIG + "".join(f"\n[arm.{name}]\n{ARMS[name]}\n" for name in arms)
    config.write_text(text.format(data=folder / "ratings.csv", **choices))
    return Sweep(config, jobs, folder / "compiled")


def live(
    sweep: Sweep, runs: Path, fate: Callable[[float], bool] | None = None
) -> tuple[bool, float]:
    """Run or resume the sweep; kill it when `fate`, told how many seconds it has lived, says so.

    Returns whether it was killed, and how long it lived. Raises `RuntimeError` where it ends by
    itself with another code than 0.
    """
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(sweep.cache),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [
        *(sys.executable, "-m", "experiments", "run", str(sweep.config), "--resume"),
        *("--jobs", str(sweep.jobs), "--checkpoint-minutes", "1e-9"),
        *("--runs-dir", str(runs), "--no-figures"),
    ]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    while True:
        try:
            _, errors = process.communicate(timeout=LOOK if fate else None)
            break
        except subprocess.TimeoutExpired:
            if fate and fate(time.perf_counter() - begin):
                process.kill()
    if process.returncode not in (0, -9):
        raise RuntimeError(f"the sweep failed: {errors.decode().strip()[-2000:]}")
    return process.returncode == -9, time.perf_counter() - begin


def differences(one: Path, two: Path) -> list[str]:
    """Which tables and predictions of two finished sweeps differ in anything but times."""
    different = []
    for name in sorted({path.name for folder in (one, two) for path in folder.glob("*.csv")}):
        tables = [_timeless(folder / name) for folder in (one, two)]
        if not tables[0].equals(tables[1]):
            different.append(name)
    runs = sorted({path.parent.name for x in (one, two) for path in x.glob("*/config.json")})
    for run in runs:
        files = [folder / run / "predictions.parquet" for folder in (one, two)]
        if not all(file.is_file() for file in files) or not _same_bits(*files):
            different.append(f"{run}/predictions.parquet")
    return different


def _timeless(path: Path) -> pd.DataFrame:
    """A table as text, without its times; empty without one."""
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "metric" in table:
        table = table[~table["metric"].str.endswith("_seconds")]
    return table.drop(columns="seconds", errors="ignore").reset_index(drop=True)


def _same_bits(one: Path, two: Path) -> bool:
    a, b = (pd.read_parquet(path) for path in (one, two))
    return list(a) == list(b) and all(
        a[x].to_numpy().tobytes() == b[x].to_numpy().tobytes() for x in a
    )


def torment(
    sweep: Sweep, truth: Path, runs: Path, life: float, rng: np.random.Generator, kills: int
) -> tuple[int, list[str]]:
    """One sweep, killed up to `kills` times within an undisturbed `life`: kills and differences."""
    killed = 0
    while True:
        moment = rng.uniform(0, MOST * life)
        fate = partial(operator.lt, moment) if killed < kills else None
        was_killed, _ = live(sweep, runs, fate)
        killed += was_killed
        if not was_killed:
            return killed, differences(truth / sweep.config.stem, runs / sweep.config.stem)


@app.command()
def main(
    kills: Annotated[int, typer.Option(help="How many, over all sweeps.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the random moments.")] = 0,
    jobs: Annotated[int, typer.Option(help="Workers of a sweep.")] = 2,
) -> int:
    """Kill sweeps at random moments, resume them, and compare their tables."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        sweep = make(home, jobs)
        live(sweep, home / "first")  # compiles
        _, life = live(sweep, home / "truth")
        done, different = 0, 0
        while done < kills:
            most = min(KILLS_A_SWEEP, kills - done)
            runs = home / f"killed-{done}"
            killed, differences_found = torment(sweep, home / "truth", runs, life, rng, most)
            done, different = done + killed, different + bool(differences_found)
            print(
                f"{done} of {kills} kills; different: {', '.join(differences_found) or 'nothing'}",
                flush=True,
            )
        again = differences(home / "truth" / "sweep", home / "first" / "sweep")
    print(f"two undisturbed sweeps differ in: {', '.join(again) or 'nothing'}")
    return int(different > 0)


if __name__ == "__main__":
    run_app(app)
