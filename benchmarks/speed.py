"""`python -m benchmarks.speed`: our sweeps against the rivals', side by side in one run.

Each measurement is a process of its own, ours and the rival's in turn, so that neither sees the
other's memory or threads; times are free of compilation. Needs the extra `peers`;
`--peers-python` names another interpreter that has them.

    als      exact ALS sweeps, 25 million ratings shaped like MovieLens 25M, against cmfrec
    gibbs    Gibbs sweeps, ratings shaped like MovieLens 100K and 1M, against SMURFF
    memory   peak memory at rank 64 from arrays, and from a CSV of them, against cmfrec
    ingest   a CSV of 25 million ratings to rows, against pandas.read_csv alone
    lists    the ten best unseen items of all users of MovieLens 25M, against implicit
    growth   sweep time and memory against ratings, 1 to 25 million, and the fitted exponent
    compile  seconds of compilation, first process and second
    gpu      `python -m benchmarks.gpu`, where JAX has a GPU
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from benchmarks.process import run
from pmf.cli.console import run_app

ML25M = {"n": 25_000_095, "users": 162_541, "items": 59_047}
ML1M = {"n": 900_000, "users": 6_040, "items": 3_706}
ML100K = {"n": 80_000, "users": 943, "items": 1_682}
MILLION = {"n": 10_000_000, "users": 50_000, "items": 1_000_000}
GROWTH = [1_000_000, 2_500_000, 6_000_000, 12_000_000, 25_000_095]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Work(NamedTuple):
    """One line of the table: our worker and the rival's on the same ratings."""

    ours: str
    rival: str
    shape: dict[str, int]
    rank: int


WORKS: dict[str, list[Work]] = {
    "als": [
        Work("our_als", "cmfrec_als", ML25M, 64),
        Work("our_als", "cmfrec_cg", ML25M, 64),
        Work("our_als", "cmfrec_als", ML25M, 16),
        Work("our_als", "cmfrec_als", ML25M, 32),
        Work("our_als", "cmfrec_als", ML25M, 128),
        Work("our_als", "our_plain_als", ML25M, 64),
    ],
    "gibbs": [
        Work("our_gibbs", "smurff_gibbs", ML100K, 16),
        Work("our_gibbs", "smurff_gibbs", ML1M, 32),
    ],
    "memory": [
        Work("our_als", "cmfrec_als", ML25M, 64),
        Work("our_fit", "cmfrec_fit", ML25M, 64),  # from a CSV
    ],
    "ingest": [Work("our_ingest", "pandas_ingest", ML25M, 0)],
    "lists": [
        Work("our_lists", "implicit_lists", ML25M, 64),
        Work("our_near_lists", "our_lists", ML25M, 64),
        Work("our_near_lists", "our_lists", MILLION, 64),
    ],
}


def shape_of(n: int) -> dict[str, int]:
    """MovieLens 25M with n ratings: users and items in proportion, and pairs for them all."""
    share = max(n / ML25M["n"], (6 * n / ML25M["users"] / ML25M["items"]) ** 0.5)
    return {"n": n} | {name: round(share * ML25M[name]) for name in ("users", "items")}


class Bench:
    """Runs workers in fresh processes, on files made once."""

    def __init__(self, folder: Path, peers_python: str):
        self.folder, self.peers_python = folder, peers_python

    def measure(self, worker: str, path: Path, rank: int, **environment: str) -> dict[str, Any]:
        ours = worker.startswith("our_") or worker == "limits"
        python = sys.executable if ours else self.peers_python
        arguments = {"path": str(path), "rank": rank}
        return run(python, "benchmarks.workers", worker, arguments, environment)

    def ratings(self, shape: dict[str, int], as_csv: bool = False) -> Path:
        """A file of ratings shaped like MovieLens."""
        path = self.folder / f"{shape['n']}.{'csv' if as_csv else 'npz'}"
        if not path.exists():
            from pmf.data.synthetic import movielens_shaped

            write = _write_csv if as_csv else _write_arrays
            write(path, movielens_shaped(0, **shape), shape)
        return path


def _write_arrays(path: Path, ratings, shape: dict[str, int]) -> None:
    sides = np.array([shape["users"], shape["items"]])
    np.savez(path, **ratings._asdict(), shape=sides)


def _write_csv(path: Path, ratings, shape: dict[str, int]) -> None:
    import pyarrow as pa
    import pyarrow.csv

    time = np.arange(len(ratings.user)) + 10**9
    names = ["userId", "movieId", "rating", "timestamp"]
    pa.csv.write_csv(pa.table(dict(zip(names, [*ratings, time], strict=True))), path)


