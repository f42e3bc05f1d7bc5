"""The commands `pmf data`: what data sets there are, how to get them, and what is in them."""

from pathlib import Path
from typing import Annotated

import typer

from pmf.cli.console import SetOrFile, plain_app
from pmf.cli.reading import with_reading
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.errors import InputError

data_app = plain_app("Data sets: what there is, and how to get it.")


@data_app.command("list")
def data_list() -> None:
    """Every data set that has a name, and where it is."""
    from pmf.data.sources.base import BUNDLED
    from pmf.data.sources.generated import SHAPES
    from pmf.data.sources.movielens import ARCHIVES, find

    places = {BUNDLED: "bundled"} | {name: find(name) or "not fetched" for name in ARCHIVES}
    for name, place in (places | dict.fromkeys(SHAPES, "generated when it is asked for")).items():
        print(f"{name:<16} {place}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A MovieLens data set's name.")],
    from_zip: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its zip, already downloaded.")
    ] = None,
) -> None:
    """Download a MovieLens data set into the data folder, or take it from a zip."""
    from pmf.data.sources.base import BUNDLED
    from pmf.data.sources.generated import SHAPES
    from pmf.data.sources.movielens import ARCHIVES, fetch

    if name in (BUNDLED, *SHAPES) and from_zip is None:
        print(f"{name} needs no file; there is nothing to fetch")
    elif name in ARCHIVES:
        print(fetch(name, from_zip))
    else:
        raise InputError(f"{name}: cannot be fetched; known names: {', '.join(ARCHIVES)}")


@data_app.command("describe")
@with_reading
def data_describe(
    data: Annotated[str, typer.Argument(help=SetOrFile)], reading: Reading = AS_IT_IS
) -> None:
    """Counts, the rating scale, and how heavy the tails are."""
    from pmf.data.sources.base import load_data

    dataset = load_data(data, reading)
    ratings = dataset.ratings
    users, items = (ratings[side].value_counts() for side in ("user_id", "item_id"))
    print(f"{dataset.name} from {dataset.source}")
    print(f"ratings  {len(ratings):,}, {len(ratings) / len(users) / len(items):.3%} of all pairs")
    for name, count in (("users", users), ("items", items)):
        print(
            f"{name:<8} {len(count):,}; ratings each: {count.min():,} to {count.max():,}, "
            f"median {count.median():,.0f}"
        )
    value = ratings["rating"]
    print(
        f"rating   {value.min():g} to {value.max():g}, mean {value.mean():.3f}, "
        f"standard deviation {value.std():.3f}"
    )
    for name in ("items", "tags", "links"):
        table = getattr(dataset, name)
        if len(table):
            print(f"{name:<8} table of {len(table):,} rows: {', '.join(table.columns)}")
