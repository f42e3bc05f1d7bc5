"""The command `pmf`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import pmf
from pmf.cli.console import SetOrFile, as_json, plain_app, run_app
from pmf.cli.data import data_app
from pmf.cli.doctor import doctor
from pmf.cli.fit import fit
from pmf.cli.reading import with_reading
from pmf.cli.recommend import ModelFile, add_lists
from pmf.cli.split import split
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.io.atomic import TABLES, check_target
from pmf.process.limits import check_memory

# The heavy modules are imported inside the commands, so that --help answers at once.

app = plain_app(
    "Probabilistic matrix factorization: fit, evaluate and predict ratings.", completion=True
)
app.add_typer(data_app, name="data")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"pmf {pmf.__version__}")
        raise typer.Exit()


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Probabilistic matrix factorization: fit, evaluate and predict ratings."""


app.command()(doctor)
app.command()(with_reading(fit))


@app.command()
@with_reading
def evaluate(
    model: ModelFile,
    test: Annotated[str, typer.Argument(help="Ratings outside the fit. " + SetOrFile)],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="SET_OR_FILE",
            help="The training ratings: adds the ranking of all other items.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="With --train: the length of a list.")] = 10,
    relevant: Annotated[
        float | None,
        typer.Option(
            metavar="RATING",
            help="With --train: the least rating of a relevant item. By default from three "
            "quarters of the scale on: 4 of 5 stars.",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Add a 95 % interval to each score, from N resamples of the users (such as 1000).",
        ),
    ] = 0,
    in_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; null is no number.")
    ] = False,
    reading: Reading = AS_IT_IS,
) -> None:
    """Score a model on ratings that it was not fitted to.

    No row is dropped: what is unknown is predicted by the mean and the known bias, and counted.
    """
    check_memory()
    from pmf.data.contexts import BINS
    from pmf.data.sources.base import load_data
    from pmf.estimators.load import load
    from pmf.evaluate.report import ranked, report

    fitted = load(model)
    ratings = load_data(test, reading, times=fitted.context_column in BINS).ratings
    result = report(fitted, ratings, bootstrap=bootstrap)
    scores: dict[str, Any] = dict(result.scores)
    if train is not None:
        fitted_to = load_data(train, reading, times=False).ratings
        scores |= ranked(fitted, ratings, fitted_to, top, relevant).scores
    intervals = {row.metric: (row.low, row.high) for row in result.intervals.itertuples()}
    if in_json:
        more = {"intervals": intervals} if bootstrap else {}
        print(as_json(scores | more | {"noise": result.noise}))
        return
    wide = max(map(len, scores))
    for name, value in scores.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        if name in intervals:
            shown += " ({:.4f} to {:.4f})".format(*intervals[name])
        print(f"{name:<{wide}} {shown}")
    print(f"{'noise':<{wide}} {result.noise}")


@app.command()
@with_reading
def predict(
    model: ModelFile,
    pairs: Annotated[
        Path,
        typer.Argument(help="A file of (user, item) pairs, such as a CSV, TSV or Parquet file."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The CSV or Parquet file to write.")],
    interval: Annotated[
        list[float],
        typer.Option(
            metavar="P",
            help="The probability of low to high. May be repeated: then low_50, high_50, and so "
            "on.",
        ),
    ] = [0.9],  # noqa: B006 - read only; Typer takes a list
    reading: Reading = AS_IT_IS,
) -> None:
    """Predict the rating of each pair, with an interval, in the file's order."""
    check_memory()
    from pmf.data.readers.files import read_ratings, write_table
    from pmf.estimators.load import load

    check_target(out, TABLES, [model, pairs])
    table = read_ratings(pairs, required=("user_id", "item_id"), reading=reading)
    levels = interval[0] if len(interval) == 1 else interval
    predictions = load(model).predict(table, interval=levels, source=str(pairs))
    write_table(predictions, out)
    print(f"{len(predictions):,} predictions written to {out}")


app.command()(with_reading(split))
add_lists(app)


@app.command("app")
@with_reading
def open_page(
    model: Annotated[
        Path | None, typer.Argument(help="A model file; without one a model is fitted.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SET_OR_FILE",
            help="The data set whose titles are shown, by name (see pmf data list), or the "
            "ratings to fit.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65535, help="The port of the page's address.")
    ] = 8501,
    address: Annotated[
        str,
        typer.Option(
            metavar="HOST", help="The host of the page's address; 0.0.0.0 for other machines too."
        ),
    ] = "localhost",
    reading: Reading = AS_IT_IS,
) -> None:
    """Open the movie recommender as a page in a browser."""
    from pmf.app.launch import launch
    from pmf.data.readers.files import refuse_all_but
    from pmf.data.sources.base import load_data, load_items
    from pmf.estimators.load import load

    if model is not None:
        load(model)  # a damaged file is named here, not on the page
    if data is not None:
        load_items(data) if model is not None else load_data(data, reading)
    else:
        refuse_all_but(reading, (), "pmf app without --data")
    raise typer.Exit(launch(model, data, port, address, reading))


def main() -> None:
    """The console script."""
    run_app(app)
