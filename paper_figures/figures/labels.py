"""Names beside points, each where it hides no other name and no mark."""

from collections.abc import Iterable
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

PLACES = [
    ("left", "center", 5, 0),
    ("right", "center", -5, 0),
    ("center", "bottom", 0, 4),
    ("center", "top", 0, -4),
    ("left", "bottom", 3, 3),
    ("right", "bottom", -3, 3),
    ("left", "top", 3, -3),
    ("right", "top", -3, -3),
]


class Label(NamedTuple):
    """A name at a point, in the axes' own units."""

    text: str
    x: float
    y: float
    colour: str = "#222222"


def place(
    figure: Figure, axes: Axes, wanted: Iterable[Label], size: float, most: int, always: bool
) -> int:
    """Put the names there in turn, up to `most`; how many found room.

    Those that find none are left out, or with `always` put to the right of their points. The
    figure's layout is fixed first, as what is measured must not move.
    """
    labels = list(wanted)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    inside = axes.get_window_extent(renderer)
    mark = figure.dpi * 2.2 / 72
    points = axes.transData.transform([(label.x, label.y) for label in labels])
    boxes = [Bbox.from_extents(*(point - mark), *(point + mark)) for point in points]
    placed = 0
    for label in labels:
        if placed == most:
            break
        for here in PLACES:
            note = _written(axes, label, here, size)
            box = note.get_window_extent(renderer)
            if _within(box, inside) and not any(box.overlaps(other) for other in boxes):
                boxes.append(box)
                placed += 1
                break
            note.remove()
        else:
            if always:
                _written(axes, label, PLACES[0], size)
    for note in axes.texts:
        note.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
    return placed


def _written(axes: Axes, label: Label, here: tuple, size: float) -> Annotation:
    """The name in one of `PLACES` about its point."""
    across, up, *offset = here
    return axes.annotate(
        label.text,
        (label.x, label.y),
        offset,
        ha=across,
        va=up,
        size=size,
        textcoords="offset points",
        color=label.colour,
    )


def _within(box: Bbox, outer: Bbox) -> bool:
    return outer.x0 < box.x0 and box.x1 < outer.x1 and outer.y0 < box.y0 and box.y1 < outer.y1
