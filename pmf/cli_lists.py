"""The commands that recommend: lists for known and for new users, like items, and why."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import typer

from pmf.command import SetOrFile
from pmf.errors import InputError

Model = Annotated[Path, typer.Argument(help="A model file.")]
Count = Annotated[int, typer.Option("-n", "--count", min=1, help="The length of a list.")]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON array of objects.")]
Titles = Annotated[
    str | None, typer.Option("--titles", help="Add the items' titles: a data set's name.")
]
Rule = Literal["mean", "lower", "upper", "thompson"]  # of pmf.lists, which loads JAX
RuleName = Annotated[Rule, typer.Option("--rule", help="What lists are ranked by.")]
Diversity = Annotated[
    float, typer.Option(help="Rating units that an item loses which is like one above it.")
]


def add_lists(app: typer.Typer) -> None:
    """Add the commands to `pmf`."""
    app.command()(recommend)
    app.command()(similar)
    app.command("fold-in")(fold_in)
    app.command()(explain)


def recommend(
    model: Model,
    user: Annotated[list[str], typer.Option(help="A user's id; may be given several times.")],
    count: Count = 10,
    rule: RuleName = "mean",
    diversity: Diversity = 0.0,
    seen: Annotated[bool, typer.Option("--seen", help="Also what the user has rated.")] = False,
    titles: Titles = None,
    as_json: AsJson = False,
) -> None:
    """The best items for users that the model was trained on."""
    import pmf

    fitted = pmf.load(model)
    users = _ids(fitted.require_fitted().users.values, user, "user")
    lists = pmf.recommend(
        fitted,
        users,
        count,
        filter_seen=not seen,
        rule=rule,
        diversity=diversity,
    )
    _show(lists, titles, as_json)


def similar(
    model: Model,
    item: Annotated[str, typer.Option(help="An item's id.")],
    count: Count = 10,
    titles: Titles = None,
    as_json: AsJson = False,
) -> None:
    """The items whose factors point most nearly the same way."""
    import pmf

    fitted = pmf.load(model)
    (item_id,) = _ids(fitted.require_fitted().items.values, [item], "item")
    _show(pmf.similar_items(fitted, item_id, count), titles, as_json)


def fold_in(
    model: Model,
    ratings: Annotated[str, typer.Argument(help="The new users' ratings: " + SetOrFile)],
    count: Count = 10,
    rule: RuleName = "mean",
    diversity: Diversity = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Write the lists to a CSV or Parquet file.")
    ] = None,
    titles: Titles = None,
    as_json: AsJson = False,
) -> None:
    """The best items for new users, from their ratings alone and without a refit."""
    import pmf
    from pmf.data.files import write_table

    new = pmf.fold_in(pmf.load(model), pmf.load_data(ratings, times=False).ratings)
    lists = pmf.recommend(new, n=count, rule=rule, diversity=diversity)
    if out is None:
        _show(lists, titles, as_json)
    else:
        write_table(_titled(lists, titles), out)
        print(f"{len(lists):,} recommendations written to {out}")


def explain(
    model: Model,
    user: Annotated[str, typer.Option(help="A user's id.")],
    item: Annotated[str, typer.Option(help="An item's id.")],
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="Ratings to show: those that weigh most.")
    ] = 10,
    titles: Titles = None,
    as_json: AsJson = False,
) -> None:
    """What a prediction is made of: mean, biases, and each of the user's ratings.

    The user is folded in from the ratings of the training; the parts add up to the prediction.
    """
    import pmf
    from pmf.folded import ratings_of

    fitted = pmf.load(model)
    known = fitted.require_fitted()
    (user_id,), (item_id,) = (
        _ids(known.users.values, [user], "user"),
        _ids(known.items.values, [item], "item"),
    )
    parts = pmf.fold_in(fitted, ratings_of(known, user_id)).explain(user_id, item_id)
    total, rest = float(parts["contribution"].sum()), parts["contribution"][count + 4 :]
    shown = parts[: count + 4]
    if len(rest):
        more = {"part": f"{len(rest)} other ratings", "contribution": rest.sum()}
        shown = pd.concat([shown, pd.DataFrame([more])])
    last = pd.DataFrame([{"part": "prediction", "contribution": total}])
    _show(pd.concat([shown, last], ignore_index=True), titles, as_json)


def _ids(known: Any, given: list[str], name: str) -> list[Any]:
    """Ids as the model has them: numbers, or words."""
    if known.dtype.kind not in "iu":
        return list(given)
    try:
        return [int(value) for value in given]
    except ValueError as error:
        raise InputError(f"--{name} {error.args[0].split(':')[-1].strip()}: the model's {name} ids "
                         "are whole numbers") from error  # fmt: skip


def _titled(table: pd.DataFrame, titles: str | None) -> pd.DataFrame:
    if titles is None:
        return table
    from pmf.data.catalogue import load_items

    items = load_items(titles)
    if not len(items):
        raise InputError(f"--titles {titles}: this data set has no titles")
    return table.merge(items[["item_id", "title"]], "left", on="item_id")


def _show(table: pd.DataFrame, titles: str | None, as_json: bool) -> None:
    table = _titled(table, titles)
    if as_json:
        print(json.dumps(json.loads(table.to_json(orient="records"))))
        return
    words = table.astype(object).where(table.notna(), "")
    for name in (name for name in table if table[name].dtype.kind == "f"):
        digits = "g" if name in ("item_id", "rating") else ".3f"
        words[name] = [f"{x:{digits}}" if x == x else "" for x in table[name]]
    print(words.to_string(index=False))
