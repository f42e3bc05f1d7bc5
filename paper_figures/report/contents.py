"""What a report says of some results: one description, of which the page and the article are made.

Every number in it comes from the results tables, through `tables`. An experiment without tables is
left out, and `missing` names it.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

from paper_figures.figures.build import Tables, once_each, read, suiting
from paper_figures.figures.estimates import LEVEL
from paper_figures.figures.runs import of_metric, text
from paper_figures.figures.sources import SOURCES
from paper_figures.report.grid import Grid
from paper_figures.report.sections import PARTS, SECTIONS, in_order, in_parts, section
from paper_figures.report.tables import comparisons_grid, frame_grid, least, run_ids, scores_grid
from pmf.errors import InputError

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
OF_DATA = ("long_tails",)  # figures that say nothing of the experiment whose tables they are of


def read_all(results: Path) -> dict[str, Tables]:
    """The tables of every experiment of a results folder, in the report's order.

    Raises `InputError` where there is none, or one lacks its runs.
    """
    signs = ("scores.csv", SOURCES)
    names = {path.parent.name for sign in signs for path in results.glob(f"*/{sign}")}
    if not names:
        raise InputError(f"{results}: no results tables; run and collect an experiment first")
    return {name: read(results / name) for name in in_order(names)}


def contents(experiments: dict[str, Tables]) -> dict[str, Any]:
    """All that a report shows, in its order: the data, then parts and the sections in each.

    Tables are `Grid`s. A figure is its module, `of` the experiment whose tables it is drawn from,
    and `numbers` the grid beside it, or None.
    """
    once = once_each({name: experiments[name] for name in in_parts(experiments)})
    sections = [one_section(name, tables) for name, tables in once.items()]
    of_data = [one.pop("of_data") for one in sections]
    parts = [
        {"name": part, "title": title, "sections": [one for one in sections if one["part"] == part]}
        for part, title in PARTS.items()
    ]
    return {
        "data": data_used(experiments),
        "data_figures": [figure for one in of_data for figure in one],
        "parts": [part for part in parts if part["sections"]],
        "missing": [name for name in SECTIONS if name not in experiments],
        "number_of_runs": f"{sum(len(tables['runs']) for tables in experiments.values()):,}",
        "level": f"{LEVEL:.0%}",
    }


def one_section(name: str, tables: Tables) -> dict[str, Any]:
    """What there is to say of one experiment."""
    about, drawn = section(name), figures(name, tables)
    return {
        "name": name,
        "part": about.part,
        "title": about.title,
        "question": about.question,
        "least": least(tables),
        "protocol": protocol(tables),
        "figures": [figure for figure in drawn if figure["name"] not in OF_DATA],
        "of_data": [figure for figure in drawn if figure["name"] in OF_DATA],
        "scores": scores_grid(tables),
        "comparisons": comparisons_grid(tables),
        "runs": run_ids(tables),
    }


def figures(name: str, tables: Tables) -> list[dict[str, Any]]:
    """The figures that suit an experiment's tables."""
    chosen = section(name).figures
    return [
        {
            "name": figure,
            "of": name,
            "module": module,
            "title": module.TITLE,
            "caption": module.CAPTION,
            "numbers": beside(module, tables),
            "chosen": chosen is None or figure in (*chosen, *OF_DATA),
        }
        for figure, module in suiting(tables).items()
    ]


def beside(module: ModuleType, tables: Tables) -> Grid | None:
    """The small table that belongs to a figure, if there is one."""
    if not hasattr(module, "numbers"):
        return None
    return frame_grid(module.numbers(tables[module.TABLE]))


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
