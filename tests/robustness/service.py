"""`python -m tests.robustness.service`: requests to a process that lives long.

People are folded in and get lists, explanations and predictions; lists of many users of random
sizes, likenesses; and now and then a model of another shape takes the file's place and is loaded.
No request may fail, and memory must not grow with their number.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer

from benchmarks.memory import live_programs, resident
from pmf.cli.console import plain_app, run_app

MOST_USERS, MOST_LIST, MOST_RATED = 60, 30, 40
RELOADED = 0.01  # of the requests
WARM = 200  # requests before memory is counted

app = plain_app(__doc__.split("\n", 1)[1])


class Count(NamedTuple):
    """After a request: how many there were, all programs alive, and MB in memory."""

    requests: int
    programs: int
    memory: float


def models(folder: Path, number: int = 3) -> list[bytes]:
    """Model files of a few shapes."""
    import pmf

    files = []
    for seed in range(number):
        rng = np.random.default_rng(seed)
        users, items = 80 + 10 * seed, 300 + 20 * seed
        pair = rng.permutation(users * items)[:5000]
        frame = pd.DataFrame({"user_id": pair // items, "item_id": pair % items})
        frame["rating"] = rng.integers(1, 6, len(pair)).astype(float)
        model = pmf.PMF(3, prior=pmf.IsotropicPrior(1.0, 2.0, 2.0, 4.0, 4.0), num_steps=2)
        model.fit(frame).save(folder / "made.pmf")
        files.append((folder / "made.pmf").read_bytes())
    return files


def requests(path: Path, files: list[bytes], rng: np.random.Generator) -> Iterator[None]:
    """One request after another to the model in `path`, which is replaced now and then."""
    import pmf

    model = pmf.load(path)

    def ids(side: str) -> np.ndarray:
        return getattr(model.require_fitted(), side).values

    def person() -> pd.DataFrame:
        rated = rng.choice(ids("items"), rng.integers(1, MOST_RATED), replace=False)
        return pd.DataFrame({"user_id": "me", "item_id": rated, "rating": 3.0})

    def somebody_new() -> None:
        me = pmf.fold_in(model, person())
        pmf.recommend(me, n=int(rng.integers(1, MOST_LIST)))
        me.explain("me", rng.choice(ids("items")))
        me.ask_next("me")

    def lists() -> None:
        users = rng.choice(ids("users"), rng.integers(1, MOST_USERS), replace=False)
        some = rng.choice(ids("items"), rng.integers(1, 200), replace=False)
        candidates = some if rng.random() < 0.5 else None
        pmf.recommend(model, users, n=int(rng.integers(1, MOST_LIST)), candidates=candidates)

    def predictions() -> None:
        size = int(rng.integers(1, 2000))
        chosen = {f"{side[:-1]}_id": rng.choice(ids(side), size) for side in ("users", "items")}
        predicted = model.predict(pd.DataFrame(chosen), interval=0.9)
        if len(predicted) != size or predicted["mean"].isna().any():
            raise AssertionError(f"{len(predicted)} predictions of {size}")

    def alike() -> None:
        pmf.similar_items(model, rng.choice(ids("items")), n=int(rng.integers(1, MOST_LIST)))

    kinds: list[Callable[[], None]] = [somebody_new, lists, predictions, alike]
    while True:
        if rng.random() < RELOADED:
            fresh = path.with_name("fresh.pmf")
            fresh.write_bytes(files[rng.integers(len(files))])
            fresh.replace(path)
            model = pmf.load(path)
        kinds[rng.integers(len(kinds))]()
        yield


def served(seed: int = 0) -> Iterator[Count]:
    """Requests without end."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.pmf"
        files = models(Path(name))
        path.write_bytes(files[0])
        for done, _ in enumerate(requests(path, files, np.random.default_rng(seed)), 1):
            yield Count(done, live_programs(), resident())


@app.command()
def main(
    minutes: Annotated[float, typer.Option(help="Minutes to run.")] = 60.0, seed: int = 0
) -> None:
    """Print requests, programs and memory every tenth of the time."""
    first, tenths, begin = None, 0, time.monotonic()
    for count in served(seed):
        if count.requests == WARM:
            first = count
        share = (time.monotonic() - begin) / (60 * minutes)
        if share >= (tenths + 1) / 10:
            tenths += 1
            typer.echo(
                f"{count.requests} requests: {count.programs} programs, {count.memory:.0f} MB"
            )
        if share >= 1:
            break
    if first is not None:
        grown = count.memory - first.memory
        typer.echo(f"{grown:+.0f} MB after the first {WARM} requests, no error")


if __name__ == "__main__":
    run_app(app)
