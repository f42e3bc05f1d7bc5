"""`python -m benchmarks.time_to_rmse`: seconds from ratings in memory to each test RMSE.

Our inferences by their defaults, their searches counted, beside the rivals that predict ratings,
whose penalties are set by hand and cost nothing. Each fit is a process of its own:

    cold     ours with empty caches, once: what is compiled is counted; it also has the test RMSE
    warm     ours with what the cold one compiled, as from a machine's second fit on
    none     a rival, whose library was compiled when it was installed

The environment variable PMF_PEERS_PYTHON, or --peers-python, names an interpreter that has the
rivals. Each system's rows are written to time_to_rmse.csv in the folder --out as soon as they are
there, in place of its earlier ones of that size and rank; then a table is printed.
"""

import sys
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import typer

from benchmarks.process import THREADS, run
from benchmarks.racing import rating_sets
from benchmarks.racing.task import Trajectory
from pmf.cli.console import plain_app, run_app
from pmf.io.atomic import replacing

TABLE = "time_to_rmse.csv"
OURS = ("als", "vb", "gibbs", "map")
# Penalties set by hand, of those in their documentation the ones that predict the test ratings
# best, on MovieLens and on generated ratings.
RIVALS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "libmf": ({"l2": 0.05}, {"l2": 0.05}),
    "cmfrec": ({"lambda_": 10.0}, {"lambda_": 10.0}),
    "cmfrec_cg": ({"lambda_": 10.0}, {"lambda_": 10.0}),
    "lenskit": ({"regularization": 0.1}, {"regularization": 0.05}),
}
SYSTEMS = (*OURS, *RIVALS)
KEY = ["system", "size", "rank"]
UNTHINNED = 30  # sweeps; of later ones the table has every one that is some 5 % further on


class Size(StrEnum):
    """Of the ratings: `benchmarks.racing.rating_sets.NAMES`."""

    SMALL, ONE_MILLION, ALL = "small", "1m", "25m"


class Race(NamedTuple):
    """What every system is given, and when it stops."""

    ratings: Path
    size: str
    rank: int
    steps: int
    budget: float
    repeats: int
    folder: Path  # of caches
    peers_python: str


app = plain_app("Seconds from ratings in memory to each test RMSE: our inferences and the rivals.")


@app.command()
def main(
    size: Annotated[Size, typer.Option(help="Of the ratings.")],
    out: Annotated[Path, typer.Option(help="Folder of the table.")],
    rank: Annotated[int, typer.Option(min=1, help="Number of factors.")] = 16,
    only: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(SYSTEMS)}; repeatable.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Warm fits of ours, fits of rivals.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Sweeps at the most.")] = 1000,
    budget: Annotated[float, typer.Option(help="Seconds of a fit at the most.")] = 1800.0,
    peers_python: Annotated[
        str, typer.Option(envvar="PMF_PEERS_PYTHON", help="An interpreter with the rivals.")
    ] = sys.executable,
) -> None:
    """Race on ratings of one size at one rank, one process a fit; write and print a table."""
    for name in only or ():
        if name not in SYSTEMS:
            raise typer.BadParameter(f"{name}: say {', '.join(SYSTEMS)}")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pmf-race-") as folder:
        ratings = Path(folder) / "ratings.npz"
        rating_sets.write(size, ratings)
        limits = rank, steps, budget, repeats
        race = Race(ratings, size.value, *limits, Path(folder), peers_python)
        for system in only or SYSTEMS:
            table = kept(out / TABLE, rows_of(race, system))
    from paper_figures.figures.time_to_rmse import numbers

    mine = table[(table["size"] == rating_sets.name_of(size.value)) & (table["rank"] == rank)]
    print(numbers(mine).to_string())


