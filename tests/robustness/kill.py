"""`python -m tests.robustness.kill`: fits killed at random moments, resumed, compared bit for bit.

Every fit is a process that writes a checkpoint after every step. It is killed (SIGKILL) at a moment
uniform over what is left of its life after its first step, most of which is spent in writing
checkpoints; resumed and killed again, a few times; and at last left to finish. Its model must then
be, but for times, that of a process that knew no checkpoints. Exit code 1 where one is not.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import typer

from pmf.cli.console import run_app
from pmf.io.atomic import left_in

KILLS_A_FIT = 5
METHODS: dict[str, dict[str, Any]] = {
    "als": {"num_steps": 30, "tolerance": 0.0},
    "map": {"num_steps": 30, "tolerance": 0.0, "optimizer": "lbfgs"},
    "gibbs": {"num_steps": 12, "burn_in": 6, "thin": 2, "num_chains": 2, "tau": 1.5},
}
PRIOR = 1.5, 10.0, 10.0, 3.0, 3.0  # tau and precisions
COLUMNS = "fits", "kills", "in_a_write", "damaged", "steps_lost", "different"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def work(method: str, folder: Path, with_checkpoints: bool) -> None:
    """What the processes do: a fit that says `step` and its number, or `damaged`, line by line."""
    import pandas as pd

    from pmf import PMF, Checkpoints, IsotropicPrior
    from pmf.data.synthetic import movielens_shaped

    def say(*words: object) -> None:
        print(*words, flush=True)

    warnings.showwarning = lambda message, *rest, **named: say("damaged", message)
    ratings = movielens_shaped(0, n=2_000, users=80, items=200)
    frame = pd.DataFrame(dict(zip(("user", "item", "rating"), ratings, strict=True)))
    model = PMF(4, method, prior=IsotropicPrior(*PRIOR), **METHODS[method])  # type: ignore[arg-type]
    checkpoints = (
        Checkpoints(folder / "kept", every_steps=1, resume=True) if with_checkpoints else None
    )
    model.fit(
        frame[:1_800],
        frame[1_800:],
        on_record=lambda record: say("step", record.step),
        checkpoints=checkpoints,
    )
    model.save(folder / "model.pmf")


class Life(NamedTuple):
    """What a process left behind."""

    killed: bool
    first: int  # its first step, 0 where it took none
    last: int  # the last step that it told of
    damaged: int  # checkpoints that it found unreadable
    seconds: float  # from its first step to its end


def live(
    method: str, folder: Path, cache: Path, fate: float | None = None, with_checkpoints: bool = True
) -> Life:
    """Run a process; kill it `fate` seconds after its first step, or let it finish."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "tests.robustness.kill", "--worker", method]
    process = subprocess.Popen(
        [*command, "--folder", folder, *([] if with_checkpoints else ["--without"])],
        bufsize=0,  # or lines that `readline` took too many of would be lost
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    output = process.stdout.readline()
    while output and not output.splitlines()[-1].startswith(b"step"):
        output += process.stdout.readline()
    begin = time.perf_counter()
    try:
        more, errors = process.communicate(timeout=fate)
    except subprocess.TimeoutExpired:
        process.kill()
        more, errors = process.communicate()
    seconds = time.perf_counter() - begin
    if process.returncode not in (0, -9):
        raise RuntimeError(f"{method}: a process failed: {errors.decode().strip()[-2000:]}")
    text = (output + more).decode()  # its last line, where it was killed, may be half a line
    lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    steps = [int(line[1]) for line in lines if line[0] == "step"] or [0]
    damaged = sum(line[0] == "damaged" for line in lines)
    return Life(process.returncode == -9, steps[0], steps[-1], damaged, seconds)


def in_a_write(folder: Path) -> bool:
    """Whether something unfinished lies there: the process died while it wrote."""
    return bool(left_in(folder / "kept", age=0))


def same(one: Path, two: Path) -> bool:
    """Whether two model files agree in every bit of every number but times."""
    from pmf import load

    return bits_of(load(one / "model.pmf")) == bits_of(load(two / "model.pmf"))


def bits_of(model: Any) -> str:
    """Every bit of every number of a fitted model but times, as text."""
    fit = model.require_fitted().fit
    run, draws = fit.run, fit.run.draws
    arrays = [*jax.tree.leaves(draws), fit.noise_variance]
    # As text, in which a NaN equals itself and other numbers are exact.
    trace = [record._replace(seconds=0.0) for record in run.records]
    bits = [(x.dtype.str, x.shape, x.tobytes().hex()) for x in map(np.asarray, arrays)]
    return repr((bits, trace, run.log_posterior, run.stopped, fit.search.chosen))


def torment(
    method: str, truth: Path, folder: Path, cache: Path, rng: np.random.Generator, kills: int
) -> dict[str, int]:
    """One fit, killed up to `kills` times. A full life is measured in `truth`'s own folder."""
    total = dict.fromkeys(COLUMNS, 0)
    expected, whole = 1, json.loads((truth / "life.json").read_text())
    life = Life(True, 0, 0, 0, 0.0)
    while life.killed:
        left = 1 - (expected - 1) / whole["steps"]
        fate = rng.uniform(0, whole["seconds"] * left) if total["kills"] < kills else None
        life = live(method, folder, cache, fate)
        total["kills"] += life.killed
        total["in_a_write"] += life.killed and in_a_write(folder)
        total["damaged"] += life.damaged
        # A step that was told of may miss its checkpoint; the one before it may not.
        total["steps_lost"] += max(0, expected - life.first) if life.first else 0
        expected = max(life.last, 1)
    total["fits"] = 1
    total["different"] = int(not same(truth, folder))
    return total


@app.command()
def main(
    kills: Annotated[int, typer.Option(help="How many, over all methods.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the random moments.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
    folder: Annotated[Path, typer.Option(hidden=True)] = Path("."),
    without: Annotated[bool, typer.Option("--without", hidden=True)] = False,
) -> int:
    """Kill fits at random moments, resume them, and compare what comes out."""
    if worker is not None:
        work(worker, folder, with_checkpoints=not without)
        return 0
    rng = np.random.default_rng(seed)
    totals = {method: dict.fromkeys(COLUMNS, 0) for method in METHODS}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for method in METHODS:
            _measure(method, home / method, home / "compiled")
        done = fit = 0
        while done < kills:
            method = list(METHODS)[fit % len(METHODS)]
            place = home / f"{method}-{fit}"
            place.mkdir()
            most = min(KILLS_A_FIT, kills - done)
            result = torment(method, home / method, place, home / "compiled", rng, most)
            totals[method] = {key: totals[method][key] + result[key] for key in COLUMNS}
            done, fit = done + result["kills"], fit + 1
            print(f"{done} of {kills} kills; {method}: {result}", file=sys.stderr, flush=True)
    everything = {key: sum(total[key] for total in totals.values()) for key in COLUMNS}
    rows = totals | {"all": everything}
    if as_json:
        print(json.dumps(rows))
    else:
        print(f"{'':<6}" + "".join(f"{key.replace('_', ' '):>12}" for key in COLUMNS))
        for method, total in rows.items():
            print(f"{method:<6}" + "".join(f"{total[key]:>12}" for key in COLUMNS))
    return int(everything["different"] + everything["damaged"] + everything["steps_lost"] > 0)


def _measure(method: str, truth: Path, cache: Path) -> None:
    """The undisturbed model, without checkpoints; and how long a process with them lives."""
    truth.mkdir()
    live(method, truth, cache, with_checkpoints=False)
    with tempfile.TemporaryDirectory(dir=truth) as folder:
        life = live(method, Path(folder), cache)
    whole = {"steps": life.last, "seconds": life.seconds}
    (truth / "life.json").write_text(json.dumps(whole))


if __name__ == "__main__":
    run_app(app)
