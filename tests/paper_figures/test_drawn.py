"""What is drawn, read back from the figures and compared with the tables, whose values are random.

Catches: axes, panels, rows or series under another's label; a band or a bar that is no interval;
systems that look alike; a system that hides another; a value of another run, metric or fold.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.lines import Line2D

from paper_figures.figures import (
    ablation,
    calibration,
    coldstart,
    content,
    convergence,
    factor_map,
    learning,
    pit,
    priors,
    rank,
    rivals,
    scaling,
    strata,
    temporal,
    variance,
)
from paper_figures.figures.build import left_out, suiting
from paper_figures.figures.style import LOOKS
from tests.helpers import result_tables

KEYS = {"ALS": "als", "MAP": "map", "MAP, Adam": "map", "Gibbs": "gibbs"}


@cache
def table_of(experiment: str, name: str) -> pd.DataFrame:
    """A table with its runs' settings."""
    tables = result_tables.EXPERIMENTS[experiment]()
    table = tables[name]
    return table.merge(tables["runs"], on="id") if "id" in table else table


def scrambled(experiment: str, name: str, column: str = "value", low=0.5, high=1.0):
    """A table each of whose values differs from all others."""
    table = table_of(experiment, name)
    values = np.random.default_rng(len(table)).uniform(low, high, len(table))
    return table.assign(**{column: values})


def of_system(table: pd.DataFrame, name: str) -> pd.DataFrame:
    column = "arm" if (table["arm"] != "").any() else "model.method"
    return table[table[column] == (name if column == "arm" else KEYS[name])]


def t_interval(folds) -> tuple[float, float, float]:
    """The mean of the folds, and its interval, by SciPy."""
    folds = np.asarray(folds, float)
    half = scipy.stats.t.ppf(0.975, len(folds) - 1) * scipy.stats.sem(folds)
    return folds.mean(), folds.mean() - half, folds.mean() + half


def by_fold(rows: pd.DataFrame, keys: list[str], value: str = "value") -> pd.DataFrame:
    """`mean, low, high` at each key: seeds are averaged, then folds."""
    each = rows.groupby([*keys, "split.fold"])[value].mean().groupby(keys)
    intervals = pd.DataFrame(each.apply(t_interval).to_dict(), ["mean", "low", "high"]).T
    return intervals.sort_index()


# --- what is on an axes ---------------------------------------------------------------------------


def named_lines(axes: Axes) -> dict[str, Line2D]:
    return {str(x.get_label()): x for x in axes.get_lines() if not str(x.get_label())[0] == "_"}


def band(axes: Axes, colour: str) -> pd.DataFrame:
    """`low, high` at each x of the one band of a colour."""
    (collection,) = [
        x
        for x in axes.collections
        if isinstance(x, PolyCollection) and to_hex(x.get_facecolor()[0]) == colour.lower()
    ]
    points = pd.DataFrame(collection.get_paths()[0].vertices, columns=["x", "y"])
    return points.groupby("x")["y"].agg(["min", "max"])


def bars(axes: Axes) -> dict[str, tuple[Line2D, np.ndarray, np.ndarray]]:
    """Of each series with error bars its marks, and the ends of its bars."""
    by_label = {}
    for one in axes.containers:
        if isinstance(one, ErrorbarContainer):
            marks, _, (ends,) = one.lines
            none = np.full((2, 2), np.nan)
            segments = np.array([x if len(x) else none for x in ends.get_segments()])
            by_label[str(one.get_label())] = marks, segments[:, 0], segments[:, 1]
    return by_label


def at(artist: Line2D) -> tuple[np.ndarray, np.ndarray]:
    """The x and the y of a line's points."""
    x, y = np.asarray(artist.get_xydata(), float).T
    return x, y


def looks_of(name: str, artist: Line2D) -> None:
    """A system's line or marks have its own look."""
    look = LOOKS[KEYS.get(name, name.lower())]
    assert to_hex(artist.get_color()) == look.colour.lower()
    assert artist.get_marker() == look.marker
    face = "#ffffff" if look.hollow else look.colour.lower()
    assert to_hex(artist.get_markerfacecolor()) == face


