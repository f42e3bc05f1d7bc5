"""What an experiment says, in sentences made from its tables alone.

Every number and every "better" or "worse" is computed: other tables give other sentences. Where the
tables cannot tell, the sentence says that no difference is shown, or there is none.
"""

import numpy as np
import pandas as pd

from paper_figures.figures import variance
from paper_figures.figures.ablation import settings as apart
from paper_figures.figures.ablation import word
from paper_figures.figures.content import COLD, WARM, warm_and_cold
from paper_figures.figures.estimates import Interval, over_folds, paired
from paper_figures.figures.priors import STRENGTH, learnt_names
from paper_figures.figures.rivals import accuracy_and_time, broken_systems, pareto
from paper_figures.figures.runs import METHODS, of_metric, representative, varies, varying, who
from paper_figures.figures.scaling import METRICS as COSTS
from paper_figures.figures.scaling import PANELS, SETTINGS, in_words, law, slices
from paper_figures.figures.temporal import KINDS, held_out
from paper_figures.report.wording import NAMES, UNDECIDED, between, listed, named, number, verdict

Tables = dict[str, pd.DataFrame]
Sentences = list[str]


def overall(tables: Tables) -> Sentences:
    """Who is best by RMSE, what the paired tests say, and whether intervals hold their promise."""
    return [*leader(tables), *compared(tables), *coverage(tables)]


def leader(tables: Tables) -> Sentences:
    """The system and setting of least RMSE, and the next system."""
    rows = of_metric(tables["scores"], "rmse")
    if rows.empty:
        return []
    rows = rows.assign(who=who(tables["scores"]).loc[rows.index])
    settings = varying(rows)
    at = ["who", *settings]
    found = over_folds(rows, at).sort_values("mean")
    first = found.iloc[0]
    parts = [f"{name.split('.')[-1]} {word(first[name])}" for name in settings]
    where = f" at {listed(parts)}" if parts else ""
    value = between(Interval(*first[list(Interval._fields)]))
    sentences = [f"{named(first['who'])} has the lowest RMSE, {value}{where}."]
    others = found[found["who"] != first["who"]]
    if len(others):
        other = others.iloc[0]
        mine, its = (rows[_matches(rows[at], line[at])] for line in (first, other))
        gap = paired(its, mine)
        shown = verdict(gap) == "worse"
        by = f"{number(gap.mean)} above it"
        if gap.known:
            by += f" ({number(gap.low)} to {number(gap.high)}, paired over {gap.n} repetitions)"
        open_ = ": no difference is shown" if gap.known else ", on one split, without an interval"
        sentences.append(f"The next, {named(other['who'])}, is {by}{'' if shown else open_}.")
    return sentences


def _matches(rows: pd.DataFrame, line: pd.Series) -> pd.Series:
    """Which rows have the values of the line; nothing is like nothing."""
    return ((rows == line) | (rows.isna() & line.isna())).all(axis=1)


def compared(tables: Tables) -> Sentences:
    """What the paired comparisons to the first reference say: for each metric a sentence about the
    arms that come out alike wherever they were compared, and one about the others.
    """
    rows = tables.get("comparisons")
    if rows is None or rows.empty:
        return []
    reference, within = rows["reference"].iloc[0], apart(rows)
    rows = rows[rows["reference"] == reference]
    sentences = []
    for metric, part in rows.groupby("metric", sort=False):
        alike: dict[str, list[str]] = {}
        others = []
        for arm, lines in part.groupby("arm", sort=False):
            if len(lines) > 1 and lines["verdict"].nunique() == 1:
                arms = alike.setdefault(_verdict(lines, len(lines), within), [])
                arms.append(f"{named(arm)} by {_sizes(lines)}")
            else:
                others.append(_arm(str(arm), lines, within))
        begin = f"Against {named(reference)}, by {NAMES.get(str(metric), str(metric))}"
        sentences += [f"{begin}, {verdict}: {'; '.join(arms)}." for verdict, arms in alike.items()]
        sentences += [f"{begin}: {'; '.join(others)}."] if others else []
    return sentences


def _arm(arm: str, lines: pd.DataFrame, within: list[str]) -> str:
    """An arm's verdicts, one for each setting that it was compared within."""
    if len(lines) == 1:
        row = lines.iloc[0]
        size = between(Interval(row["difference"], row["low"], row["high"], int(row["n"])))
        return f"{named(arm)}: {row['verdict']}, {size}"
    words = [f"{_verdict(part, len(lines), within)}, by {_sizes(part)}"
             for _, part in lines.groupby("verdict", sort=False)]  # fmt: skip
    return f"{named(arm)}: {', '.join(words)}"