def rows_of(race: Race, system: str) -> pd.DataFrame:
    """The table's rows of one system; of one that broke a single one, which says why."""
    try:
        fits = list((_our_fits if system in OURS else _rival_fits)(race, system))
    except RuntimeError as error:
        print(f"{system}: not here: {error}", file=sys.stderr, flush=True)
        fits = [pd.DataFrame({"error": [str(error).splitlines()[-1]]})]
    return pd.concat(fits).assign(
        system=system, size=rating_sets.name_of(race.size), rank=race.rank
    )


def _our_fits(race: Race, method: str) -> Iterator[pd.DataFrame]:
    """A cold fit, which is watched, then warm ones: what they predict is the same."""
    folder = race.folder / method
    caches = {"JAX_COMPILATION_CACHE_DIR": str(folder), "NUMBA_CACHE_DIR": str(folder / "numba")}
    cold = _fit(race, sys.executable, "ours", method, {"watched": True}, caches)
    yield frame_of(cold, cold, "cold", 1)
    for repeat in range(1, race.repeats + 1):
        warm = _fit(race, sys.executable, "ours", method, {"watched": False}, caches)
        yield frame_of(warm, cold, "warm", repeat)


def _rival_fits(race: Race, name: str) -> Iterator[pd.DataFrame]:
    of_movielens, of_generated = RIVALS[name]
    penalty = of_movielens if rating_sets.is_real(race.size) else of_generated
    threads = {"LK_NUM_THREADS": str(THREADS)}
    for repeat in range(1, race.repeats + 1):
        fit = _fit(race, race.peers_python, "rivals", name, penalty, threads)
        yield frame_of(fit, fit, "none", repeat)


def _fit(
    race: Race,
    python: str,
    side: str,
    worker: str,
    options: dict[str, Any],
    environment: dict[str, str],
) -> Trajectory:
    limits = {"rank": race.rank, "steps": race.steps, "budget": race.budget}
    arguments = {"path": str(race.ratings), **limits, **options}
    module = f"benchmarks.racing.{side}"
    fit = Trajectory(**run(python, module, worker, arguments, environment))
    last = f"{fit.seconds[-1]:.4g} s for {fit.steps[-1]} sweeps, peak {fit.peak_gb:.2f} GB"
    print(f"{worker:<10} {last}", file=sys.stderr, flush=True)
    return fit


def frame_of(fit: Trajectory, watched: Trajectory, cache: str, repeat: int) -> pd.DataFrame:
    """A fit's sweeps, thinned, as far as the watched one, which has their test RMSE, has come."""
    count = min(len(fit.steps), len(watched.rmse))
    kept = thinned(np.array(watched.rmse[:count]))
    columns = {"step": fit.steps, "seconds": fit.seconds, "rmse": watched.rmse}
    sweeps = {name: np.array(column)[kept] for name, column in columns.items()}
    search, preparation = fit.search_s, fit.preparation_s
    phases = {"search_seconds": search, "preparation_seconds": preparation}
    return pd.DataFrame(
        {"cache": cache, "repeat": repeat} | sweeps | phases | {"peak_gb": fit.peak_gb}
    )


def thinned(rmse: np.ndarray) -> np.ndarray:
    """Places to keep: the first, then some 5 % apart, the best and the last."""
    n = len(rmse)
    later = UNTHINNED * 1.05 ** np.arange(np.log(max(n / UNTHINNED, 1)) / np.log(1.05))
    places = [*range(min(UNTHINNED, n)), *later.astype(int), int(np.argmin(rmse)), n - 1]
    return np.unique(places)


def kept(path: Path, new: pd.DataFrame) -> pd.DataFrame:
    """The table with the new rows in place of the old ones of their system, size and rank."""
    if path.exists():
        old = pd.read_csv(path)
        replaced = old.set_index(KEY).index.isin(new.set_index(KEY).index)
        new = pd.concat([old[~replaced], new])
    order = [*KEY, "cache", "repeat", "step", "seconds", "rmse"]
    order += ["search_seconds", "preparation_seconds", "peak_gb", "error"]
    table = new.reindex(columns=order).sort_values(order[:6], kind="stable", ignore_index=True)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return table


if __name__ == "__main__":
    run_app(app)
