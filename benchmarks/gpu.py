"""`python -m benchmarks.gpu`: sweeps on one accelerator, as JSON lines. Needs no network.

    als       a sweep shaped like MovieLens 25M, ranks 64 and 128
    gibbs     the same at rank 64, hyperparameters drawn
    billion   1 billion ratings, 10 million rows by 1 million, rank 64
    gram      the Gram matrix's error against float64, default and highest matmul precision

Only the layout's shape matters to a sweep's time, so the rows are made on the device: heavy-tailed
degrees, columns at random by popularity, no file and no host arrays. `--shrink 1000` tries the
script on a small machine. Without an accelerator nothing is measured unless `--cpu` asks for it.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer

from pmf.cli.console import run_app
from pmf.errors import InputError
from pmf.fitting.methods.gibbs import default_hyperprior
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.inference.blocks import Block, Blocks, panel_numbers, widths
from pmf.inference.gibbs import gibbs
from pmf.inference.layout import Data
from pmf.model.priors import Ridge, from_ridge
from pmf.types import Terms

ML25M = 25_000_095, 162_541, 59_047
BILLION = 1_000_000_000, 10_000_000, 1_000_000
GROWTH = 1.3

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def heavy_tailed(rng: np.random.Generator, n: int, rows: int, spread: float) -> np.ndarray:
    """Lognormal degrees, 1 at least, that add up to about n."""
    share = np.exp(rng.normal(0, spread, rows))
    share = np.minimum(share / share.sum(), 0.0035)
    return np.maximum(1, np.rint(share / share.sum() * n)).astype(np.int64)


def random_rows(key, degree: np.ndarray, num_cols: int, rank: int) -> Blocks:
    """Blocks of rows of these degrees, with random columns and values, made on the device."""
    ladder = widths(int(degree.max()), GROWTH)
    level = np.searchsorted(ladder, degree)
    blocks = []
    for j, width in enumerate(ladder.tolist()):
        rows = np.flatnonzero(level == j)
        if len(rows):
            keys = jax.random.split(jax.random.fold_in(key, j), 2)
            blocks.append(_random_block(*keys, rows, degree[rows], width, num_cols, rank, degree))
    return Blocks(tuple(blocks))


def _random_block(
    key_col, key_value, rows, ratings_per_row, width, num_cols, rank, degree
) -> Block:
    size = max(1, min(panel_numbers() // (width * (rank + 2)), len(rows)))
    chunks = -(-len(rows) // size)
    row = np.full(chunks * size, len(degree), np.int32)
    row[: len(rows)] = rows
    count = np.zeros(chunks * size, np.int32)
    count[: len(rows)] = ratings_per_row

    @jax.jit
    def fill(count):
        shape = chunks, size, width
        # The cube of a uniform number: few columns are popular, most are not.
        col = (jax.random.uniform(key_col, shape) ** 3 * num_cols).astype(jnp.int32)
        value = jax.random.randint(key_value, shape, 1, 11) / 2
        is_held = jnp.arange(width) < count[..., None]
        return jnp.where(is_held, col, num_cols), jnp.where(is_held, value, 0.0)

    col, value = fill(jnp.asarray(count.reshape(chunks, size)))
    return Block(jnp.asarray(row.reshape(chunks, size)), col, value.astype(jnp.float32))


def random_data(shape: tuple[int, int, int], rank: int) -> Data:
    n, users, items = shape
    rng, key = np.random.default_rng(0), jax.random.key(0)
    degrees = heavy_tailed(rng, n, users, 1.2), heavy_tailed(rng, n, items, 2.4)
    by_user = random_rows(jax.random.fold_in(key, 0), degrees[0], items, rank)
    by_item = random_rows(jax.random.fold_in(key, 1), degrees[1], users, rank)
    return Data(None, by_user, by_item, *(jnp.asarray(d, jnp.int32) for d in degrees))


def als_at(terms: Terms, data: Data) -> Algorithm:
    ridge = Ridge(5.0, 5.0, 5.0, 5.0)
    return als(from_ridge(ridge, tau=1.0).build(terms, data), terms, 2.75)


def gibbs_at(terms: Terms, data: Data) -> Algorithm:
    return gibbs(default_hyperprior(terms), terms, 2.75, 1.5)


def sweeps(
    work: str, algorithm: Callable, shape: tuple[int, int, int], rank: int, repeats: int
) -> dict[str, Any]:
    """Seconds a sweep, all on the device: one program of `repeats` sweeps, timed as a whole."""
    terms = Terms(rank)
    data = jax.block_until_ready(random_data(shape, rank))
    made = algorithm(terms, data)
    key = jax.random.key(1)

    def many(step, key, state, data):
        def one(state, key):
            return step(key, state, data)

        return jax.lax.scan(one, state, jax.random.split(key, repeats))

    run = jax.jit(many, donate_argnums=2)
    begin = time.perf_counter()
    compiled = run.lower(made.step, key, made.init(key, data), data).compile()
    compile_s = time.perf_counter() - begin
    times = []
    for _ in range(3):
        # A copy, because the state is donated and shares its prior with the algorithm.
        state = jax.block_until_ready(jax.tree.map(jnp.copy, made.init(key, data)))
        begin = time.perf_counter()
        _, info = jax.block_until_ready(compiled(made.step, key, state, data))
        times.append((time.perf_counter() - begin) / repeats)
    finite = bool(jnp.all(jnp.isfinite(info.log_posterior)))
    n, rows = int(data.user_count.sum()), len(data.user_count) + len(data.item_count)
    cells = sum(block.col.size for side in (data.by_user, data.by_item) for block in side.blocks)
    seconds, d = min(times), rank + 1
    return {
        "work": work,
        "rank": rank,
        "ratings": n,
        "sweep_ms": 1e3 * seconds,
        "finite": finite,
        "compile_s": compile_s,
        "padding": cells / 2 / n - 1,
        "tflops": (2 * n * d * (d + 1) + rows * d**3 / 3) / seconds / 1e12,
        "gb_per_s": (cells * (4 * (d + 1) + 8)) / seconds / 1e9,
        **_device(),
    }


def gram_error(rank: int = 64, ratings: int = 4096) -> Iterator[dict[str, Any]]:
    """Largest relative error of a Gram matrix and its seconds, by matmul precision."""
    x = np.random.default_rng(0).normal(size=(256, ratings, rank))
    exact = np.einsum("bwk,bwl->bkl", x, x)
    x_device = jnp.asarray(x, jnp.float32)
    for precision in ("default", "BF16_BF16_F32_X3", "highest"):
        product = jax.jit(lambda x, p=precision: jnp.einsum("bwk,bwl->bkl", x, x, precision=p))
        try:
            gram = jax.block_until_ready(product(x_device))
        except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
            reason = str(error).splitlines()[0][:100]
            yield {"work": "gram", "precision": precision, "unsupported": reason}
            continue
        begin = time.perf_counter()
        jax.block_until_ready(product(x_device))
        seconds = time.perf_counter() - begin
        error = float(np.abs(np.asarray(gram, np.float64) - exact).max() / np.abs(exact).max())
        row = {"work": "gram", "precision": precision, "error": error, "ms": 1e3 * seconds}
        yield row | _device()


def _device() -> dict[str, Any]:
    device = jax.devices()[0]
    memory = device.memory_stats() or {}
    return {"device": device.device_kind, "peak_gb": memory.get("peak_bytes_in_use", 0) / 1e9}


def table(only: list[str] | None = None, shrink: int = 1) -> Iterator[dict[str, Any]]:
    """The measurements in turn; the largest last, because a device's peak only grows."""
    small, large = (tuple(max(1, x // shrink) for x in shape) for shape in (ML25M, BILLION))
    works: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "gram": gram_error,
        "als": lambda: (sweeps("als", als_at, small, rank, 10) for rank in (64, 128)),
        "gibbs": lambda: (sweeps("gibbs", gibbs_at, small, rank, 10) for rank in (64,)),
        "billion": lambda: (sweeps("billion", als_at, large, rank, 2) for rank in (64,)),
    }
    for name in only or works:
        if name not in works:
            raise typer.BadParameter(f"{name}: say {', '.join(works)}")
        yield from works[name]()


@app.command()
def main(
    only: Annotated[
        list[str] | None, typer.Option(help="gram, als, gibbs or billion; repeatable.")
    ] = None,
    shrink: Annotated[int, typer.Option(min=1, help="Divide every size by this.")] = 1,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Measure on the CPU if JAX finds no accelerator.")
    ] = False,
) -> None:
    """Measure sweeps on the device that JAX finds; one JSON object per line."""
    if jax.default_backend() == "cpu" and not cpu:
        raise InputError(
            "JAX finds no accelerator here, and these sizes take hours and tens of GB on a "
            "processor; install JAX for the card, or say --cpu, best with --shrink 1000"
        )
    for row in table(only, shrink):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    run_app(app)
