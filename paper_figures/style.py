"""One style for every figure, and one colour a method everywhere (Okabe & Ito, 2008)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib as mpl

COLUMN = 3.4  # inches, the width of a journal's column


class Look(NamedTuple):
    """How a method is drawn. Colour, marker and dash each tell the methods apart alone."""

    label: str
    colour: str
    marker: str
    dash: str | tuple[int, tuple[int, ...]]


METHODS = {
    "als": Look("ALS", "#0072B2", "o", "-"),
    "map": Look("MAP (gradient)", "#D55E00", "s", (0, (4, 2))),
    "gibbs": Look("Gibbs", "#009E73", "^", "-"),
}


@contextmanager
def style() -> Iterator[None]:
    """The style, for the duration of a `with` block."""
    settings = {
        "font.size": 8,
        "axes.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e5e5e5",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "lines.linewidth": 1.4,
        "legend.frameon": False,
        "legend.fontsize": 7.5,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "figure.constrained_layout.use": True,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
    }
    with mpl.rc_context(settings):
        yield
