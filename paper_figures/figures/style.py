"""One style for every figure, and one look a system everywhere.

Colours are Okabe & Ito's (2008), which colour-blind readers tell apart; markers and dashes tell the
systems apart without any colour.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

COLUMN, WIDE = 3.4, 7.0  # inches: one column of a journal, and both

BLACK, GREY, ORANGE, SKY = "#000000", "#585858", "#E69F00", "#56B4E9"
GREEN, BLUE, VERMILLION, PURPLE = "#009E73", "#0072B2", "#D55E00", "#CC79A7"
MUTED = "#5F5F5F"  # of notes and reference lines

Dash = str | tuple[int, tuple[float, ...]]
DASHED, DOTTED, DASH_DOT = (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5))


class Look(NamedTuple):
    """How a system is drawn. Within a figure colour, marker and dash each differ."""

    colour: str
    marker: str
    dash: Dash = "-"
    hollow: bool = False  # rivals


LOOKS = {
    "als": Look(BLUE, "o"),
    "map": Look(VERMILLION, "s", DASHED),
    "map, l-bfgs": Look(ORANGE, "D", DASH_DOT),
    "map, mini-batches": Look(PURPLE, "v", DOTTED),
    "gibbs": Look(GREEN, "^", (0, (8, 1))),
    "vb": Look(SKY, "p", (0, (4, 1, 1, 1))),
    "vb, shared noise": Look(PURPLE, "8", DOTTED),
    "mean": Look(GREY, "X", (0, (1, 3))),
    "both biases": Look(BLACK, "P", (0, (2, 1))),
    "user bias": Look(SKY, "<", DASHED),
    "item bias": Look(ORANGE, ">", DASH_DOT),
    "factors": Look(PURPLE, "d", (0, (3, 1, 1, 1, 1, 1))),
    "everything": Look(BLUE, "h", (0, (6, 1, 2, 1))),
    "als-wr": Look(ORANGE, "p", (0, (7, 2))),
    "content": Look(SKY, "H", (0, (3, 3))),
    "hybrid": Look(PURPLE, "*", (0, (6, 2, 1, 2))),
    "cmfrec": Look(BLUE, "s", DASHED, hollow=True),
    "cmfrec, cg": Look(PURPLE, "<", DASH_DOT, hollow=True),
    "libmf": Look(ORANGE, "8", (0, (3, 3)), hollow=True),
    "lenskit": Look(BLACK, "d", (0, (6, 2, 1, 2)), hollow=True),
    "smurff": Look(GREEN, "o", DOTTED, hollow=True),
    "myfm": Look(PURPLE, "D", DASH_DOT, hollow=True),
    "surprise, svd": Look(ORANGE, "^", (0, (2, 1)), hollow=True),
    "surprise, baseline": Look(ORANGE, "v", (0, (7, 2)), hollow=True),
    "implicit, als": Look(BLACK, "P", (0, (3, 3)), hollow=True),
    "cornac, mf": Look(SKY, "d", (0, (6, 2, 1, 2)), hollow=True),
    "cornac, pmf": Look(VERMILLION, "h", (0, (8, 1)), hollow=True),
}
ALIASES = {
    "map, adam": "map",
    "map (gradient)": "map",
    "biases": "both biases",
    "pmf": "als",
    "pmf, als": "als",
    "pmf, gibbs": "gibbs",
    "collaborative": "als",
}
CHARACTERS, HANDLE = 57, 9  # of a legend: what fits into one column, and what a line takes
SPARE = [
    Look(
        (BLACK, SKY, VERMILLION, ORANGE, GREY)[j % 5],
        "<>p8"[j % 4],
        ("-", DASHED, DOTTED, DASH_DOT)[j % 4],
        hollow=True,
    )
    for j in range(20)
]


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each name; names that nobody foresaw take spare ones, in alphabetical order."""
    names = list(dict.fromkeys(names))
    by_name = dict[str, Look]()
    for name in names:
        look = LOOKS.get(ALIASES.get(name.lower(), name.lower()))
        if look is not None and look not in by_name.values():
            by_name[name] = look
    used = {look.colour for look in by_name.values()}
    spare = iter(sorted(SPARE, key=lambda look: look.colour in used))
    for name in sorted(set(names) - set(by_name)):
        by_name[name] = next(spare)
    return {name: by_name[name] for name in names}


def marked(look: Look) -> dict:
    """Marker arguments of a look."""
    face = "white" if look.hollow else look.colour
    return {
        "color": look.colour,
        "marker": look.marker,
        "markerfacecolor": face,
        "markeredgecolor": look.colour,
    }


def legend_above(figure: Figure, columns: int = 4) -> None:
    """One legend over all panels, each name once."""
    entries = dict[str, object]()
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= {
            name: entries.get(name, handle) for name, handle in zip(labels, handles, strict=True)
        }
    most_characters = figure.get_figwidth() / COLUMN * CHARACTERS
    across = next(
        (
            n
            for n in range(min(columns, len(entries)), 1, -1)
            if _width(list(entries), n) <= most_characters
        ),
        1,
    )
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside upper center",
        ncols=across,
        columnspacing=1.2,
        handlelength=2.6,
    )


def _width(names: list[str], columns: int) -> int:
    """The width of a legend in characters: names run down its columns."""
    long, rows = len(names) % columns, len(names) // columns
    width, at = 0, 0
    for j in range(columns):
        end = at + rows + (j < long)
        width += max(map(len, names[at:end])) + HANDLE
        at = end
    return width


@contextmanager
def style() -> Iterator[None]:
    """The style, for the duration of a `with` block."""
    settings = {
        "font.size": 8,
        "axes.labelsize": 8,
        "axes.titlesize": 8,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "axes.grid": True,
        "grid.color": "#e5e5e5",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "lines.linewidth": 1.4,
        "lines.markersize": 3.6,
        "legend.frameon": False,
        "legend.fontsize": 7.5,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "figure.constrained_layout.use": True,
        "figure.dpi": 150,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "pmf",  # the same figure is the same file
    }
    with mpl.rc_context(settings):
        yield
