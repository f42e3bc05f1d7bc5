"""`python -m experiments.speed`: our sweeps against the rivals', side by side in one run.

Each measurement is a process of its own, ours and the rival's in turn, so that neither sees the
other's memory or threads. A sweep's time is free of compilation and set-up. Needs the extra
`peers`; `--peers-python` names another interpreter that has them.

    als     one exact ALS sweep, 25 million ratings shaped like MovieLens 25M, against cmfrec
    gibbs   Gibbs sweeps of 80,000 ratings shaped like MovieLens 100K, against SMURFF
    ingest  a CSV of 25 million ratings to arrays
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pmf.cli import run_app

THREADS = 2
ML25M = {"n": 25_000_095, "users": 162_541, "items": 59_047}
ML100K = {"n": 80_000, "users": 943, "items": 1_682}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _load(path: str):
    arrays = np.load(path)
    return arrays["user"], arrays["item"], arrays["value"], arrays["shape"]


def our_als(path: str, rank: int) -> dict[str, Any]:
    """Seconds of each sweep after compilation, by the package's own driver."""
    from pmf.als import als
    from pmf.layout import by_rows
    from pmf.priors import Ridge, from_ridge
    from pmf.run import run
    from pmf.types import Ratings, Terms
    from pmf.watch import Schedule

    user, item, value, (users, items) = _load(path)
    terms, begin = Terms(rank), time.perf_counter()
    data = by_rows(Ratings(user, item, value), int(users), int(items), rank)
    layout = time.perf_counter() - begin
    prior = from_ridge(Ridge(5.0, 5.0, 5.0, 5.0), tau=1.0).build(terms, data)
    result = run(als(prior, terms, float(value.mean())), 0, data, Schedule(num_steps=4))
    seconds = np.diff([record.seconds for record in result.records])
    times = {"layout_s": layout, "compile_s": result.compile_seconds}
    return {"sweep_s": seconds.tolist(), "peak_gb": _peak_gb(), **times}


def cmfrec_als(path: str, rank: int) -> dict[str, Any]:
    """Seconds a sweep: the difference of a run of 3 iterations and one of 1, halved."""
    from cmfrec import CMF
    from scipy.sparse import coo_matrix

    user, item, value, shape = _load(path)
    matrix = coo_matrix((value, (user, item)), shape=tuple(shape))
    seconds = []
    for niter in (1, 3):
        model = CMF(
            k=rank, lambda_=5.0, method="als", use_cg=False, finalize_chol=False, niter=niter,
            user_bias=True, item_bias=True, nthreads=THREADS, use_float=True, verbose=False,
            precompute_for_predictions=False,
        )  # fmt: skip
        begin = time.perf_counter()
        model.fit(matrix)
        seconds.append(time.perf_counter() - begin)
    return {"sweep_s": [(seconds[1] - seconds[0]) / 2], "peak_gb": _peak_gb()}


def our_gibbs(path: str, rank: int) -> dict[str, Any]:
    """Seconds of each sweep, one chain, tau fixed; the first ten are left out."""
    from pmf.fit import default_hyperprior
    from pmf.gibbs import gibbs
    from pmf.layout import by_rows
    from pmf.run import run
    from pmf.settings import make_settings
    from pmf.types import Ratings, Terms
    from pmf.watch import Schedule

    user, item, value, (users, items) = _load(path)
    data = by_rows(Ratings(user, item, value), int(users), int(items), rank)
    hyperprior = default_hyperprior(make_settings({"rank": rank, "method": "gibbs"}))
    schedule = Schedule(num_steps=1, average=True, burn_in=299)
    sampler = gibbs(hyperprior, Terms(rank), float(value.mean()), 1.5)
    result = run(sampler, 0, data, schedule)
    seconds = np.diff([record.seconds for record in result.records])[10:]
    return {"sweep_s": [float(np.mean(seconds))], "compile_s": result.compile_seconds}


def smurff_gibbs(path: str, rank: int) -> dict[str, Any]:
    """Seconds a sweep: the difference of a session of 350 sweeps and one of 50, by 300."""
    import smurff
    from scipy.sparse import coo_matrix

    user, item, value, shape = _load(path)
    matrix = coo_matrix((value - value.mean(), (user, item)), shape=tuple(shape)).tocsr()
    seconds = []
    for sweeps in (50, 350):
        session = smurff.BPMFSession(
            matrix, num_latent=rank, burnin=sweeps - 1, nsamples=1, verbose=0, seed=1,
            num_threads=THREADS,
        )  # fmt: skip
        begin = time.perf_counter()
        session.run()
        seconds.append(time.perf_counter() - begin)
    return {"sweep_s": [(seconds[1] - seconds[0]) / 300]}


