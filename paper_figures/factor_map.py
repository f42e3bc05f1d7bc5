"""A map of the items: two directions of their factors, with the titles of the best known."""

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.labels import Label, place
from paper_figures.runs import having
from paper_figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDE,
    legend_above,
)  # fmt: skip

TABLE = "items"
TITLE = "Map of the films"
CAPTION = (
    "The two leading directions of the films' factors, which no genre was used for; near films are "
    "liked by the same people. Area: training ratings; colour: the first of the film's genres that "
    "is in the legend; titles of the best known that find room."
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
    """Draw the items of the first run: columns id, item_id, title, genres, x, y, popularity.

    `genres` are separated by |; `x` and `y` are coordinates along the leading singular directions
    of the item factors; `popularity` is the number of training ratings.
    """
    table = having(table, "items", *COLUMNS)
    items = table[table["id"] == table["id"].iloc[0]]
    items = items.sort_values("popularity", ascending=False, kind="stable")[:MOST_ITEMS]
    items = items.assign(genre=items["genres"].fillna("").map(main_genre))
    figure = Figure(figsize=(WIDE, 5.2))
    axes = figure.add_subplot()
    largest = items["popularity"].max()
    for name in [*GENRES, OTHER]:
        part = items[items["genre"] == name]
        colour, marker = GENRES.get(name, (GREY, "."))
        if len(part):
            axes.scatter(part["x"], part["y"], s=3 + 40 * part["popularity"] / largest, c=colour,
                         marker=marker, alpha=0.6, linewidth=0, label=name)  # fmt: skip
    axes.set_xlabel("First direction of the item factors (stars)")
    axes.set_ylabel("Second direction (stars)")
    axes.margins(0.06)
    legend_above(figure, 8)
    best_known = [
        Label(shortened(str(item.title)), float(item.x), float(item.y))
        for item in items.head(3 * MOST_LABELS).itertuples()
    ]
    place(figure, axes, best_known, 5.5, MOST_LABELS, always=False)
    return figure


def main_genre(genres: str) -> str:
    """The first genre of the legend that an item has."""
    of_item = genres.split("|")
    return next((name for name in GENRES if name in of_item), OTHER)


def shortened(title: str, most: int = 28) -> str:
    """A title without its year, and with an article where it belongs."""
    name = title.rsplit(" (", 1)[0]
    for article in ("The", "A", "An"):
        if name.endswith(f", {article}"):
            name = f"{article} {name.removesuffix(f', {article}')}"
    name = name.replace("$", r"\$")
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"
