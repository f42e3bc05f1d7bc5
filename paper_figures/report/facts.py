"""What the article's sentences ask of an experiment's tables: numbers, and which is better.

    lines   per system and setting: `who`, `settings`, and each metric's mean with its interval
    gaps    by metric, a line per pair of these: the difference, and whether it is shown
    laws    of a scaling experiment: how time and memory grow
    shares  of an ablation: the parts of the held-out variance
    recovered  where ratings are generated: the share of each true part that a system recovers

Every number has its text, as tables show it, beside its value, by which sentences decide.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from paper_figures.figures import recovered, scaling, variance
from paper_figures.figures.build import Tables
from paper_figures.figures.estimates import (
    Interval,
    Power,
    estimate_text,
    interval,
    over_folds,
    units,
)
from paper_figures.figures.runs import of_metric, settings_in, text, varying, who
from pmf.evaluate.metrics import LESS, MORE, heading, metric_named, shown_of
from pmf.fitting.registry import LABELS

GAPS = ("rmse", "log_density")  # metrics whose differences are told in sentences


def facts(tables: Tables) -> dict[str, Any]:
    """All of one experiment."""
    scores = tables["scores"].assign(who=who(tables["scores"]))
    keys = _keys(scores)
    lines = scores[keys].drop_duplicates().reset_index(drop=True)
    metrics = shown_of(scores["metric"].dropna())
    scored = {name: _scores(scores, keys, lines, name) for name in metrics}
    first = scores.drop_duplicates(keys).reset_index(drop=True)
    return {
        "lines": [
            {
                "number": j,
                "who": str(lines["who"][j]),
                "arm": text(first, "arm")[j],
                "method": text(first, "model.method")[j],
                "system": text(first, "system")[j],
                "settings": {_short(key): _plain(lines[key][j]) for key in keys[1:]},
                "scores": {name: scored[name][j] for name in metrics},
            }
            for j in range(len(lines))
        ],
        "gaps": {
            name: _gaps(tables, scores, keys, first, name) for name in GAPS if name in metrics
        },
        "laws": _laws(tables["scores"]) if scaling.suits(tables["scores"]) else [],
        "shares": _shares(tables["scores"]) if variance.suits(tables["scores"]) else [],
        "recovered": _recovered(tables["scores"]) if recovered.suits(tables["scores"]) else [],
    }


def _keys(scores: pd.DataFrame) -> list[str]:
    """What tells the lines of a table of scores apart."""
    extra = [name for name in varying(scores) if not name.startswith("tuned")]
    always = [] if "model.rank" in extra or "model.rank" not in scores else ["model.rank"]
    return ["who", *always, *extra]


def _short(key: str) -> str:
    return key.split(".")[-1]


def _plain(value: Any) -> Any:
    """A value that JSON has; None of nothing."""
    if isinstance(value, float | np.floating):
        return None if value != value else int(value) if value == int(value) else float(value)
    return value.item() if isinstance(value, np.generic) else value


def estimate(one: Interval, form: str) -> dict[str, Any]:
    """An estimate as JSON has it, with its text and that of its mean alone."""
    whole = {name: _plain(value) for name, value in one._asdict().items()}
    return whole | {
        "text": estimate_text(one, form),
        "short": estimate_text(Interval(one.mean, np.nan, np.nan, 1), form),
    }


def _scores(
    scores: pd.DataFrame, keys: list[str], lines: pd.DataFrame, name: str
) -> list[dict[str, Any] | None]:
    """One metric of each line; None where it has none."""
    means = lines.merge(over_folds(of_metric(scores, name), keys), "left", on=keys)
    rows = means[list(Interval._fields)].to_numpy()
    form = metric_named(name).form
    return [estimate(Interval(*row), form) if row[0] == row[0] else None for row in rows]


def _gaps(
    tables: Tables, scores: pd.DataFrame, keys: list[str], first: pd.DataFrame, name: str
) -> list[dict[str, Any]]:
    """The difference of each pair of lines, `one` minus `other`.

    It is the comparison over users where the tables have one; else it is paired over the folds.
    """
    rows = of_metric(scores, name).merge(first[keys].reset_index(names="line"), on=keys)
    wide = rows.groupby(["line", *units(scores)])["value"].mean()
    wide = wide.unstack("line") if units(scores) else wide.to_frame().T
    less, compared = metric_named(name).best == LESS, _compared(tables, name)
    within = settings_in(compared)
    named = [_named(first.loc[j], within) for j in first.index]
    gaps = []
    split = first[[key for key in keys if key.startswith(("data", "split."))]].astype(str)
    split = split.agg(" ".join, axis=1) if len(split.columns) else pd.Series("", first.index)
    for one, other in combinations([j for j in first.index if j in wide], 2):
        if split[one] != split[other]:
            continue  # other ratings
        both = named[one], named[other]
        gap = _over_users(compared, within, *both) or _over_folds(wide[one], wide[other])
        if gap is not None:
            gaps.append({"one": one, "other": other, "better": (gap["mean"] < 0) == less} | gap)
    return gaps


def _over_folds(one: pd.Series, other: pd.Series) -> dict[str, Any] | None:
    differences = (one - other).dropna().to_numpy()
    if not len(differences):
        return None
    gap = interval(differences)
    shown = bool(gap.known and (gap.low > 0 or gap.high < 0))
    return {"mean": gap.mean, "shown": shown, "by": "folds", "size": estimate_text(_size(gap))}


def _compared(tables: Tables, name: str) -> pd.DataFrame:
    """The comparisons of one metric that could be made."""
    rows = tables.get("comparisons", pd.DataFrame())
    return rows[rows["metric"] == name].dropna(subset="difference") if len(rows) else rows


def _named(line: pd.Series, columns: list[str]) -> tuple[str, ...]:
    """A line by its arm and the settings that the comparisons are within."""
    return (str(line.get("arm")), *(str(_plain(line.get(column))) for column in columns))


def _over_users(
    compared: pd.DataFrame, within: list[str], one: tuple[str, ...], other: tuple[str, ...]
) -> dict[str, Any] | None:
    for row in compared.to_dict("records") if one[1:] == other[1:] else []:
        setting = tuple(str(_plain(row[name])) for name in within)
        pair = {row["arm"]: 1, row["reference"]: -1}
        if setting == one[1:] and {*pair} == {one[0], other[0]}:
            sign = pair[one[0]]
            low, high = sorted((sign * row["low"], sign * row["high"]))
            gap = Interval(sign * row["difference"], low, high, row["n"])
            size, shown = _size(gap), row["verdict"] in ("better", "worse")
            text = f"{size.mean:.4f} ({size.low:.4f} to {size.high:.4f})".replace("-", "−")
            return {"mean": gap.mean, "shown": shown, "by": "users", "size": text}
    return None


def _size(gap: Interval) -> Interval:
    """A difference without its sign, and its interval turned with it."""
    return gap if gap.mean >= 0 else Interval(-gap.mean, -gap.high, -gap.low, gap.n)


def _laws(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """How each metric of a sweep grows with each setting, for each system."""
    laws = []
    for metric, x in scaling.PANELS:
        rows = scores[scores["metric"] == metric]
        for name, points in (scaling.slices(scores, metric, x) if len(rows) else {}).items():
            law = scaling.law(points, metric, x)
            slope = None if law is None else law.exponent if isinstance(law, Power) else law.slope
            laws.append(
                {
                    "metric": metric,
                    "against": _short(x),
                    "who": name,
                    "slope": slope,
                    "error": None if law is None else _plain(law.error),
                    "text": scaling.in_words(name, law, x).partition(": ")[2],
                    "largest": _plain(points[x].max()),
                    "of_largest": f"{points[x].max():,.0f}",
                    "at_largest": _plain(points["mean"].iloc[-1]),
                }
            )
    return laws


def _shares(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Each part of the held-out variance, for each method."""
    shares = over_folds(variance.parts(scores), ["part", "method"])
    return [
        {"part": row.part, "method": LABELS.get(row.method, row.method)}
        | estimate(Interval(row.mean, row.low, row.high, row.n), "{:.1%}")
        for row in shares.itertuples()
    ]


def _recovered(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Each part of the truth as each system recovers it."""
    return [
        {"who": row.who, "part": row.part}
        | estimate(Interval(row.mean, row.low, row.high, row.n), "{:.1%}")
        for row in recovered.recovered(scores).itertuples()
    ]


def metrics_of(experiments: dict[str, Tables]) -> dict[str, dict[str, Any]]:
    """The title and the better direction of each metric in any of the tables."""
    names = {x for tables in experiments.values() for x in tables["scores"]["metric"].dropna()}
    return {
        name: {"title": heading(name), "best": _best(metric_named(name).best)}
        for name in shown_of(names)
    }


def _best(value: float | None) -> float | str | None:
    return {LESS: "less", MORE: "more"}.get(value, value)