def _verdict(alike: pd.DataFrame, of: int, within: list[str]) -> str:
    return f"{alike['verdict'].iloc[0]} in {len(alike)} of {of} ({_where(alike, within)})"


def _sizes(lines: pd.DataFrame) -> str:
    low, high = number(lines["difference"].min()), number(lines["difference"].max())
    return low if low == high else f"{low} to {high}"


def _where(part: pd.DataFrame, within: list[str]) -> str:
    """The settings of some lines, as `rank 4, 8`."""
    names = []
    for setting in within:
        values = [METHODS.get(value, f"{value:g}" if isinstance(value, float | int) else str(value))
                  for value in part[setting].dropna().unique()]  # fmt: skip
        label = "" if setting == "model.method" else setting.split(".")[-1] + " "
        if values and part[setting].nunique() > 0:
            names.append(label + ", ".join(values))
    return "; ".join(names)


def coverage(tables: Tables) -> Sentences:
    """Whether central intervals hold as many ratings as they say."""
    metric = "coverage_90"
    nominal = int(metric.split("_")[1]) / 100
    scores = tables["scores"]
    rows = representative(of_metric(scores, metric))
    if rows.empty:
        return []
    counts = of_metric(scores, "n").set_index("id")["value"]
    words = []
    for name, part in rows.groupby(who(rows), sort=False):
        found = over_folds(part.assign(all=0), ["all"]).iloc[0]
        mean, low, high = found["mean"], found["low"], found["high"]
        if low != low:  # one split: what the number of ratings leaves open
            half = 1.96 * np.sqrt(nominal * (1 - nominal) / counts[part["id"]].sum())
            low, high = mean - half, mean + half
        says = "as stated" if low <= nominal <= high else (
            "too narrow" if mean < nominal else "too wide")  # fmt: skip
        words.append(f"{name} {mean:.1%} ({says})")
    return [f"Intervals stated to hold {nominal:.0%} of the ratings hold: {listed(words)}."]


def ablation(tables: Tables) -> Sentences:
    return [*leader(tables), *explained(tables), *compared(tables)]


def explained(tables: Tables) -> Sentences:
    """What factors and biases explain of the held-out variance, alone and in common."""
    if not variance.suits(tables["scores"]):
        return []
    found = over_folds(variance.parts(tables["scores"]), ["method", "part"])
    sentences = []
    for method, shares in found.groupby("method", sort=False):
        value = {row.part: f"{row.mean:.1%}".replace("-", "−") for row in shares.itertuples()}
        sentences.append(
            f"With {method} all terms explain {value['all terms']} of the held-out variance: "
            f"{value['biases alone']} the biases alone, {value['factors alone']} the factors "
            f"alone, {value['either']} either. Of the biases' {value['both biases']} the user's "
            f"alone explains {value['user bias alone']}, the item's alone "
            f"{value['item bias alone']}."
        )
    return sentences


def learning(tables: Tables) -> Sentences:
    """Errors with the least and the most training ratings, and how the leader's lead moves."""
    return _along(tables, "split.keep", lambda share: f"{share:.0%} of the training ratings")


def coldstart(tables: Tables) -> Sentences:
    """Errors with the fewest and the most ratings of a new user."""
    return _along(
        tables,
        "split.given",
        lambda n: f"{n:.0f} rating{'' if n == 1 else 's'} of a new user",
    )


def _along(tables: Tables, setting: str, words) -> Sentences:
    rows = of_metric(tables["scores"], "rmse")
    rows = rows.assign(who=who(rows))
    if not varies(rows, setting):
        return overall(tables)
    sentences = []
    for end in (rows[setting].min(), rows[setting].max()):
        here = rows[rows[setting] == end]
        found = over_folds(here, ["who"]).sort_values("mean")
        values = [f"{row.who} {number(row.mean)}" for row in found.itertuples()]
        sentence = f"With {words(end)} the RMSE is: {listed(values)}"
        if len(found) > 1:
            best, worst = (here[here["who"] == found["who"].iloc[j]] for j in (0, -1))
            gap = paired(worst, best)
            sentence += f"; from first to last {between(gap)}"
        sentences.append(sentence + ".")
    return sentences + _gains(rows, setting)


def _gains(rows: pd.DataFrame, setting: str) -> Sentences:
    """How much each system gains from the one end to the other."""
    ends = rows[setting].min(), rows[setting].max()
    parts = []
    for name, part in rows.groupby("who", sort=False):
        low, high = (part[part[setting] == end] for end in ends)
        gain = paired(low, high)
        if gain.mean == gain.mean:
            parts.append(f"{name} {number(gain.mean, sign=True)}")
    return [f"Between the two, RMSE differs by: {listed(parts)}."] if parts else []


