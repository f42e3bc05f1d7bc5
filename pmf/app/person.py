"""What the page shows of one person, without the page: lists, intervals, reasons, questions.

A person is a dictionary of ratings, item id to stars, folded into a fitted model.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pmf.data.columns import canonical_columns
from pmf.data.frames import checked
from pmf.data.ids import Ids, among, collected, looked_up
from pmf.errors import InputError
from pmf.estimators.base import Model
from pmf.estimators.content import Content
from pmf.estimators.new_users import Folded, fold_in
from pmf.recommendation.lists import recommend
from pmf.recommendation.rules import Rule

ME = "me"
LEVEL = 0.8  # of the intervals that are shown
MOST_RATINGS = 10_000  # of an uploaded file
COLUMNS = ("item_id", "title", "year", "genres")

Stars = dict[Any, float]


class Filters(NamedTuple):
    """Which films may be listed."""

    genres: tuple[str, ...] = ()  # any of them; none: all
    years: tuple[int, int] | None = None
    least_ratings: int = 0
    dismissed: frozenset[Any] = frozenset()  # ids


def films(items: pd.DataFrame, model: Model) -> pd.DataFrame:
    """The films that a model knows, most rated first.

    Columns `item_id, title, year, genres, ratings` and `label`, the title with the year. A film
    that the table lacks has its id as its title.
    """
    fitted = model.require_fitted()
    known = pd.DataFrame(
        {
            "item_id": fitted.items.values,
            "ratings": fitted.item_count[: len(fitted.items)],
        }
    )
    present = [name for name in COLUMNS if name in items]
    table = known
    if "item_id" in items:
        described = looked_up(items[present], "item_id", known["item_id"])
        table = known.join(described.drop(columns="item_id"))
    for name in COLUMNS:
        if name not in table:
            table[name] = np.nan if name == "year" else ""
    table["title"] = table["title"].where(
        table["title"].fillna("") != "", table["item_id"].astype(str)
    )
    table["genres"] = table["genres"].fillna("")
    table["year"] = pd.to_numeric(table["year"], errors="coerce").astype(float)
    year = table["year"].map(lambda year: f" ({year:.0f})" if year == year else "")
    table["label"] = table["title"] + year
    return table.sort_values("ratings", ascending=False, kind="stable").reset_index(drop=True)


def fold(model: Model, stars: Stars) -> Folded:
    """The person as a user of the model, perhaps without any rating."""
    frame = pd.DataFrame(
        {"user_id": ME, "item_id": list(stars), "rating": np.array(list(stars.values()), float)}
    )
    return fold_in(model, frame, users=[ME])


def listed(
    person: Folded,
    table: pd.DataFrame,
    filters: Filters,
    n: int = 10,
    rule: Rule = "mean",
    diversity: float = 0.0,
) -> pd.DataFrame:
    """The best films for a person: those columns of `films`, and

    `stars` (the mean), `low`, `high` (between which the person's mean rating of such a film lies,
    80 %: what more ratings would narrow), `rating_low`, `rating_high` (a single rating, noise
    included).
    """
    may = allowed(table, filters)
    if may.empty:
        return may.assign(rank=[], stars=[], low=[], high=[], rating_low=[], rating_high=[])
    lists = recommend(
        person, [ME], n, candidates=list(may["item_id"]), rule=rule, diversity=diversity
    )
    candidates = lists.merge(may, on="item_id", validate="one_to_one")
    pairs = person.rows(candidates.assign(user_id=ME)[["user_id", "item_id"]], "the list")
    mean, variance = person.predict_rows(*pairs)
    noise = person.noise_rows(*pairs)
    half = ndtri(0.5 + LEVEL / 2) * np.sqrt(np.maximum(variance - noise, 0))
    whole = ndtri(0.5 + LEVEL / 2) * np.sqrt(variance)
    return candidates.assign(
        stars=mean,
        low=mean - half,
        high=mean + half,
        rating_low=mean - whole,
        rating_high=mean + whole,
    )


def on_scale(films: pd.DataFrame, scale: tuple[float, float]) -> pd.DataFrame:
    """What `listed` gives, clipped to the scale for display."""
    bounds = ["stars", "low", "high", "rating_low", "rating_high"]
    return films.assign(**{name: films[name].clip(*scale) for name in bounds})


def allowed(table: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """The films that pass the filters."""
    dismissed = collected(filters.dismissed, "dismissed films")
    keep = (table["ratings"] >= filters.least_ratings) & ~among(table["item_id"], dismissed)
    if filters.genres:
        wanted = set(filters.genres)
        keep &= table["genres"].map(lambda text: bool(wanted & set(text.split("|"))))
    if filters.years is not None:
        low, high = filters.years
        keep &= table["year"].between(low, high)
    return table[keep]


def genres_of(table: pd.DataFrame) -> list[str]:
    """Every genre, in alphabetical order."""
    return sorted({name for text in table["genres"].unique() for name in text.split("|") if name})


def reasons(person: Folded, item_id: Any, table: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """A prediction as a sum: columns `because`, in words, and `stars`; small parts in one line."""
    parts = person.explain(ME, item_id)
    title = dict(zip(table["item_id"], table["title"], strict=True))
    words = {
        "mean": "the average rating",
        "item bias": "how much everyone likes this film",
        "user bias": "how generously you rate",
        "prior": "what is assumed of anyone",
    }
    because = [
        words.get(part, f"you gave {title.get(item, item)} {rating:g}")
        for part, item, rating in zip(parts["part"], parts["item_id"], parts["rating"], strict=True)
    ]
    contributions = pd.DataFrame({"because": because, "stars": parts["contribution"]})
    head, rest = contributions[: len(words) + most], contributions[len(words) + most :]
    if len(rest):
        ratings = "rating" if len(rest) == 1 else "ratings"
        more = {"because": f"{len(rest)} other {ratings} of yours", "stars": rest["stars"].sum()}
        head = pd.concat([head, pd.DataFrame([more])], ignore_index=True)
    return head


def taste(person: Folded, content: Model) -> pd.Series:
    """A person's taste for each genre, decade and tag: stars above the average film."""
    assert isinstance(content, Content) and content.features is not None
    return content.features.profile(np.asarray(person.fitted.fit.run.draws.user.factor)[0, 0])


def uploaded(frame: pd.DataFrame, table: pd.DataFrame, scale: tuple[float, float]) -> Stars:
    """A person's own ratings from a table with item_id and rating (or the usual aliases).

    Films that the model does not know are left out. Raises `InputError` naming the bad row.
    """
    if len(frame) > MOST_RATINGS:
        raise InputError(f"{len(frame):,} rows; one person's ratings are {MOST_RATINGS:,} at most")
    names = canonical_columns([*map(str, frame.columns)], (), "the uploaded file")
    if "user_id" not in names.values():
        frame = frame.assign(user_id=ME)
    good = checked(frame, "the uploaded file", scale, times=False)
    if good["user_id"].nunique() > 1:
        raise InputError("the uploaded file has several users; keep one person's rows")
    items = Ids.of(table["item_id"], "the films")
    row = items.codes(good["item_id"])
    known = ~items.unknown(row)
    return dict(zip(items.values[row[known]].tolist(), good["rating"][known].tolist(), strict=True))