def assert_series(axes: Axes, table: pd.DataFrame, x: str, names, value: str = "value") -> None:
    """A line per system, at its means, within its band, in its look."""
    lines = named_lines(axes)
    assert set(lines) == set(names)
    for name, line in lines.items():
        truth = by_fold(of_system(table, name), [x], value)
        np.testing.assert_allclose(line.get_xdata(), truth.index)
        np.testing.assert_allclose(line.get_ydata(), truth["mean"])
        looks_of(name, line)
        drawn = band(axes, to_hex(line.get_color()))
        np.testing.assert_allclose(drawn.index, truth.index)
        np.testing.assert_allclose(drawn, truth[["low", "high"]])


def of_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[table["metric"] == metric]


METRIC_WORDS = {"rmse": "RMSE", "log_density": "density", "ndcg@10": "NDCG"}


def metric_of(label: str) -> str:
    """The metric that an axis names."""
    (metric_found,) = [metric for metric, word in METRIC_WORDS.items() if word in label]
    return metric_found


# --- lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "experiment", "x", "word", "metrics"),
    [
        (rank, "compare", "model.rank", "Rank", ["rmse", "log_density", "ndcg@10"]),
        (learning, "sparsity", "split.keep", "ratings kept", ["rmse", "log_density"]),
        (coldstart, "coldstart", "split.given", "of a new user", ["rmse", "log_density"]),
    ],
    ids=["rank", "learning", "coldstart"],
)
def test_scores_along_a_setting(module, experiment, x, word, metrics):
    table = scrambled(experiment, "scores")
    names = table["arm"].unique()
    panels = module.plot(table).axes
    assert [metric_of(axes.get_ylabel()) for axes in panels] == metrics
    for axes, metric in zip(panels, metrics, strict=True):
        assert word in axes.get_xlabel()
        assert_series(axes, of_metric(table, metric), x, names)
        values = sorted(table[x].unique())
        np.testing.assert_allclose(axes.get_xticks(), values)
        assert [read_number(label.get_text()) for label in axes.get_xticklabels()] == values


def test_a_legend_names_each_look_as_it_is():
    figure = rank.plot(table_of("compare", "scores"))
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert set(texts) == set(table_of("compare", "scores")["arm"])
    for name, handle in zip(texts, legend.legend_handles, strict=True):
        looks_of(name, handle)


def test_a_cold_start_is_of_new_users_alone():
    table = scrambled("coldstart", "scores")
    other = table.assign(value=9.0, **{"split.kind": "sample_records"})
    before, after = (
        named_lines(coldstart.plot(one).axes[0]) for one in (table, pd.concat([table, other]))
    )
    for name, line in before.items():
        np.testing.assert_array_equal(after[name].get_xydata(), line.get_xydata())


def read_number(text: str) -> float:
    return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)


def test_a_panel_a_kind_of_split():
    table = of_metric(scrambled("temporal", "scores"), "rmse")
    kinds = {"Held out at random": "sample_records", "The latest held out": "split_global_time"}
    panels = temporal.plot(table).axes
    assert [axes.get_title("center") + axes.get_title("left") for axes in panels] == list(kinds)
    for axes, kind in zip(panels, kinds.values(), strict=True):
        part = table[table["split.kind"] == kind]
        for name, line in named_lines(axes).items():
            truth = of_system(part, name).groupby("split.fraction")["value"].mean()
            np.testing.assert_allclose(line.get_xdata(), truth.index)
            np.testing.assert_allclose(line.get_ydata(), truth)
            looks_of(name, line)
        assert len(named_lines(axes)) == 3
        assert [read_number(x.get_text()) for x in axes.get_xticklabels()] == [0.1, 0.2, 0.4]
    folds = pd.DataFrame(
        {"split.kind": ["crossfold_records"], "split.fraction": [0.3], "split.partitions": [5]}
    )
    (fold,) = temporal.held_out(folds).itertuples()
    assert (fold.kind, fold.held_out) == ("Held out at random", 0.2)


def test_calibration_is_what_was_held_against_what_was_promised():
    table = scrambled("compare", "calibration", "actual", 0.0, 1.0)
    figure = calibration.plot(table)
    (axes,) = figure.axes
    assert "Nominal" in axes.get_xlabel() and "inside" in axes.get_ylabel()
    diagonal = named_lines(axes).pop("calibrated")
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    diagonal.remove()
    middle = table[table["model.rank"] == 16]  # of three ranks
    assert_series(axes, middle, "nominal", table["arm"].unique(), "actual")


