"""The command `pmf`."""

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from pmf.atomic import check_target
from pmf.cli_data import data_app
from pmf.cli_lists import add_lists
from pmf.command import SetOrFile, plain_app, run_app
from pmf.errors import InputError

# The heavy rooms are imported inside the commands, so that --help answers at once.


app = plain_app("Probabilistic matrix factorization: fit, evaluate and predict ratings.")
app.add_typer(data_app, name="data")


@app.command()
def doctor() -> None:
    """Versions, devices, and the data sets found."""
    import jax

    from pmf import cpu
    from pmf.data.catalogue import BUNDLED, NAMES
    from pmf.data.movielens import data_dir, find

    print(f"python           {platform.python_version()} on {platform.platform()}")
    for package in (
        "pmf",
        "jax",
        "jaxlib",
        "numpy",
        "scipy",
        "pandas",
        "pyarrow",
        "optax",
        "orbax-checkpoint",
    ):
        print(f"{package:<16} {metadata.version(package)}")
    if jax.__version__.startswith("0.10."):
        print("warning: jax 0.10 can dead-lock in batched Cholesky solves; install another version")
    print(f"devices          {', '.join(str(device) for device in jax.devices())}")
    kernel = "in use" if cpu.available() else "not in use (CPU only; pip install 'pmf[fast]')"
    print(f"fused kernel     {kernel}")
    print(f"data folder      {data_dir()} (set PMF_DATA_DIR to change it)")
    found = [name for name in NAMES if name != BUNDLED and find(name)]
    print(f"data found       {', '.join([BUNDLED + ' (bundled)', *found])}")


@app.command()
def fit(
    train: Annotated[str, typer.Argument(help=SetOrFile + ", or a folder of Parquet files")],
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    method: Annotated[str, typer.Option(help="als, map or gibbs")] = "als",
    rank: Annotated[int, typer.Option(help="Width of the factors; 0 for biases only.")] = 16,
    steps: Annotated[
        int | None,
        typer.Option(help="Sweeps (als), updates or epochs (map), kept draws a chain (gibbs)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    devices: Annotated[
        str, typer.Option(help="Devices over which the rows are sharded: a number, or all.")
    ] = "1",
    user_bias: Annotated[bool, typer.Option(help="A bias for each user.")] = True,
    item_bias: Annotated[bool, typer.Option(help="A bias for each item.")] = True,
    on_disk: Annotated[
        bool, typer.Option("--on-disk", help="Ratings stay in files (map, from Parquet).")
    ] = False,
    duplicates: Annotated[
        str, typer.Option(help="A pair rated twice: error, last or mean.")
    ] = "error",
    checkpoints: Annotated[
        Path | None, typer.Option(help="A folder for checkpoints, to resume a stopped run from.")
    ] = None,
    checkpoint_steps: Annotated[
        int | None, typer.Option(help="Write one after every so many steps.")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Write one when so many minutes have passed.")
    ] = 5.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint, if there is one.")
    ] = False,
) -> None:
    """Fit a model and write it to a file.

    With --checkpoints, SIGINT and SIGTERM end the fit after the step and a checkpoint.
    """
    from pmf.checkpoint import Checkpoints
    from pmf.estimator import PMF
    from pmf.progress import progress_bar

    check_target(out)
    kept = None
    if checkpoints is not None:
        kept = Checkpoints(checkpoints, checkpoint_steps, checkpoint_minutes, resume=resume)
    elif resume or checkpoint_steps:
        raise InputError("--resume and --checkpoint-steps need --checkpoints FOLDER")
    settings: dict[str, Any] = {"num_steps": steps, "seed": seed, "duplicates": duplicates}
    settings["on_disk"] = on_disk
    settings["devices"] = int(devices) if devices.isdecimal() else devices
    model = PMF(rank, method, user_bias=user_bias, item_bias=item_bias, **settings)  # type: ignore[arg-type]
    with progress_bar() as on_step:
        model.fit(train, on_step=on_step, checkpoints=kept)
    model.save(out)
    fitted, last = model.require_fitted(), model.records[-1]
    result = fitted.fit
    print(f"{method}, rank {rank}, {fitted.user_count.sum():,} ratings: {result.stopped}")
    print(
        f"{last.seconds / last.step:.4f} seconds a step, {last.step} steps; "
        f"compilation {result.compile_seconds:.1f} s"
    )
    if result.search.trials:
        chosen = ", ".join(f"{name} {value:.4g}" for name, value in result.search.chosen.items())
        print(
            f"prior chosen on held-out training ratings in {result.search.seconds:.1f} s: {chosen}"
        )
    print(f"log posterior {model.log_posterior():.6g}")
    print(f"model written to {out}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model file.")],
    test: Annotated[str, typer.Argument(help=SetOrFile)],
    train: Annotated[
        str | None,
        typer.Option(help="What it was trained on: adds the ranking of all items but those."),
    ] = None,
    top: Annotated[int, typer.Option(help="With --train: the length of a list.")] = 10,
    relevant: Annotated[
        float, typer.Option(help="With --train: the least rating of a relevant item.")
    ] = 4.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Score a model on ratings it was not trained on. No row is dropped."""
    from pmf.data.catalogue import load as load_data
    from pmf.estimator import load
    from pmf.evaluate.report import ranked, report

    fitted, ratings = load(model), load_data(test, times=False).ratings
    result = report(fitted, ratings)
    scores = result.scores
    if train is not None:
        scores |= ranked(
            fitted, ratings, load_data(train, times=False).ratings, top, relevant
        ).scores
    if as_json:
        print(json.dumps(scores | {"noise": result.noise}))
    else:
        wide = max(map(len, scores))
        for name, value in scores.items():
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
            print(f"{name:<{wide}} {shown}")
        print(f"{'noise':<{wide}} {result.noise}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model file.")],
    pairs: Annotated[
        Path, typer.Argument(help="A CSV, TSV or Parquet file of (user, item) pairs.")
    ],
    out: Annotated[Path, typer.Option(help="The CSV or Parquet file to write.")],
    interval: Annotated[float, typer.Option(help="The probability of low to high.")] = 0.9,
) -> None:
    """Predict the rating of each pair, with an interval, in the file's order."""
    from pmf.data.files import read_ratings, write_table
    from pmf.estimator import load

    table = read_ratings(pairs, required=("user_id", "item_id"))
    predictions = load(model).predict(table, interval=interval, source=str(pairs))
    write_table(predictions, out)
    print(f"{len(predictions):,} predictions written to {out}")


add_lists(app)


@app.command("app")
def open_page(
    model: Annotated[
        Path | None, typer.Argument(help="A model file; without one a model is fitted.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="The data set whose titles are shown (pmf data list).")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the address to open.")] = 8501,
    address: Annotated[str, typer.Option(help="0.0.0.0: for other machines too.")] = "localhost",
) -> None:
    """Open the movie recommender as a page in a browser."""
    from pmf.app.launch import launch
    from pmf.data.catalogue import load as load_data
    from pmf.data.catalogue import load_items
    from pmf.estimator import load

    if model is not None:
        load(model)  # a damaged file is named here, not on the page
    if data is not None:
        load_items(data) if model is not None else load_data(data)
    raise typer.Exit(launch(model, data, port, address))


def main() -> None:
    """The console script."""
    run_app(app)
