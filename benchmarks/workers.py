"""What `benchmarks.speed` measures: one function a measurement, run in a process of its own.

Each takes a file of ratings and a rank, and returns `seconds`, a list free of compilation and
set-up, and what else it saw.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import THREADS, answer, by_name, peak_bytes


def _load(path: str):
    arrays = np.load(path)
    user, item, value, (users, items) = (arrays[x] for x in ("user", "item", "value", "shape"))
    return user, item, value, int(users), int(items)


def _standardised(user: np.ndarray, item: np.ndarray, value: np.ndarray):
    """Ratings as a fit works on them."""
    from pmf.data.units import unit_of
    from pmf.types import Ratings

    return unit_of(value).standardised(Ratings(user, item, value))


def our_als(path: str, rank: int, fused: bool = True) -> dict[str, Any]:
    """Seconds of each sweep by the package's own driver."""
    from pmf.fitting.driver import run
    from pmf.fitting.schedule import Schedule
    from pmf.inference.als import als
    from pmf.inference.layout import by_rows
    from pmf.types import Terms

    user, item, value, *size = _load(path)
    terms, begin = Terms(rank), time.perf_counter()
    ratings = _standardised(user, item, value)
    data = by_rows(ratings, *size, rank, fused=fused)
    layout, count = time.perf_counter() - begin, len(value)
    del user, item, value, ratings  # the rows are all that a sweep reads; cmfrec reads its matrix
    prior = _prior().build(terms, data)
    steps = 6 if count > 3_000_000 else 40
    result = run(als(prior, terms, 0.0), 0, data, Schedule(num_steps=steps))
    seconds = np.diff([record.seconds for record in result.records]).tolist()
    times = {"layout_s": layout, "compile_s": result.compile_seconds}
    return {"seconds": seconds, "peak_gb": peak_bytes() / 1e9, **times}


def our_plain_als(path: str, rank: int) -> dict[str, Any]:
    """The same without the fused kernel."""
    return our_als(path, rank, fused=False)


def cmfrec_als(path: str, rank: int, use_cg: bool = False) -> dict[str, Any]:
    """Seconds a sweep: the difference of a run of 3 iterations and one of 1, halved."""
    from scipy.sparse import coo_matrix

    user, item, value, *shape = _load(path)
    matrix = coo_matrix((value, (user, item)), shape=tuple(shape))
    seconds = []
    for niter in (1, 3):
        model = cmfrec_model(rank, niter, use_cg)
        begin = time.perf_counter()
        model.fit(matrix)
        seconds.append(time.perf_counter() - begin)
    return {"seconds": [(seconds[1] - seconds[0]) / 2], "peak_gb": peak_bytes() / 1e9}


def cmfrec_model(rank: int, niter: int, use_cg: bool = False, lambda_: float = 5.0):
    """cmfrec's model, with biases as it comes."""
    from cmfrec import CMF

    return CMF(
        k=rank,
        lambda_=lambda_,
        method="als",
        use_cg=use_cg,
        finalize_chol=False,
        niter=niter,
        nthreads=THREADS,
        use_float=True,
        verbose=False,
        precompute_for_predictions=False,
    )


def cmfrec_cg(path: str, rank: int) -> dict[str, Any]:
    """cmfrec's default: three steps of conjugate gradients a row, not exact."""
    return cmfrec_als(path, rank, use_cg=True)


def our_gibbs(path: str, rank: int, fused: bool = True) -> dict[str, Any]:
    """Seconds of each sweep, one chain, hyperparameters drawn, tau fixed."""
    from pmf.fitting.driver import run
    from pmf.fitting.methods.gibbs import default_hyperprior
    from pmf.fitting.schedule import Schedule
    from pmf.inference.gibbs import gibbs
    from pmf.inference.layout import by_rows
    from pmf.types import Terms

    user, item, value, *size = _load(path)
    data = by_rows(_standardised(user, item, value), *size, rank, fused=fused)
    hyperprior = default_hyperprior(Terms(rank))
    sweeps, warm = (300, 10) if len(value) < 3_000_000 else (8, 2)
    schedule = Schedule(num_steps=1, average=True, burn_in=sweeps - 1, store_draws=False)
    sampler = gibbs(hyperprior, Terms(rank), 0.0, 1.5)
    result = run(sampler, 0, data, schedule)
    seconds = np.diff([record.seconds for record in result.records])[warm:]
    memory = {"peak_gb": peak_bytes() / 1e9, "compile_s": result.compile_seconds}
    return {"seconds": [float(np.mean(seconds))], **memory}