def test_no_system_hides_another_where_they_agree():
    """Lines that lie on one another: the one below is broader, and their marks are apart."""
    table = table_of("quickstart", "calibration").assign(actual=lambda x: x["nominal"])
    lines = [x for name, x in named_lines(calibration.plot(table).axes[0]).items() if name in KEYS]
    assert len(lines) == 3
    for below, above in zip(lines, lines[1:], strict=False):
        assert below.get_linewidth() > above.get_linewidth() + 0.5
        (first, step), (other, same) = below.get_markevery(), above.get_markevery()
        assert step == same > 1 and (first - other) % step


def test_convergence_is_against_seconds():
    table = scrambled("compare", "trace")
    table["seconds"] = np.random.default_rng(0).uniform(1, 9, len(table))
    figure = convergence.plot(table)
    (axes,) = figure.axes
    assert "time" in axes.get_xlabel() and "RMSE" in axes.get_ylabel()
    rows = table[(table["model.rank"] == 16) & (table["model.seed"] == 0)]
    drawn = {
        (tuple(np.round(x.get_xdata(), 9)), tuple(np.round(x.get_ydata(), 9))): x
        for x in axes.get_lines()
    }
    wanted = 0
    for (name, _), run in rows.groupby(["arm", "id"]):
        early = run["step"] <= (100 if name == "Gibbs" else 0)  # single draws, then their mean
        for part, thin in ((run[early], True), (run[~early], False)):
            if len(part):
                key = tuple(part["seconds"].round(9)), tuple(part["value"].round(9))
                line, wanted = drawn[key], wanted + 1
                assert (line.get_linewidth() < 1) == thin
                assert (
                    to_hex(line.get_color()) == LOOKS[KEYS.get(name, name.lower())].colour.lower()
                )
    assert len(drawn) == wanted == 18  # five systems, three folds, Gibbs twice
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {*table["arm"], "Gibbs, single draws"}


def test_priors_are_in_units_of_their_middle_and_what_is_learnt_is_level():
    table = scrambled("priors", "scores")
    panels = priors.plot(table).axes
    assert [metric_of(axes.get_ylabel()) for axes in panels] == ["rmse", "log_density"]
    for axes, metric in zip(panels, ("rmse", "log_density"), strict=True):
        rows, lines = of_metric(table, metric), named_lines(axes)
        for name, middle in (("PMF", 11.2), ("ALS-WR", 0.028)):
            truth = by_fold(rows[rows["arm"] == name], ["model.prior.user_factor"])
            np.testing.assert_allclose(lines[name].get_xdata() * middle, truth.index)
            np.testing.assert_allclose(lines[name].get_ydata(), truth["mean"])
            drawn = band(axes, to_hex(lines[name].get_color()))
            np.testing.assert_allclose(drawn, truth[["low", "high"]])
        levels = rows[rows["arm"] == "Gibbs"].groupby(["model.hyperprior", "model.tau"])
        spans = np.array([x.get_bbox().intervaly for x in axes.patches])
        for (kind, tau), part in levels:
            mean, *ends = t_interval(part["value"])
            line = lines[f"Gibbs, hyperprior {kind}, tau {tau}"]
            np.testing.assert_allclose(line.get_ydata(), mean)
            assert np.isclose(spans, ends).all(axis=1).any()
        assert len(spans) == 4
        assert len({(to_hex(x.get_color()), x.get_linestyle()) for x in lines.values()}) == 6


def test_a_prior_that_does_not_vary_within_an_arm_is_not_drawn_and_said_why():
    whole = table_of("priors", "scores")
    assert "priors" in suiting({"scores": whole}) and left_out({"scores": whole}) == {}
    strength = whole["model.prior.user_factor"]
    points = whole[strength.isna() | strength.isin([11.2, 0.028])]  # one per arm
    assert "priors" not in suiting({"scores": points})
    assert "a point and no curve" in left_out({"scores": points})["priors"]
    plain = table_of("compare", "scores")
    assert "priors" not in suiting({"scores": plain}) and left_out({"scores": plain}) == {}
    assert left_out({"scores": plain.assign(**{"model.prior.user_factor": 2.0})}) == {}


# --- marks with bars ------------------------------------------------------------------------------