def our_ingest(path: str, rank: int) -> dict[str, Any]:
    """A CSV to checked, encoded arrays."""
    from pmf.data.catalogue import load
    from pmf.data.frames import encode

    begin = time.perf_counter()
    encoded = encode(load(path).ratings)
    seconds = time.perf_counter() - begin
    return {"sweep_s": [seconds], "peak_gb": _peak_gb(), "ratings": len(encoded.ratings.value)}


def pandas_ingest(path: str, rank: int) -> dict[str, Any]:
    """pandas.read_csv alone."""
    import pandas as pd

    begin = time.perf_counter()
    frame = pd.read_csv(path)
    seconds = time.perf_counter() - begin
    return {"sweep_s": [seconds], "peak_gb": _peak_gb(), "ratings": len(frame)}


WORKERS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    worker.__name__: worker
    for worker in (our_als, cmfrec_als, our_gibbs, smurff_gibbs, our_ingest, pandas_ingest)
}
PAIRS = {
    "als": (our_als, cmfrec_als, ML25M),
    "gibbs": (our_gibbs, smurff_gibbs, ML100K),
    "ingest": (our_ingest, pandas_ingest, ML25M),
}


def _spawn(python: str, worker: Callable, path: Path, rank: int) -> dict[str, Any]:
    command = [python, "-m", "experiments.speed", "--worker", worker.__name__]
    done = subprocess.run(
        [*command, "--path", str(path), "--rank", str(rank)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(THREADS), "PYTHONPATH": os.getcwd()},
    )
    if done.returncode:
        raise RuntimeError(f"{worker.__name__}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _prepare(folder: Path, work: str, shape: dict[str, int]) -> Path:
    from pmf.data.synthetic import movielens_shaped

    user, item, value = movielens_shaped(0, **shape)
    if work == "ingest":
        import pyarrow as pa
        import pyarrow.csv

        path = folder / "ratings.csv"
        names = ["userId", "movieId", "rating", "timestamp"]
        columns = [user, item, value, np.arange(len(user)) + 10**9]
        pa.csv.write_csv(pa.table(dict(zip(names, columns, strict=True))), path)
        return path
    path = folder / f"{work}.npz"
    shape_array = np.array([shape["users"], shape["items"]])
    np.savez(path, user=user, item=item, value=value, shape=shape_array)
    return path


def compare(work: str, rank: int, repeats: int, peers_python: str) -> dict[str, Any]:
    """Ours and the rival's medians over `repeats` alternating processes, and their ratio."""
    ours, rival, shape = PAIRS[work]
    with tempfile.TemporaryDirectory() as folder:
        path = _prepare(Path(folder), work, shape)
        rounds = [
            (_spawn(sys.executable, ours, path, rank), _spawn(peers_python, rival, path, rank))
            for _ in range(repeats)
        ]
    mine, theirs = ([float(np.median(one[side]["sweep_s"])) for one in rounds] for side in (0, 1))
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    extra = {name: value for name, value in rounds[-1][0].items() if name != "sweep_s"}
    return {
        "work": work, "rank": rank, "ratings": shape["n"], "repeats": repeats,
        "ours_s": float(np.median(mine)), "rival": rival.__name__,
        "rival_s": float(np.median(theirs)), "ratio": float(np.median(ratios)),
        "ratios": ratios, "ours": extra, "rival_peak_gb": rounds[-1][1].get("peak_gb"),
    }  # fmt: skip


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PAIRS)}.")] = None,
    rank: Annotated[int | None, typer.Option(help="Default: 64 for als, 16 for gibbs.")] = None,
    repeats: Annotated[int, typer.Option(help="Alternating runs of each side.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    peers_python: Annotated[str, typer.Option(help="An interpreter with cmfrec and smurff.")] = (
        sys.executable
    ),
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
    path: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure sweeps against the rivals, one process a measurement, in turn."""
    if worker is not None:
        cores = sorted(os.sched_getaffinity(0))[:THREADS]  # the same cores for both sides
        os.sched_setaffinity(0, cores)
        print(json.dumps(WORKERS[worker](path, rank or 0)))
        return
    for work in only or list(PAIRS):
        if work not in PAIRS:
            raise typer.BadParameter(f"{work}: say {', '.join(PAIRS)}")
        default = {"als": 64, "gibbs": 16, "ingest": 0}[work]
        row = compare(work, default if rank is None else rank, repeats, peers_python)
        if as_json:
            print(json.dumps(row), flush=True)
        else:
            ours, rival = f"ours {row['ours_s']:.4g} s", f"{row['rival']} {row['rival_s']:.4g} s"
            spread = f"{min(row['ratios']):.3f} to {max(row['ratios']):.3f}"
            print(f"{work}, rank {row['rank']}, {row['ratings']:,} ratings: {ours}, {rival}, "
                  f"ratio {row['ratio']:.3f} ({spread}); {row['ours']}", flush=True)  # fmt: skip


if __name__ == "__main__":
    run_app(app)
