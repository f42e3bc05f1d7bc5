"""One self-contained HTML page of all experiments: figures, tables and run identities.

Every number in it comes from the results tables, through `tables`. An experiment
without tables is left out, and the page says so.
"""

import base64
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
from matplotlib.figure import Figure

from paper_figures.figures.build import Tables, draw, numbers, one_map, read, suiting
from paper_figures.figures.estimates import LEVEL
from paper_figures.figures.runs import of_metric, text
from paper_figures.figures.sources import SOURCES
from paper_figures.figures.style import COLUMN, style
from paper_figures.report.formulas import DISPLAY, INLINE, image
from paper_figures.report.grid import html
from paper_figures.report.sections import SECTIONS, in_order, section
from paper_figures.report.tables import comparisons_grid, frame_grid, least, run_ids, scores_grid
from pmf.errors import InputError

TEMPLATES = Path(__file__).resolve().parent / "templates"
DATA = {
    "": "synthetic ratings in the shape of MovieLens 25M",
    "ml-small-2016": "MovieLens latest-small of September 2016, bundled with the package",
    "ml-latest-small": "MovieLens latest-small of September 2018",
    "ml-100k": "MovieLens 100K",
    "ml-1m": "MovieLens 1M",
    "ml-10m": "MovieLens 10M",
    "ml-20m": "MovieLens 20M",
    "ml-25m": "MovieLens 25M",
    "ml-32m": "MovieLens 32M",
}
KINDS = {
    "crossfold_records": "ratings in random folds, each held out once",
    "assigned_folds": "folds from a file",
    "sample_records": "a random share of the ratings held out",
    "sample_n": "a number of random ratings of each user held out",
    "sample_fraction": "a random share of each user's ratings held out",
    "last_n": "the last ratings of each user held out",
    "last_fraction": "the last share of each user's ratings held out",
    "split_global_time": "the latest ratings of all held out",
    "split_at_time": "the ratings from a date on held out",
    "sample_users": "random users held out but for a few of their ratings",
    "sample_items": "random items held out with all their ratings",
}


def read_all(results: Path) -> dict[str, Tables]:
    """The tables of every experiment of a results folder, in the report's order.

    Raises `InputError` where there is none, or one lacks its runs.
    """
    signs = ("scores.csv", SOURCES)
    names = {path.parent.name for sign in signs for path in results.glob(f"*/{sign}")}
    if not names:
        raise InputError(f"{results}: no results tables; run and collect an experiment first")
    return {name: read(results / name) for name in in_order(names)}


def render(experiments: dict[str, Tables]) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(context(experiments))


def context(experiments: dict[str, Tables]) -> dict[str, Any]:
    """All that the template shows."""
    sections = [one_section(name, tables) for name, tables in one_map(experiments).items()]
    for number, part in enumerate(sections, 1):
        part["number"] = number
    figures = (figure for part in sections for figure in part["figures"])
    for number, figure in enumerate(figures, 1):
        figure["number"] = number
    return {
        "sections": sections,
        "missing": [name for name in SECTIONS if name not in experiments],
        "data": data_used(experiments),
        "number_of_runs": f"{sum(len(tables['runs']) for tables in experiments.values()):,}",
        "level": f"{LEVEL:.0%}",
        "formula": {name: image(tex) for name, tex in DISPLAY.items()},
        "inline": {name: image(tex) for name, tex in INLINE.items()},
    }


def one_section(name: str, tables: Tables) -> dict[str, Any]:
    """What the template shows of one experiment."""
    about, comparisons = section(name), comparisons_grid(tables)
    beside = {figure: html(frame_grid(frame)) for figure, frame in numbers(tables).items()}
    return {
        "name": name,
        "title": about.title,
        "question": about.question,
        "least": least(tables),
        "protocol": protocol(tables),
        "figures": [
            picture(draw(tables, one), one) | {"numbers": beside.get(figure, "")}
            for figure, one in suiting(tables).items()
        ],
        "scores": html(scores_grid(tables)),
        "comparisons": html(comparisons) if comparisons else "",
        "runs": html(run_ids(tables)),
    }


def picture(figure: Figure, module: ModuleType) -> dict[str, Any]:
    """A figure as an embedded SVG, whose letters are outlines: it looks the same everywhere."""
    with style():
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    source = base64.b64encode(stream.getvalue()).decode()
    return {
        "source": f"data:image/svg+xml;base64,{source}",
        "title": module.TITLE,
        "caption": module.CAPTION,
        "wide": figure.get_figwidth() > COLUMN,
    }


def protocol(tables: Tables) -> str:
    """How an experiment was run, in a line."""
    runs = tables["runs"]
    parts = [
        f"{len(runs)} runs on {', '.join(DATA.get(x, x) for x in text(runs, 'data').unique())}"
    ]
    kinds = [KINDS[kind] for kind in text(runs, "split.kind").unique() if kind in KINDS]
    parts += [" or ".join(kinds)] if kinds else []
    for column, word in (
        ("split.fold", "folds"),
        ("split.seed", "splits"),
        ("model.seed", "seeds of the fit"),
        ("model.repeat", "measurements of each"),
    ):
        if column in runs and runs[column].nunique() > 1:
            parts.append(f"{runs[column].nunique()} {word}")
    trials = runs["tuning.trials"].dropna().unique() if "tuning.trials" in runs else []
    if len(trials):
        parts.append(f"{' or '.join(f'{x:.0f}' for x in sorted(trials))} trials of tuning")
    return "; ".join(parts) + "."


def data_used(experiments: dict[str, Tables]) -> list[dict[str, str]]:
    """Each data set, the experiments on it, and how many ratings a run holds out."""
    by_data = dict[str, dict[str, Any]]()
    for name, tables in experiments.items():
        counts = of_metric(tables["scores"], "n")
        for data in text(tables["runs"], "data").unique():
            line = by_data.setdefault(data, {"name": DATA.get(data, data), "in": [], "n": []})
            line["in"].append(name)
            line["n"] += counts.loc[text(counts, "data") == data, "value"].tolist()
    return [
        {"name": line["name"], "experiments": ", ".join(line["in"]), "held_out": _range(line["n"])}
        for line in by_data.values()
    ]


def _range(counts: list[float]) -> str:
    if not counts:
        return "none"
    low, high = min(counts), max(counts)
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