def test_strata_are_those_of_their_side():
    table = scrambled("quickstart", "strata", "rmse")
    table["n"] = np.random.default_rng(1).integers(1, 900, len(table))
    panels = strata.plot(table).axes
    sides = {"user": "user history", "item": "item popularity"}
    for axes, (word, by) in zip(panels, sides.items(), strict=True):
        assert f"of the {word}" in axes.get_xlabel()
        rows = table[table["by"] == by]
        ticks = [x.get_text().split("\n") for x in axes.get_xticklabels()]
        assert [stratum for stratum, _ in ticks] == result_tables.STRATA
        count = rows.groupby("stratum")["n"].mean()
        assert [n for _, n in ticks] == [f"({count[x]:.0f})" for x in result_tables.STRATA]
        for name, (marks, *_) in bars(axes).items():
            truth = of_system(rows, name).set_index("stratum")["rmse"]
            np.testing.assert_allclose(at(marks)[1], truth[result_tables.STRATA])
            np.testing.assert_allclose(at(marks)[0], range(6), atol=0.2)
            looks_of(name, marks)
        assert len(bars(axes)) == 3


def test_bars_of_strata_are_intervals_over_folds():
    table = scrambled("compare", "strata", "rmse")
    rows = table[(table["model.rank"] == 16) & (table["by"] == "item popularity")]
    for name, (_, low, high) in bars(strata.plot(table).axes[1]).items():
        truth = by_fold(of_system(rows, name), ["stratum"], "rmse").loc[result_tables.STRATA]
        np.testing.assert_allclose(low[:, 1], truth["low"])
        np.testing.assert_allclose(high[:, 1], truth["high"])


def test_known_and_new_items():
    table = scrambled("content", "strata", "rmse")
    table["n"] = np.random.default_rng(1).integers(1, 900, len(table))
    known, new = content.plot(table).axes
    assert "with training" in known.get_title("left") + known.get_title("center")
    assert "without" in new.get_title("left") + new.get_title("center")
    items = table[table["by"] == "item popularity"]
    is_new = items["stratum"] == "0"
    for axes, rows in ((known, items[~is_new]), (new, items[is_new])):
        squares = rows.assign(squares=rows["n"] * rows["rmse"] ** 2)
        sums = squares.groupby(["arm", "split.fold"])[["squares", "n"]].sum()
        each = np.sqrt(sums["squares"] / sums["n"])
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert set(names) == set(table["arm"])
        for name, (marks, low, high) in bars(axes).items():
            j = names.index(name)
            x, y = at(marks)
            assert np.flatnonzero(~np.isnan(x)).tolist() == [j]
            mean, *ends = t_interval(each[name])
            assert x[j] == pytest.approx(mean) and y[j] == pytest.approx(j, abs=0.3)
            np.testing.assert_allclose([low[j, 0], high[j, 0]], ends)


def test_differences_are_in_the_panel_the_row_and_the_look_of_their_own():
    table = table_of("ablation", "comparisons")
    rng = np.random.default_rng(0)
    table = table.assign(difference=rng.normal(size=len(table)))
    table["low"] = table["difference"] - rng.uniform(0.1, 1, len(table))
    table["high"] = table["difference"] + rng.uniform(0.1, 1, len(table))
    panels = ablation.plot(table).axes
    assert [metric_of(axes.get_xlabel()) for axes in panels] == list(METRIC_WORDS)
    assert "everything" in panels[0].get_title("left") + panels[0].get_title("center")
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    for axes, metric in zip(panels, METRIC_WORDS, strict=True):
        drawn = bars(axes)
        assert set(drawn) == {"ALS", "Gibbs"}
        for name, (marks, low, high) in drawn.items():
            rows = of_metric(table[table["model.method"] == KEYS[name]], metric)
            rows = rows.set_index("arm").loc[names]
            np.testing.assert_allclose(at(marks)[0], rows["difference"])
            np.testing.assert_allclose(low[:, 0], rows["low"])
            np.testing.assert_allclose(high[:, 0], rows["high"])
            np.testing.assert_allclose(at(marks)[1], range(len(names)), atol=0.3)
            looks_of(name, marks)


