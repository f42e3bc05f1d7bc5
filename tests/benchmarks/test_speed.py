"""The speed scripts measure what they say. Catches: a worker that no longer runs, a wrong share."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import gpu, speed, workers
from benchmarks.gpu import als_at, gibbs_at, gram_error, sweeps
from benchmarks.speed import Bench, Work, _line, compare, share_of_limits
from pmf.errors import InputError

SMALL = {"n": 2_000, "users": 60, "items": 200}


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path, sys.executable)


def test_our_workers_sweep(bench):
    path = str(bench.ratings(SMALL))
    for worker, sweeps_of in ((workers.our_als, 39), (workers.our_gibbs, 1)):
        result = worker(path, 3)
        assert len(result["seconds"]) == sweeps_of and min(result["seconds"]) > 0


def test_ingest_reads_every_rating(bench):
    path = str(bench.ratings(SMALL, as_csv=True))
    assert workers.our_ingest(path, 0)["ratings"] == 2_000
    assert workers.pandas_ingest(path, 0)["ratings"] == 2_000


def test_lists_are_for_everybody(bench):
    pytest.importorskip("faiss")
    path = str(bench.ratings({"n": 2_000, "users": 60, "items": 400}))
    timing = workers.our_lists(path, 3)
    assert timing["lists"] == 60 and timing["added_gb"] >= 0
    assert workers.our_near_lists(path, 3)["recall"] > 0.9


@pytest.mark.slow
def test_a_worker_is_a_process_that_prints_json(bench):
    result = bench.measure("pandas_ingest", bench.ratings(SMALL, as_csv=True), 0)
    assert result["ratings"] == 2_000
    with pytest.raises(RuntimeError, match="(?s)pandas_ingest: .*No such file"):
        bench.measure("pandas_ingest", Path("nowhere.csv"), 0)


def test_ratios_are_of_rounds(bench, monkeypatch):
    """The median of the rounds' ratios, not the ratio of medians: a slow minute slows both."""
    times = iter([1.0, 2.0, 10.0, 40.0, 3.0, 9.0])
    monkeypatch.setattr(bench, "measure", lambda *arguments: {"seconds": [next(times)]})
    row = compare(bench, "gibbs", Work("ours", "theirs", SMALL, 3), repeats=3)
    assert (row["ours"], row["theirs"]) == (3.0, 9.0)
    assert row["ratio"] == pytest.approx(1 / 3) and row["least"] == 0.25 and row["most"] == 0.5
    assert "ours        3 s  theirs               9 s  ratio 0.333 (0.250 to 0.500)" in _line(row)


def test_shares_of_the_limits_by_hand(bench, monkeypatch):
    """Rank 2 with a bias and the rating: 4 columns, 10 products; one rating, 2 rows of d = 3."""
    monkeypatch.setattr(bench, "measure", lambda *arguments: {"gflops": 1e-7, "gb_per_s": 1e-6})
    one = {"n": 1, "users": 1, "items": 1}
    shares = share_of_limits(bench, Path(), Work("ours", "theirs", one, 2), seconds=2.0)
    flop = 2 * 4 * 5 + 2 * 27 / 3
    assert shares["share_of_sgemm"] == pytest.approx(flop / 2 / 100)
    assert shares["share_of_copy"] == pytest.approx((2 * (4 * 4 + 8)) / 2 / 1000)


def test_growth_fits_the_exponent(bench, monkeypatch):
    monkeypatch.setattr(bench, "ratings", lambda shape: shape["n"])
    monkeypatch.setattr(
        bench,
        "measure",
        lambda worker, n, rank: {"seconds": [1e-7 * n**1.02], "peak_gb": 1.0, "layout_s": 0.1},
    )
    assert speed.growth(bench, 1)[-1]["exponent"] == pytest.approx(1.02)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [als_at, gibbs_at])
def test_accelerator_script_sweeps_on_any_device(algorithm):
    row = sweeps("als", algorithm, (3_000, 100, 60), rank=3, repeats=2)
    assert row["finite"] and 2_500 < row["ratings"] < 3_600
    json.dumps(row)


def test_gram_error_is_that_of_single_precision():
    rows = [row for row in gram_error(rank=4, ratings=64) if "error" in row]
    assert {"default", "highest"} <= {row["precision"] for row in rows}
    assert all(np.isfinite(row["error"]) and row["error"] < 1e-6 for row in rows)


def test_unknown_work_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", "--only", "lunch"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "lunch: say als" in done.stderr


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is an accelerator")
def test_the_script_for_a_gpu_refuses_a_processor_unless_asked(monkeypatch):
    """Catches a full size started where it takes hours."""
    monkeypatch.setattr(gpu, "table", lambda only, shrink: iter([{"only": only, "shrink": shrink}]))
    refused = CliRunner().invoke(gpu.app, ["--only", "als"])
    assert isinstance(refused.exception, InputError) and "say --cpu" in str(refused.exception)
    outcome = CliRunner().invoke(gpu.app, ["--only", "als", "--cpu", "--shrink", "1000"])
    assert json.loads(outcome.output) == {"only": ["als"], "shrink": 1000}