def smurff_gibbs(path: str, rank: int) -> dict[str, Any]:
    """Seconds a sweep: the difference of a session of 350 sweeps and one of 50, by 300."""
    import smurff
    from scipy.sparse import coo_matrix

    user, item, value, *shape = _load(path)
    matrix = coo_matrix((value - value.mean(), (user, item)), shape=tuple(shape)).tocsr()
    seconds = []
    for sweeps in (50, 350) if len(value) < 500_000 else (5, 35):
        session = smurff.BPMFSession(
            matrix,
            num_latent=rank,
            burnin=sweeps - 1,
            nsamples=1,
            verbose=0,
            seed=1,
            num_threads=THREADS,
        )
        begin = time.perf_counter()
        session.run()
        seconds.append((time.perf_counter() - begin, sweeps))
    (first, few), (last, many) = seconds
    return {"seconds": [(last - first) / (many - few)]}


def our_ingest(path: str, rank: int) -> dict[str, Any]:
    """A CSV to the rows that `PMF.fit(path)` works on: checked, coded, each pair once."""
    import pmf.inference.fused.csr  # noqa: F401  # numba before the clock starts, as pandas is
    from pmf.data.sources.base import encoded as read_encoded
    from pmf.inference.layout import by_rows

    begin = time.perf_counter()
    encoded = read_encoded(path)
    read = time.perf_counter() - begin
    ratings = _standardised(*encoded.ratings)
    data = by_rows(ratings, len(encoded.users), len(encoded.items), 16)
    seconds = time.perf_counter() - begin
    count = int(data.user_count.sum())
    return {"seconds": [seconds], "peak_gb": peak_bytes() / 1e9, "read_s": read, "ratings": count}


def pandas_ingest(path: str, rank: int) -> dict[str, Any]:
    """pandas.read_csv alone."""
    import pandas as pd

    begin = time.perf_counter()
    frame = pd.read_csv(path)
    seconds = time.perf_counter() - begin
    return {"seconds": [seconds], "peak_gb": peak_bytes() / 1e9, "ratings": len(frame)}


def our_fit(path: str, rank: int) -> dict[str, Any]:
    """From a CSV to a fitted model, three sweeps."""
    from pmf.estimators.pmf import PMF

    prior = _prior()
    begin = time.perf_counter()
    PMF(rank, num_steps=3, prior=prior).fit(path)
    return {"seconds": [time.perf_counter() - begin], "peak_gb": peak_bytes() / 1e9}


def cmfrec_fit(path: str, rank: int) -> dict[str, Any]:
    """The same through a frame of the three columns that it needs, three iterations."""
    import pandas as pd
    from cmfrec import CMF  # noqa: F401  # before the clock starts, as pandas is

    begin = time.perf_counter()
    names = ["UserId", "ItemId", "Rating"]
    frame = pd.read_csv(path, usecols=[0, 1, 2], names=names, header=0)
    cmfrec_model(rank, niter=3).fit(frame)
    return {"seconds": [time.perf_counter() - begin], "peak_gb": peak_bytes() / 1e9}