def test_shares_of_variance_are_under_their_names():
    table = of_metric(scrambled("ablation", "scores"), "rmse")
    axes = variance.plot(table).axes[0]
    assert "%" in axes.get_xlabel()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == 8 and {"factors alone", "biases alone", "user bias alone"} <= set(names)
    for name, (marks, low, high) in bars(axes).items():
        rows = table[table["model.method"] == KEYS[name]]
        error = rows.pivot(index="split.fold", columns="arm", values="value") ** 2
        part = error.rsub(error["mean"], axis=0).div(error["mean"], axis=0) * 100
        whole, biases = part["everything"], part["both biases"]
        user, item, factors = (part[x] for x in ("user bias", "item bias", "factors"))
        truth = {
            "all terms": whole,
            "factors alone": whole - biases,
            "biases alone": whole - factors,
            "either": factors + biases - whole,
            "both biases": biases,
            "user bias alone": biases - item,
            "item bias alone": biases - user,
            "either bias": user + item - biases,
        }
        intervals = np.array([t_interval(truth[name]) for name in names])
        np.testing.assert_allclose(at(marks)[0], intervals[:, 0])
        np.testing.assert_allclose(low[:, 0], intervals[:, 1])
        np.testing.assert_allclose(high[:, 0], intervals[:, 2])
        looks_of(name, marks)


def test_histograms_are_densities_of_the_system_above_them():
    table = scrambled("compare", "pit", "share", 0.01, 0.1)
    middle = table[table["model.rank"] == 16]
    panels = [axes for axes in pit.plot(table).axes if axes.get_visible()]
    assert len(panels) == 5
    for axes in panels:
        name = axes.get_title("left") + axes.get_title("center")
        truth = by_fold(of_system(middle, name), ["low"], "share") / 0.05
        (boxes,) = [x for x in axes.containers if isinstance(x, BarContainer)]
        np.testing.assert_allclose([x.get_x() for x in boxes], truth.index, atol=1e-12)
        np.testing.assert_allclose([x.get_width() for x in boxes], 0.05)
        np.testing.assert_allclose([x.get_height() for x in boxes], truth["mean"])
        (_, low, high), *_ = bars(axes).values()
        np.testing.assert_allclose(low[:, 0], truth.index + 0.025)
        np.testing.assert_allclose(low[:, 1], truth["low"])
        np.testing.assert_allclose(high[:, 1], truth["high"])
        colour = LOOKS[KEYS.get(name, name.lower())].colour
        assert to_hex(boxes[0].get_facecolor()) == colour.lower()


# --- points ---------------------------------------------------------------------------------------


def test_rivals_stand_where_their_error_and_their_time_are():
    table = table_of("rivals", "scores")
    rng = np.random.default_rng(3)
    noise = rng.uniform(0.99, 1.01, len(table))
    is_search = table["metric"] == "search_seconds"
    table = table.assign(value=table["value"] * np.where(is_search, 50, 1) * noise)
    axes = rivals.plot(table).axes[0]
    assert "Time" in axes.get_xlabel() and "RMSE" in axes.get_ylabel()
    tuned = table[table["tuning.trials"] == 20]
    notes = {note.get_text().split(", at ")[0]: note.xy for note in axes.texts}
    drawn = [one.lines for one in axes.containers if isinstance(one, ErrorbarContainer)]
    placed = {tuple(np.round(x[0].get_xydata()[0], 9)): x for x in drawn}
    best: dict[str, tuple[float, float]] = {}
    untuned = {
        tuple(np.round(x.get_xydata()[0], 9)) for x in axes.get_lines() if len(x.get_xdata())
    }
    for name in sorted(set(tuned["arm"]) - {"cornac_pmf"}):
        rows = tuned[tuned["arm"] == name]
        rmse = t_interval(of_metric(rows, "rmse")["value"])
        seconds = t_interval(of_metric(rows, "fit_seconds")["value"])
        note = notes[name]
        assert note[0] == pytest.approx(seconds[0])
        marks, _, ends = placed[tuple(np.round(note, 9))]
        looks_of_rival(name, marks)
        across = ends[0].get_segments()[0][:, 0]
        np.testing.assert_allclose(across, [max(seconds[1], 0.1 * seconds[0]), seconds[2]])
        if name == "implicit_als":  # far above the others: drawn over them, with its value
            assert note[1] < rmse[0]
            continue
        assert note[1] == pytest.approx(rmse[0])
        np.testing.assert_allclose(ends[1].get_segments()[0][:, 1], rmse[1:])
        best[name] = seconds[0], rmse[0]
        others = table[(table["arm"] == name) & (table["tuning.trials"] == 0)]
        start = [of_metric(others, x)["value"].mean() for x in ("fit_seconds", "rmse")]
        assert tuple(np.round(start, 9)) in untuned
    front = next(x for x in axes.get_lines() if x.get_linestyle() == "--")
    beaten = {
        one
        for one, (s, e) in best.items()
        for other, (t, f) in best.items()
        if other != one and t <= s and f <= e
    }
    truth = sorted(best[name] for name in set(best) - beaten)
    np.testing.assert_allclose(front.get_xydata(), truth)