def priors(tables: Tables) -> Sentences:
    """How far RMSE moves along each grid of ridges, against systems that learn their prior."""
    rows = of_metric(tables["scores"], "rmse")
    rows = rows.assign(who=who(rows))
    if STRENGTH not in rows:
        return overall(tables)
    sentences = []
    for name, part in rows.dropna(subset=[STRENGTH]).groupby("who", sort=False):
        found = over_folds(part, [STRENGTH])
        best, worst = found.loc[found["mean"].idxmin()], found.loc[found["mean"].idxmax()]
        inside = found[STRENGTH].min() < best[STRENGTH] < found[STRENGTH].max()
        where = "inside the grid" if inside else "at the edge of the grid"
        sentences.append(
            f"Under {name}'s prior RMSE runs from {number(best['mean'])}, at {best[STRENGTH]:g} "
            f"({where}), to {number(worst['mean'])}, at {worst[STRENGTH]:g}: a spread of "
            f"{number(worst['mean'] - best['mean'])}."
        )
    learnt = rows[rows[STRENGTH].isna()]
    if len(learnt):
        found = over_folds(learnt.assign(who=learnt_names(learnt)), ["who"])
        values = [f"{row.who} {number(row.mean)}" for row in found.itertuples()]
        sentences.append(f"Without such a choice: {listed(values)}.")
    return sentences


def temporal(tables: Tables) -> Sentences:
    """What the future costs against a random split, and who leads there."""
    rows = held_out(of_metric(tables["scores"], "rmse"))
    rows = rows.assign(who=who(rows))
    later = rows[rows["kind"] == KINDS["split_global_time"]]
    if later.empty:
        return overall(tables)
    sentences = []
    for share, part in later.groupby("held_out"):
        found = over_folds(part, ["who"]).sort_values("mean")
        values = [f"{row.who} {number(row.mean)}" for row in found.itertuples()]
        sentences.append(f"With the latest {share:.0%} held out RMSE is: {listed(values)}.")
    random = rows[rows["kind"] == KINDS["sample_records"]]
    both = sorted(set(random["held_out"]) & set(later["held_out"]))
    if both:
        parts = []
        for name in dict.fromkeys(later["who"]):
            one, other = (x[(x["held_out"] == both[-1]) & (x["who"] == name)]["value"].mean()
                          for x in (later, random))  # fmt: skip
            if one == one and other == other:
                parts.append(f"{name} {number(one - other, sign=True)}")
        sentences.append(f"Against as many held out at random, {both[-1]:.0%}, RMSE differs by: "
                         f"{listed(parts)}.")  # fmt: skip
    return sentences


def content(tables: Tables) -> Sentences:
    """Who is best on items with training ratings, and on items without."""
    found = warm_and_cold(representative(tables["strata"]))
    sentences = []
    for part in (WARM, COLD):
        here = over_folds(found[found["part"] == part], ["who"]).sort_values("mean")
        if here.empty:
            continue
        values = [f"{row.who} {number(row.mean)}" for row in here.itertuples()]
        rows = found[found["part"] == part]
        sentence = f"{part}: RMSE {listed(values)}"
        if len(here) > 1:
            first, second = (rows[rows["who"] == here["who"].iloc[j]] for j in (0, 1))
            gap = paired(second, first)
            sentence += f"; the second is {verdict(gap)} than the first" if verdict(
                gap) != UNDECIDED else "; between the first two no difference is shown"  # fmt: skip
        sentences.append(sentence + ".")
    return sentences + compared(tables)


def scaling(tables: Tables) -> Sentences:
    """The laws by which time and memory grow."""
    sentences = []
    for metric, x in PANELS:
        rows = of_metric(tables["scores"], metric)
        if varies(rows, x):
            parts = [in_words(system, law(points, metric, x), x)
                     for system, points in slices(rows, metric, x).items()]  # fmt: skip
            label, setting = COSTS[metric].label, SETTINGS[x].label.split(" (")[0].lower()
            sentences.append(f"{label} against {setting}: {'; '.join(parts)}.")
    return sentences


def rivals(tables: Tables) -> Sentences:
    """Who is on the frontier of accuracy and time, and what broke."""
    scores = tables["scores"]
    found = accuracy_and_time(representative(scores))
    sentences = leader(tables)
    if len(found):
        front = [f"{row.who} ({number(row.rmse)} in {row.seconds:.2g} s)"
                 for row in pareto(found).itertuples()]  # fmt: skip
        sentences.append(f"No system is both faster and more accurate than: {listed(front)}.")
    for name, reason in broken_systems(scores).items():
        sentences.append(f"{named(name)} broke: {reason}.")
    return sentences + compared(tables) + coverage(tables)