def our_lists(path: str, rank: int, approximate: bool = False) -> dict[str, Any]:
    """The ten best unseen items of every user; memory beyond the model's is `added_gb`."""
    import pmf

    model = _fitted(path, rank)
    begin = time.perf_counter()
    index = pmf.index_items(model) if approximate else None
    indexed = time.perf_counter() - begin
    some = model.require_fitted().users.values[::20]
    exact = pmf.recommend(model, some)  # compiles
    before = _forget_peak()
    begin = time.perf_counter()
    lists = pmf.recommend(model, index=index)
    seconds = time.perf_counter() - begin
    memory = {"added_gb": (peak_bytes() - before) / 1e9, "lists": lists["user_id"].nunique()}
    if index is None:
        return {"seconds": [seconds], **memory}
    both = exact.merge(lists, on=["user_id", "item_id"])
    return {"seconds": [seconds], **memory, "index_s": indexed, "recall": len(both) / len(exact)}


def our_near_lists(path: str, rank: int) -> dict[str, Any]:
    """The same, approximate."""
    return our_lists(path, rank, approximate=True)


def implicit_lists(path: str, rank: int) -> dict[str, Any]:
    """The same by implicit, exact, from factors of its own."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import coo_matrix
    from threadpoolctl import threadpool_limits

    user, item, value, *shape = _load(path)
    matrix = coo_matrix((value, (user, item)), shape=tuple(shape)).tocsr()
    del user, item, value
    model = AlternatingLeastSquares(factors=rank, iterations=1, num_threads=THREADS)
    model.fit(matrix, show_progress=False)
    before = _forget_peak()
    threadpool_limits(1, "blas")  # as it asks for: it has threads of its own
    begin = time.perf_counter()
    items, _ = model.recommend(np.arange(shape[0]), matrix, N=10)
    seconds = time.perf_counter() - begin
    return {"seconds": [seconds], "added_gb": (peak_bytes() - before) / 1e9, "lists": len(items)}


def _fitted(path: str, rank: int):
    from pmf.estimators.pmf import PMF

    return PMF(rank, num_steps=3, prior=_prior()).fit(_frame(path))


def _prior():
    from pmf.model.priors import Ridge, from_ridge

    return from_ridge(Ridge(5.0, 5.0, 5.0, 5.0), tau=1.0)


def _frame(path: str):
    import pandas as pd

    user, item, value, *_ = _load(path)
    return pd.DataFrame({"user_id": user, "item_id": item, "rating": value})


def _forget_peak() -> int:
    """Bytes that this program has now, where `peak_bytes` starts again (Linux; else its peak)."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def our_compile(path: str, rank: int) -> dict[str, Any]:
    """Seconds that a process compiles for, each method once."""
    from pmf.estimators.pmf import PMF

    ratings, seconds = _frame(path), {}
    for method, options in (("als", {}), ("map", {}), ("gibbs", {"tau": 1.5, "burn_in": 0})):
        model = PMF(rank, method, num_steps=2, **options)  # type: ignore[arg-type]
        seconds[method] = model.fit(ratings).require_fitted().fit.compile_seconds
    return {"seconds": [sum(seconds.values())], **seconds}


def limits(path: str, rank: int) -> dict[str, Any]:
    """What this machine can do: GFLOP/s of a large float32 product, GB/s of a large copy."""
    import jax
    import jax.numpy as jnp

    n = 4096
    product, ones = jax.jit(jnp.matmul), jnp.ones((n, n), jnp.float32)
    gflops = 2e-9 * n**3 / _least(lambda: product(ones, ones).block_until_ready())
    source = np.ones(1 << 27, np.float32)
    target = np.empty_like(source)
    bandwidth = 2e-9 * source.nbytes / _least(lambda: np.copyto(target, source))
    return {"seconds": [], "gflops": gflops, "gb_per_s": bandwidth}


def _least(work: Callable[[], Any], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


WORKERS = by_name(
    our_als,
    our_plain_als,
    cmfrec_als,
    cmfrec_cg,
    our_gibbs,
    smurff_gibbs,
    our_ingest,
    pandas_ingest,
    our_fit,
    cmfrec_fit,
    our_lists,
    our_near_lists,
    implicit_lists,
    our_compile,
    limits,
)

if __name__ == "__main__":
    answer(WORKERS)
