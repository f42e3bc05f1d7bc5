"""The command `pmf split`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmf.cli.console import SetOrFile
from pmf.data.choices import Duplicates, SplitKind
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from pmf.data.splits import Split


def number(text: str) -> Any:
    """An option that is a whole number."""
    return typer.Option(metavar="N", help=text)


def split(
    data: Annotated[str, typer.Argument(help=SetOrFile[:-1] + ", or a folder of Parquet files.")],
    train: Annotated[
        Path, typer.Option(metavar="FILE", help="Write the ratings to learn from, CSV or Parquet.")
    ],
    test: Annotated[
        Path, typer.Option(metavar="FILE", help="Write the ratings to test with, CSV or Parquet.")
    ],
    by: Annotated[
        SplitKind | None,
        typer.Option(
            help="The split, by the name of its function in pmf.data.splits. By default "
            "sample_records, with --at split_at_time.",
        ),
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="The test fraction, 0.2 by default: of all ratings (sample_records, "
            "split_global_time), of each user's (sample_fraction, last_fraction), of the items "
            "(sample_items).",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The first test moment (split_at_time), as 2015-01-01; UTC if no zone.",
        ),
    ] = None,
    n: Annotated[
        int | None, number("Test ratings of each user (sample_n, last_n), 1 by default.")
    ] = None,
    users: Annotated[int | None, number("New users (sample_users), 100 by default.")] = None,
    given: Annotated[
        int | None, number("Training ratings of a new user (sample_users), 0 by default.")
    ] = None,
    partitions: Annotated[
        int | None, number("How many folds (crossfold_records), 5 by default.")
    ] = None,
    folds: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Columns user, item, fold (assigned_folds)."),
    ] = None,
    fold: Annotated[
        int | None, number("Which fold is test, from 1 (crossfold_records, assigned_folds).")
    ] = None,
    seed: Annotated[int | None, number("The seed of a random split, 0 by default.")] = None,
    duplicates: Annotated[
        Duplicates,
        typer.Option(help="If a user rates an item twice: refuse, or keep the last or the mean."),
    ] = "error",
    reading: Reading = AS_IT_IS,
) -> None:
    """Split ratings into a training file and a test file.

    Both are written, or none, with all columns of the input. A rating at the moment of a cut in
    time is test; a user's latest ratings at one moment are cut in the order of the file.
    """
    from pmf.data.split_files import part, rule

    kind = by or ("sample_records" if at is None else "split_at_time")
    settings: dict[str, Any] = {
        "fraction": fraction,
        "at": at,
        "n": n,
        "users": users,
        "given": given,
    }
    settings |= {"partitions": partitions, "folds": folds, "fold": fold, "seed": seed}
    try:
        chosen = rule(kind, settings)
    except InputError as error:
        raise InputError(f"--by {kind}: {error}") from error
    parts = part(data, chosen, train, test, duplicates, reading)
    for name, path, frame in (("train", train, parts.train), ("test", test, parts.test)):
        print(f"{name:<5} {_counts(frame)} written to {path}")
    print(_unknown(parts))


def _counts(frame: "pd.DataFrame") -> str:
    users, items = (frame[side].nunique() for side in ("user_id", "item_id"))
    text = f"{len(frame):,} ratings of {users:,} users on {items:,} items"
    if "timestamp" not in frame:
        return text
    from pmf.data.times import written

    time = frame["timestamp"]
    return f"{text}, {written(time.min())} to {written(time.max())},"


def _unknown(split: "Split") -> str:
    """What of the test part has no rating to learn from."""
    strangers = [
        int((~split.test[side].drop_duplicates().isin(split.train[side])).sum())
        for side in ("user_id", "item_id")
    ]
    return f"{strangers[0]:,} users and {strangers[1]:,} items of test are not in train"
