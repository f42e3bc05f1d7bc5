"""The system "sweep": how long a sweep takes and what it holds. It reads no data, predicts nothing.

Ratings are synthetic, shaped like MovieLens 25M. Each measurement is a process of its own: its
memory is nobody else's, and its times are free of compilation.
"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.speed import Bench, shape_of
from experiments.systems.base import OnStep, Outcome, System


class SweepSettings(BaseModel):
    """What is swept, on how many threads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["als", "gibbs"] = "als"
    ratings: Annotated[int, Field(ge=1000)] = 1_000_000
    rank: Annotated[int, Field(ge=1)] = 16
    threads: Annotated[int, Field(ge=1)] = 2
    repeat: Annotated[int, Field(ge=1)] = 1  # which of several measurements: a list makes several


def fit_and_predict(settings: SweepSettings, split, dataset, on_step: OnStep, checkpoints):
    """The median seconds of a sweep, and the peak memory of its process."""
    on_step("sweep", 0, 1)
    with tempfile.TemporaryDirectory(prefix="pmf-sweep-") as folder:
        bench = Bench(Path(folder), sys.executable)
        path = bench.ratings(shape_of(settings.ratings))
        threads = str(settings.threads)
        names = ("PMF_BENCH_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
        limits = dict.fromkeys(names, threads)
        timing = bench.measure(f"our_{settings.method}", path, settings.rank, **limits)
    on_step("sweep", 1, 1)
    costs = {
        "sweep_seconds": float(np.median(timing["seconds"])),
        "compile_seconds": timing["compile_s"],
        "peak_bytes": 1e9 * timing["peak_gb"],
    }
    return Outcome(costs=costs)


SYSTEM = System(SweepSettings, fit_and_predict, tables=())