def looks_of_rival(name: str, marks: Line2D) -> None:
    known = {"surprise_svd": "surprise, svd", "implicit_als": "implicit, als"}
    key = known.get(name, name.lower())
    if key in LOOKS and name in ("ALS", "Gibbs", "cmfrec", "smurff", "myfm"):
        looks_of(key, marks)


def test_films_stand_where_their_factors_are_and_have_their_own_titles():
    table = table_of("films", "items").assign(unit="stars")
    other = table.assign(id="f" * 12, x=9.0, y=9.0)  # another run's, which is not drawn
    figure = factor_map.plot(pd.concat([table, other], ignore_index=True))
    axes = figure.axes[0]
    assert axes.get_xlabel().startswith("First") and axes.get_ylabel().startswith("Second")
    title = axes.get_title("left") + axes.get_title("center")
    assert title == "Gibbs, rank 16, ml-small-2016"  # the table's run
    points = table.set_index("title")
    genres = {
        "Horror": "Horror",
        "Romance": "Comedy|Romance",
        "Sci-Fi": "Action|Sci-Fi",
        "Crime": "Crime|Drama",
        "other": "Documentary",
    }
    drawn = {str(x.get_label()): x for x in axes.collections if isinstance(x, PathCollection)}
    assert set(drawn) == set(genres)
    for name, one in drawn.items():
        films = table[table["genres"] == genres[name]]
        films = films.sort_values("popularity", ascending=False, kind="stable")
        films = films.reset_index(drop=True)
        np.testing.assert_allclose(one.get_offsets(), films[["x", "y"]])
        area = np.asarray(one.get_sizes())
        slope = np.polyfit(films["popularity"], area, 1)[0]
        assert slope > 0 and np.ptp(area - slope * films["popularity"]) < 1e-9
    assert len(axes.texts) > 30
    for note in axes.texts:
        name = note.get_text().removeprefix("The ")
        (full,) = [x for x in points.index if x.startswith(f"{name}, The (")]
        np.testing.assert_allclose(note.xy, points.loc[full, ["x", "y"]].to_numpy(float))
    least = points.loc[[x for x in points.index if points["popularity"][x] < 20]]
    assert len(least) and axes.texts[0].xy not in map(tuple, least[["x", "y"]].to_numpy())


def test_titles_that_begin_alike_keep_what_tells_them_apart():
    titles = [
        "Lord of the Rings: The Fellowship of the Ring, The (2001)",
        "Lord of the Rings: The Two Towers, The (2002)",
        "Lord of the Rings: The Return of the King, The (2003)",
        "Matrix, The (1999)",
        "Hamlet (1948)",
        "Hamlet (1996)",
        "A Title of Many Words That Has No Colon Part One (1990)",
        "A Title of Many Words That Has No Colon Part Two (1991)",
        "Star Wars: Episode IV - A New Hope (1977)",
        "Cash $5 (2000)",
    ]
    names = factor_map.shortened(titles)
    assert names == [
        "…The Fellowship of the Ring",
        "…The Two Towers",
        "…The Return of the King",
        "The Matrix",
        "Hamlet (1948)",
        "Hamlet (1996)",
        "…That Has No Colon Part One",
        "…That Has No Colon Part Two",
        "Star Wars: Episode IV - A N…",
        r"Cash \$5",
    ]
    assert all(len(name) <= 28 for name in names)


