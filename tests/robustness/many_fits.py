"""`python -m tests.robustness.many_fits`: fits of random shapes, one after another in a process.

A sweep, a tuner and a service do so. The programs of one fit serve no other, and what a process
holds of them, and its memory, must not grow with the number of fits.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer

from benchmarks.memory import live_programs, resident
from pmf.cli.console import plain_app, run_app

SHORT = {
    "als": {"num_steps": 3, "prior": "given"},
    "map": {"num_steps": 3, "prior": "given"},
    "gibbs": {"num_steps": 3, "burn_in": 1, "tau": 4.0},
}
EVERY = 10

app = plain_app(__doc__.split("\n", 1)[1])


class Held(NamedTuple):
    """After a fit: its shape, all programs alive, and MB in memory."""

    shape: tuple[int, int, int]
    programs: int
    memory: float


def ratings(rng: np.random.Generator) -> pd.DataFrame:
    """Ratings of a random number of users on a random number of items."""
    users, items = (int(x) for x in rng.integers(20, 300, 2))
    pair = rng.permutation(users * items)[: rng.integers(users * items // 20, users * items // 4)]
    value = rng.integers(1, 11, len(pair)) / 2
    return pd.DataFrame({"user_id": pair // items, "item_id": pair % items, "rating": value})


def fits(method: str, count: int, seed: int = 0, rank: int = 3) -> Iterator[Held]:
    """Fit, predict and forget, `count` times."""
    import pmf

    settings = dict(SHORT[method])
    if "prior" in settings:
        settings["prior"] = pmf.IsotropicPrior(4.0, 2.0, 2.0, 4.0, 4.0)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        frame = ratings(rng)
        model = pmf.PMF(rank, method, **settings).fit(frame, heldout=frame[:50])
        model.predict(frame[:20])
        pmf.recommend(model, frame["user_id"][:1], n=3)
        shape = frame["user_id"].nunique(), frame["item_id"].nunique(), len(frame)
        yield Held(shape, live_programs(), resident())


@app.command()
def main(
    count: Annotated[int, typer.Option(min=1, help="Fits.")] = 200,
    method: Annotated[str, typer.Option(help="als, gibbs or map.")] = "als",
    seed: int = 0,
) -> None:
    """Print programs and memory as fits go on."""
    most = 0.0
    for k, state in enumerate(fits(method, count, seed), 1):
        most = max(most, state.memory)
        if k % EVERY == 0 or k == count:
            typer.echo(f"{k} fits: {state.programs} programs, {state.memory:.0f} MB")
    typer.echo(f"{method}: at most {most:.0f} MB in {count} fits")


if __name__ == "__main__":
    run_app(app)
