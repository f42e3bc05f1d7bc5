"""The commands that recommend: lists for known and for new users, like items, and why."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmf.cli.console import SetOrFile
from pmf.cli.reading import with_reading
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.errors import InputError
from pmf.io.atomic import TABLES, check_target
from pmf.process.limits import check_memory
from pmf.recommendation.rules import Rule

if TYPE_CHECKING:
    import pandas as pd

ModelFile = Annotated[Path, typer.Argument(help="A model file, as pmf fit writes.")]
Count = Annotated[
    int, typer.Option("-n", "--count", metavar="N", min=1, help="The length of a list.")
]
InJson = Annotated[
    bool, typer.Option("--json", help="Print a JSON array of objects; null is no number.")
]
Titles = Annotated[
    str | None,
    typer.Option("--titles", metavar="SET", help="Add the items' titles from this data set."),
]
RuleName = Annotated[
    Rule,
    typer.Option(
        "--rule",
        help="What a list is ranked by: the expected rating (mean), a standard deviation less "
        "(lower) or more (upper), or one draw of the posterior (thompson).",
    ),
]
Diversity = Annotated[
    float,
    typer.Option(
        metavar="X", min=0, help="Rating units to subtract from an item just like one above it."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the lists to this CSV or Parquet file."),
]


def add_lists(app: typer.Typer) -> None:
    """Add the commands to `pmf`."""
    app.command()(recommend)
    app.command()(similar)
    app.command("fold-in")(with_reading(fold_in))
    app.command()(explain)


def recommend(
    model: ModelFile,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="A user's id; may be given several times."),
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="A list for every user; with --out or --json.")
    ] = False,
    count: Count = 10,
    rule: RuleName = "mean",
    diversity: Diversity = 0.0,
    seen: Annotated[
        bool, typer.Option("--seen", help="Include items that the user has rated.")
    ] = False,
    out: Out = None,
    titles: Titles = None,
    in_json: InJson = False,
) -> None:
    """The best items for users that the model was fitted to."""
    check_memory()
    import pmf

    if everyone == bool(user):
        raise InputError("say for whom: --user ID, or --all for everyone")
    if everyone and out is None and not in_json:
        raise InputError("--all makes many lists: write them by --out FILE, or print --json")
    _check_out(out, in_json, model, titles)
    fitted = pmf.load(model)
    users = [*map(_id, user)] if user else None
    lists = pmf.recommend(
        fitted,
        users,
        count,
        filter_seen=not seen,
        rule=rule,
        diversity=diversity,
    )
    _give(lists, titles, in_json, out)


def similar(
    model: ModelFile,
    item: Annotated[str, typer.Option(metavar="ID", help="An item's id.")],
    count: Count = 10,
    titles: Titles = None,
    in_json: InJson = False,
) -> None:
    """The items whose factors point most nearly the same way."""
    check_memory()
    import pmf

    _show(pmf.similar_items(pmf.load(model), _id(item), count), titles, in_json)


def fold_in(
    model: ModelFile,
    ratings: Annotated[str, typer.Argument(help="The new users' ratings. " + SetOrFile)],
    count: Count = 10,
    rule: RuleName = "mean",
    diversity: Diversity = 0.0,
    out: Out = None,
    titles: Titles = None,
    in_json: InJson = False,
    reading: Reading = AS_IT_IS,
) -> None:
    """The best items for new users, from their ratings alone and without a refit."""
    check_memory()
    import pmf

    _check_out(out, in_json, model, titles, ratings)
    new = pmf.fold_in(pmf.load(model), pmf.load_data(ratings, reading, times=False).ratings)
    _give(pmf.recommend(new, n=count, rule=rule, diversity=diversity), titles, in_json, out)


def explain(
    model: ModelFile,
    user: Annotated[str, typer.Option(metavar="ID", help="A user's id.")],
    item: Annotated[str, typer.Option(metavar="ID", help="An item's id.")],
    count: Annotated[
        int,
        typer.Option(
            "-n",
            "--count",
            metavar="N",
            min=1,
            help="Ratings to show, the largest contributions first.",
        ),
    ] = 10,
    titles: Titles = None,
    in_json: InJson = False,
) -> None:
    """What a prediction is made of: mean, biases, and each of the user's ratings.

    The user is folded in from the ratings of the training; the parts add up to the prediction,
    before it is clipped to a scale.
    """
    check_memory()
    import pandas as pd

    import pmf
    from pmf.estimators.new_users import ratings_of

    fitted = pmf.load(model)
    ratings = ratings_of(fitted.require_fitted(), _id(user))
    parts = pmf.fold_in(fitted, ratings).explain(_id(user), _id(item))
    total, rest = float(parts["contribution"].sum()), parts["contribution"][count + 4 :]
    shown = parts[: count + 4]
    if len(rest):
        more = {"part": f"{len(rest)} other ratings", "contribution": rest.sum()}
        shown = pd.concat([shown, pd.DataFrame([more])])
    last = pd.DataFrame([{"part": "prediction", "contribution": total}])
    _show(pd.concat([shown, last], ignore_index=True), titles, in_json)


def _id(word: str) -> int | str:
    """An id as typed: 7 is a number, 007 is text."""
    from pmf.data.canonical import whole_number

    number = whole_number(word)
    return word if number is None else number


def _titled(table: "pd.DataFrame", titles: str | None) -> "pd.DataFrame":
    if titles is None:
        return table
    from pmf.data.ids import looked_up
    from pmf.data.sources.base import load_items

    items = load_items(titles)
    if not len(items):
        raise InputError(f"--titles {titles}: this data set has no titles")
    return table.assign(title=looked_up(items, "item_id", table["item_id"])["title"])


def _check_out(out: Path | None, in_json: bool, *reads: Path | str | None) -> None:
    """Check before the work; `reads` are its inputs: the model, files and data sets."""
    if out is None:
        return
    if in_json:
        raise InputError("--out and --json: say one of them")
    from pmf.data.sources.base import files_of

    check_target(out, TABLES, [file for one in reads if one is not None for file in files_of(one)])


def _give(lists: "pd.DataFrame", titles: str | None, in_json: bool, out: Path | None) -> None:
    """Write lists to a file, or show them."""
    if out is None:
        _show(lists, titles, in_json)
        return
    from pmf.data.readers.files import write_table

    write_table(_titled(lists, titles), out)
    print(f"{len(lists):,} recommendations written to {out}")


def _show(table: "pd.DataFrame", titles: str | None, in_json: bool) -> None:
    table = _titled(table, titles)
    if in_json:
        print(json.dumps(json.loads(table.to_json(orient="records"))))
        return
    words = table.astype(object).where(table.notna(), "")
    for name in (name for name in table if table[name].dtype.kind == "f"):
        digits = ".7g" if name == "rating" else ".3f"
        words[name] = [f"{x:{digits}}" if x == x else "" for x in table[name]]
    print(words.to_string(index=False))