def test_growth_is_in_its_panel_and_its_units():
    table = table_of("scaling", "scores")
    panels = scaling.plot(table).axes
    words = {"Ratings": "model.ratings", "Rank (factors)": "model.rank", "Threads": "model.threads"}
    units = {"Time of a sweep (s)": ("sweep_seconds", 1), "Peak memory (GB)": ("peak_bytes", 1e9)}
    panels_seen = set()
    for axes in panels:
        if not axes.get_visible():
            continue
        x, (metric, size) = words[axes.get_xlabel()], units[axes.get_ylabel()]
        panels_seen.add((x, metric))
        rows = of_metric(table, metric)
        for label, (marks, low, high) in bars(axes).items():
            name = label.split(":")[0].split(" ")[0]
            system_rows = rows[(rows["model.method"] == KEYS[name])]
            for other, level in (("model.ratings", 1e6), ("model.rank", 16), ("model.threads", 2)):
                system_rows = (
                    system_rows if other == x else system_rows[system_rows[other] == level]
                )
            points = (
                system_rows.groupby([x, "model.repeat"])["value"]
                .mean()
                .groupby(x)
                .apply(t_interval)
            )
            truth = np.array(points.to_list()) / size
            np.testing.assert_allclose(at(marks)[0], points.index)
            np.testing.assert_allclose(at(marks)[1], truth[:, 0])
            np.testing.assert_allclose(low[:, 1], truth[:, 1], rtol=1e-6)
            np.testing.assert_allclose(high[:, 1], truth[:, 2], rtol=1e-6)
            looks_of(name, marks)
            law = [
                z
                for z in axes.get_lines()
                if len(z.get_xdata()) == 50 and z.get_color() == marks.get_color()
            ]
            near = np.interp(np.log(points.index), np.log(law[0].get_xdata()), law[0].get_ydata())
            np.testing.assert_allclose(near, truth[:, 0], rtol=0.1)
            if x == "model.threads":
                ideal = [z.get_ydata() for z in axes.get_lines() if z.get_linestyle() == ":"]
                half = truth[0, 0] / np.asarray(points.index)
                assert any(np.allclose(z, half) for z in ideal)
    assert len(panels_seen) == 5


def test_growth_is_shown_at_the_largest_of_equal_slices():
    """Of four ranks at a million ratings, four at ten million, and two at a hundred."""
    at = [(1e6, k) for k in (8, 16, 32, 64)] + [(1e7, k) for k in (8, 16, 32, 64)]
    at += [(1e8, 8), (1e8, 64)]
    table = pd.DataFrame(at, columns=["model.ratings", "model.rank"])
    table = table.assign(**{"metric": "sweep_seconds", "model.method": "als", "model.threads": 2})
    table["value"] = table["model.ratings"] + table["model.rank"]
    slices = scaling.slices(table, "sweep_seconds", "model.rank")["ALS"]
    assert slices["mean"].tolist() == [1e7 + k for k in (8, 16, 32, 64)]


# --- units ----------------------------------------------------------------------------------------


def test_axes_are_in_the_units_of_the_ratings():
    table = table_of("compare", "scores")
    for unit in ("stars", "points"):
        assert rank.plot(table.assign(unit=unit)).axes[0].get_ylabel() == f"Held-out RMSE ({unit})"
    assert rank.plot(table).axes[0].get_ylabel() == "Held-out RMSE (rating)"
    mixed = table.assign(unit=np.where(table["split.fold"] == 1, "stars", "points"))
    assert rank.plot(mixed).axes[0].get_ylabel() == "Held-out RMSE (rating)"
    axes = ablation.plot(table_of("ablation", "comparisons").assign(unit="points")).axes[0]
    assert axes.get_xlabel() == "Difference of RMSE (points)"
    strata_axes = strata.plot(table_of("compare", "strata").assign(unit="points")).axes
    assert strata_axes[0].get_ylabel() == "Held-out RMSE (points)"


def test_the_unit_is_the_configurations_or_the_data_sets(tmp_path):
    from paper_figures.figures.build import read

    tables = result_tables.EXPERIMENTS["compare"]()
    units = {}
    for name, change in {
        "films": {},
        "file": {"data": "mine.csv"},
        "said": {"data": "mine.csv", "unit": "points"},
    }.items():
        folder = result_tables.write(
            tmp_path / name, tables | {"runs": tables["runs"].assign(**change)}
        )
        back = read(folder)
        units[name] = {key: set(back[key]["unit"]) for key in ("runs", "scores", "comparisons")}
    assert set(map(str, units["films"].values())) == {"{'stars'}"}
    assert set(map(str, units["file"].values())) == {"{'rating'}"}
    assert set(map(str, units["said"].values())) == {"{'points'}"}
