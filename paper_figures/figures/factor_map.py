"""A map of the items: two directions of their factors, with the titles of the best known."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.figures.labels import Label, place
from paper_figures.figures.runs import having, text, unit, who
from paper_figures.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDE,
    legend_above,
)

TABLE = "items"
TITLE = "Map of the films"
CAPTION = (
    "The two leading directions of the films' factors in the model that is named above, which no "
    "genre was used for; near films are liked by the same people. Area: training ratings; colour: "
    "the first of the film's genres that is in the legend; titles of the best known that find room."
)
COLUMNS = ["id", "item_id", "title", "genres", "x", "y", "popularity"]
GENRES = {  # the rarer and more telling first
    "Horror": (BLACK, "X"),
    "Animation": (PURPLE, "D"),
    "Sci-Fi": (BLUE, "^"),
    "Crime": (VERMILLION, "s"),
    "Romance": (ORANGE, "v"),
    "Action": (SKY, ">"),
    "Comedy": (GREEN, "o"),
}
OTHER, MOST_LABELS, MOST_ITEMS = "other", 70, 600


def suits(table: pd.DataFrame) -> bool:
    return len(table) > 0


def plot(table: pd.DataFrame) -> Figure:
    """Draw the items of the first run: columns id, item_id, title, genres, x, y, popularity, and
    the runs' settings, which name the model.

    `genres` are separated by |; `x` and `y` are coordinates along the leading singular directions
    of the item factors; `popularity` is the number of training ratings.
    """
    table = having(table, "items", *COLUMNS)
    items = table.assign(who=who(table))[table["id"] == table["id"].iloc[0]]
    items = items.sort_values("popularity", ascending=False, kind="stable")[:MOST_ITEMS]
    items = items.assign(genre=items["genres"].fillna("").map(main_genre))
    figure = Figure(figsize=(WIDE, 5.2))
    axes = figure.add_subplot()
    largest = items["popularity"].max()
    for name in [*GENRES, OTHER]:
        part = items[items["genre"] == name]
        colour, marker = GENRES.get(name, (GREY, "."))
        if len(part):
            axes.scatter(
                part["x"],
                part["y"],
                s=3 + 40 * part["popularity"] / largest,
                c=colour,
                marker=marker,
                alpha=0.6,
                linewidth=0,
                label=name,
            )
    axes.set_xlabel(f"First direction of the item factors ({unit(table)})")
    axes.set_ylabel(f"Second direction ({unit(table)})")
    axes.set_title(model_in_words(items), fontsize=7.5, color=MUTED)
    axes.margins(0.06)
    legend_above(figure, 8)
    known = items.head(3 * MOST_LABELS)
    best_known = [
        Label(name, float(item.x), float(item.y))
        for name, item in zip(
            shortened(list(known["title"].astype(str))), known.itertuples(), strict=True
        )
    ]
    place(figure, axes, best_known, 5.5, MOST_LABELS, always=False)
    return figure


def main_genre(genres: str) -> str:
    """The first genre of the legend that an item has."""
    of_item = genres.split("|")
    return next((name for name in GENRES if name in of_item), OTHER)


def model_in_words(items: pd.DataFrame) -> str:
    """Which model's factors these are: a system, its rank, and the data."""
    words = [str(items["who"].iloc[0])]
    if "model.rank" in items:
        words.append(f"rank {items['model.rank'].iloc[0]:g}")
    return ", ".join(filter(None, [*words, text(items, "data").iloc[0]]))


def shortened(titles: list[str], most: int = 28) -> list[str]:
    """Titles without years, articles where they belong, and cut where they are long.

    Of those that would begin alike the ends are kept, as "…The Two Towers"; of those of one name
    the years.
    """
    names = [_plain_title(title) for title in titles]
    names = [
        title if names.count(name) > 1 else name for title, name in zip(titles, names, strict=True)
    ]
    heads = [_head(name, most) for name in names]
    parts = [
        head if heads.count(head) == 1 else _tail(name, most)
        for head, name in zip(heads, names, strict=True)
    ]
    return [name.replace("$", r"\$") for name in parts]


def _plain_title(title: str) -> str:
    name = title.rsplit(" (", 1)[0]
    for article in ("The", "A", "An"):
        if name.endswith(f", {article}"):
            return f"{article} {name.removesuffix(f', {article}')}"
    return name


def _head(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def _tail(name: str, most: int) -> str:
    """What follows the last colon, or else the last words that there is room for."""
    if len(name) <= most:
        return name
    words = name.rpartition(": ")[2].split(" ")
    while len(" ".join(words)) > most - 1 and len(words) > 1:
        words = words[1:]
    return f"…{' '.join(words)[-(most - 1) :]}"
