"""One self-contained HTML page of all experiments: figures, tables and run identities."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from paper_figures.figures.build import Tables, draw
from paper_figures.figures.style import COLUMN, style
from paper_figures.report.contents import contents
from paper_figures.report.formulas import DISPLAY, INLINE, image
from paper_figures.report.grid import html

TEMPLATES = Path(__file__).resolve().parent / "templates"


def render(experiments: dict[str, Tables]) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = html
    return environment.get_template("report.html").render(context(experiments))


def context(experiments: dict[str, Tables]) -> dict[str, Any]:
    """All that the template shows: the contents, numbered, with pictures."""
    whole = contents(experiments)
    sections = [one for part in whole["parts"] for one in part["sections"]]
    for number, one in enumerate(sections, 1):
        one["number"] = number
    figures = whole["data_figures"] + [figure for one in sections for figure in one["figures"]]
    for number, figure in enumerate(figures, 1):
        drawn = draw(experiments[figure["of"]], figure["module"])
        figure |= {"number": number, **picture(drawn)}
    return whole | {
        "sections": sections,
        "references": references(TEMPLATES.parents[1] / "article" / "references.bib"),
        "formula": {name: image(tex) for name, tex in DISPLAY.items()},
        "inline": {name: image(tex) for name, tex in INLINE.items()},
    }


def references(path: Path) -> list[dict[str, str]]:
    """The fields of each entry of the article's bibliography, a line each, by author and year."""
    lines = [line for line in path.read_text(encoding="utf8").splitlines() if line.startswith("@")]
    named = [re.findall(r"(\w+) = \{((?:[^{}]|\{[^{}]*\})*)\}", line) for line in lines]
    fields = [{key: re.sub("[{}]", "", text) for key, text in pairs} for pairs in named]
    empty = dict.fromkeys(("journal", "booktitle", "publisher", "volume", "doi"), "")
    whole = [empty | one | {"author": one["author"].replace(" and ", "; ")} for one in fields]
    return sorted(whole, key=lambda one: (one["author"], one["year"]))


def picture(figure: Figure) -> dict[str, Any]:
    """A figure as an embedded SVG, whose letters are outlines: it looks the same everywhere."""
    with style():
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    source = base64.b64encode(stream.getvalue()).decode()
    return {
        "source": f"data:image/svg+xml;base64,{source}",
        "wide": figure.get_figwidth() > COLUMN,
    }