def compare(bench: Bench, name: str, work: Work, repeats: int) -> dict[str, Any]:
    """Both sides' medians over alternating processes, and the median of the rounds' ratios."""
    path = bench.ratings(work.shape, as_csv=name == "ingest" or work.ours == "our_fit")
    measured = "peak_gb" if name == "memory" else "seconds"
    rounds = [
        [bench.measure(worker, path, work.rank) for worker in (work.ours, work.rival)]
        for _ in range(repeats)
    ]
    pairs = np.array([[np.median(side[measured]) for side in pair] for pair in rounds])
    ratios = pairs[:, 0] / pairs[:, 1]
    row: dict[str, Any] = {
        "work": name,
        "rank": work.rank,
        "ratings": work.shape["n"],
        "measured": measured,
        "ours": float(np.median(pairs[:, 0])),
        "rival": work.rival,
        "theirs": float(np.median(pairs[:, 1])),
        "ratio": float(np.median(ratios)),
        "least": float(ratios.min()),
        "most": float(ratios.max()),
        "repeats": repeats,
    }
    last = {key: value for key, value in rounds[-1][0].items() if key != "seconds"}
    if name == "als":
        last |= share_of_limits(bench, path, work, row["ours"])
    return row | last


def share_of_limits(bench: Bench, path: Path, work: Work, seconds: float) -> dict[str, float]:
    """A sweep's arithmetic and traffic, as shares of what this machine reaches at its best.

    Arithmetic: the upper triangle of each rating's outer product, twice (two orientations), and a
    Cholesky factor per row, at the rate of a large sgemm. Traffic: each rating's gathered row, its
    column and its value, at the rate of a large copy.
    """
    most = bench.measure("limits", path, 0)
    n, d = work.shape["n"], work.rank + 1
    rows = work.shape["users"] + work.shape["items"]
    flop = 2 * n * (d + 1) * (d + 2) + rows * d**3 / 3
    traffic = 2 * n * (4 * (d + 1) + 8)
    return {
        "gflops": flop / seconds / 1e9,
        "share_of_sgemm": flop / seconds / 1e9 / most["gflops"],
        "gb_per_s": traffic / seconds / 1e9,
        "share_of_copy": traffic / seconds / 1e9 / most["gb_per_s"],
    }


def growth(bench: Bench, repeats: int, rank: int = 64) -> list[dict[str, Any]]:
    """Sweep time and memory as users are added, items with them; the exponent of time."""
    rows = []
    for n in GROWTH:
        path = bench.ratings(shape_of(n))
        runs = [bench.measure("our_als", path, rank) for _ in range(repeats)]
        seconds = min(min(run["seconds"]) for run in runs)
        rows.append(
            {
                "work": "growth",
                "rank": rank,
                "ratings": n,
                "seconds": seconds,
                "peak_gb": runs[-1]["peak_gb"],
                "layout_s": runs[-1]["layout_s"],
            }
        )
    logs = np.log([[row["ratings"], row["seconds"]] for row in rows])
    exponent = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
    return [*rows, {"work": "growth", "rank": rank, "exponent": exponent}]


def compilation(bench: Bench) -> list[dict[str, Any]]:
    """An empty cache, then the same again in another process."""
    path, cache = bench.ratings(ML100K), bench.folder / "cache"
    folders = {"JAX_COMPILATION_CACHE_DIR": str(cache), "NUMBA_CACHE_DIR": str(cache / "numba")}
    rows = []
    for process in ("first", "second"):
        result = bench.measure("our_compile", path, 16, **folders)
        total = result.pop("seconds")[0]
        rows.append({"work": "compile", "process": process, "total_s": total, **result})
    return rows


@app.command()
def main(
    only: Annotated[
        list[str] | None,
        typer.Option(help="als, gibbs, memory, ingest, lists, growth, compile or gpu; repeatable."),
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Only the lines of this rank.")] = None,
    repeats: Annotated[int, typer.Option(help="Alternating runs of each side.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    peers_python: Annotated[str, typer.Option(help="An interpreter with cmfrec and smurff.")] = (
        sys.executable
    ),
) -> None:
    """Measure against the rivals, one process a measurement, in turn; print a table."""
    known = [*WORKS, "growth", "compile", "gpu"]
    chosen = only or known[:-1]
    for name in chosen:
        if name not in known:
            raise typer.BadParameter(f"{name}: say {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), peers_python)
        for name in chosen:
            for row in _rows(bench, name, rank, repeats):
                print(json.dumps(row) if as_json else _line(row), flush=True)


def _rows(bench: Bench, name: str, rank: int | None, repeats: int):
    match name:
        case "growth":
            yield from growth(bench, repeats)
        case "compile":
            yield from compilation(bench)
        case "gpu":
            from benchmarks.gpu import table

            yield from table()
        case _:
            for work in WORKS[name]:
                if rank in (None, work.rank):
                    yield compare(bench, name, work, repeats)


def _line(row: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    if "ratio" not in row:
        return "  ".join(f"{name} {shown(value)}" for name, value in row.items())
    unit = "GB" if row["measured"] == "peak_gb" else "s"
    extra = [f"{name} {shown(row[name])}" for name in list(row)[list(row).index("repeats") + 1 :]]
    return (
        f"{row['work']:<7} rank {row['rank']:<4} {row['ratings']:>10,} ratings  "
        f"ours {row['ours']:>8.4g} {unit}  {row['rival']:<13} {row['theirs']:>8.4g} {unit}  "
        f"ratio {row['ratio']:.3f} ({row['least']:.3f} to {row['most']:.3f})  {', '.join(extra)}"
    )


if __name__ == "__main__":
    run_app(app)
