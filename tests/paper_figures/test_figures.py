"""Figures from tables. Catches: a figure that shows other numbers than its table, has no units, no
intervals, or letters over one another; one that changes the table it is given; a table that is
silently empty."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from paper_figures.figures import ablation, coldstart, factor_map, rank, rivals, scaling, variance
from paper_figures.figures.build import FIGURES, build, draw, once_each, save, suiting
from paper_figures.figures.estimates import interval, over_folds, paired, power_law, straight_line
from paper_figures.figures.runs import who
from paper_figures.figures.style import LOOKS, looks
from pmf.errors import InputError
from tests.helpers import result_tables

DRAWN = {
    "quickstart": {"convergence", "calibration", "pit", "strata"},
    "compare": {"rank", "ablation", "convergence", "calibration", "pit", "strata"},
    "ablation": {"ablation", "variance"},
    "ablation_small": {"histories"},
    "ablation_25m": {
        "ablation",
        "recovered",
        "convergence",
        "calibration",
        "pit",
        "strata",
    },
    "sparsity": {"learning"},
    "coldstart": {"coldstart"},
    "priors": {"priors"},
    "temporal": {"temporal"},
    "content": {"content", "convergence", "calibration", "pit", "strata"},
    "scaling": {"scaling"},
    "rivals": {"rivals", "convergence", "calibration", "pit", "strata"},
    "films": {"long_tails", "factor_map", "convergence", "calibration", "pit", "strata"},
}
PAIRS = [(name, figure) for name, figures in DRAWN.items() for figure in sorted(figures)]
WITHOUT_INTERVALS = {
    "convergence",
    "factor_map",
    "long_tails",
    "scaling",
}  # fold lines, points, counts


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    return result_tables.write_all(tmp_path_factory.mktemp("results"))


def test_each_experiment_has_the_figures_that_its_tables_support(experiments):
    assert {name: set(suiting(tables)) for name, tables in experiments.items()} == DRAWN
    assert set().union(*DRAWN.values()) == set(FIGURES)


def visible(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.mark.parametrize(("name", "figure"), PAIRS)
def test_a_figure_is_pure_labelled_and_legible(name, figure, experiments, tmp_path):
    tables, module = experiments[name], FIGURES[figure]
    before = tables[module.TABLE].copy(deep=True)
    drawn = draw(tables, module)
    pd.testing.assert_frame_equal(tables[module.TABLE], before)
    first = save(drawn, tmp_path / "a.png", dpi=60).read_bytes()
    assert save(draw(tables, module), tmp_path / "b.png", dpi=60).read_bytes() == first

    shared = "".join(text.get_text() for text in (drawn._supxlabel, drawn._supylabel) if text)
    assert any(axes.get_xlabel() for axes in visible(drawn)) or shared
    assert (
        any(axes.get_ylabel() for axes in visible(drawn))
        or shared
        or figure in ("ablation", "content", "recovered", "variance")
    )
    labels = shared + "".join(axes.get_xlabel() + axes.get_ylabel() for axes in visible(drawn))
    assert re.search(r"\(stars\)|\(s\)|\(GB\)|rating|probability|coverage", labels)
    if figure not in WITHOUT_INTERVALS and name not in ("quickstart", "films"):
        assert sum(map(intervals, visible(drawn))) >= len(visible(drawn))
    assert_legible(drawn)


def intervals(axes: Axes) -> int:
    """Bands, and bars that have a length."""
    bands = sum(isinstance(x, PolyCollection) for x in axes.collections)
    bars = [x for x in axes.collections if isinstance(x, LineCollection)]
    segments = [s for bar in bars for s in bar.get_segments() if len(s)]
    return bands + sum(np.ptp(s, axis=0).max() > 0 for s in segments)


def assert_legible(figure: Figure) -> None:
    """Nothing leaves the canvas, and no letters lie over others."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.canvas.draw()
    canvas = figure.bbox.padded(1.0)
    for axes in visible(figure):
        box = axes.get_tightbbox(renderer)
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1, f"clipped: {axes.get_xlabel()}"
        assert canvas.y0 <= box.y0 and box.y1 <= canvas.y1, f"clipped: {axes.get_ylabel()}"
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1, "a legend is clipped"
    boxes = [(text, box) for axes in visible(figure) for text, box in texts(axes, renderer)]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} lies over {other!r}"


def texts(axes: Axes, renderer):
    """Tick labels, axis labels and the title, with their boxes a little smaller."""
    artists = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
    for axis, low, high in ((axes.xaxis, *axes.get_xlim()), (axes.yaxis, *axes.get_ylim())):
        low, high = min(low, high), max(low, high)
        ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        artists += [tick.label1 for tick in ticks if tick.label1.get_visible()]
    shown = [text for text in artists if text.get_text().strip() and text.get_visible()]
    return [(x.get_text(), x.get_window_extent(renderer).padded(-0.5)) for x in shown]


@pytest.mark.parametrize("figure", FIGURES)
def test_an_empty_table_is_an_error_that_names_it(figure, experiments):
    name = next(name for name, figures in DRAWN.items() if figure in figures)
    table = experiments[name][FIGURES[figure].TABLE]
    with pytest.raises(InputError, match=f"{FIGURES[figure].TABLE}.*no rows; run and collect"):
        FIGURES[figure].plot(table.iloc[:0])
    with pytest.raises(InputError, match="no column .*; collect the experiment again"):
        FIGURES[figure].plot(table.iloc[:, :1])


def test_a_figure_says_what_its_table_says(experiments):
    scores = experiments["compare"]["scores"]
    rmse = scores[scores["metric"] == "rmse"]
    mean = rmse[rmse["arm"] == "Gibbs"].groupby("model.rank")["value"].mean()
    lines = {line.get_label(): line for line in rank.plot(scores).axes[0].get_lines()}
    np.testing.assert_allclose(lines["Gibbs"].get_ydata(), mean)
    np.testing.assert_allclose(lines["Gibbs"].get_xdata(), [4, 16, 64])

    table = experiments["ablation"]["comparisons"]
    axes = ablation.plot(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "mean",
        "user bias",
        "item bias",
        "both biases",
        "factors",
    ]
    for line in table.query("metric == 'rmse'").itertuples():
        segments = np.concatenate([bar.get_segments() for bar in axes.collections])
        assert np.isclose(segments[:, :, 0], [line.low, line.high]).all(axis=1).any()

    cold_axes = coldstart.plot(experiments["coldstart"]["scores"]).axes[0]
    assert [tick.get_text() for tick in cold_axes.get_xticklabels()] == ["0", "1", "5", "20"]


def test_explained_variance_adds_up_and_is_that_of_its_table(experiments):
    scores = experiments["ablation"]["scores"]
    shares = variance.parts(scores).pivot(
        index=["method", "split.fold"], columns="part", values="value"
    )
    together = shares["factors alone"] + shares["biases alone"] + shares["either"]
    np.testing.assert_allclose(together, shares["all terms"])
    biases = shares["user bias alone"] + shares["item bias alone"] + shares["either bias"]
    np.testing.assert_allclose(biases, shares["both biases"])
    gibbs = scores[(scores["model.method"] == "gibbs") & (scores["split.fold"] == 2)]
    error = gibbs[gibbs["metric"] == "rmse"].set_index("arm")["value"] ** 2
    column = shares.loc["Gibbs", 2]
    np.testing.assert_allclose(column["all terms"], 1 - error["everything"] / error["mean"])
    share = (error["both biases"] - error["everything"]) / error["mean"]
    np.testing.assert_allclose(column["factors alone"], share)
    share = (error["item bias"] - error["both biases"]) / error["mean"]
    np.testing.assert_allclose(column["user bias alone"], share)


def test_seeds_are_averaged_before_the_interval_over_folds():
    table = pd.DataFrame(
        {
            "a": "x",
            "split.fold": [1, 1, 2, 2, 3, 3],
            "model.seed": [0, 1] * 3,
            "value": [1.0, 3.0, 2.0, 4.0, 3.0, 5.0],
        }
    )
    (line,) = over_folds(table, ["a"]).itertuples()
    half = 4.302652729911275 * 1 / np.sqrt(3)  # t with 2 degrees of freedom; the means are 2, 3, 4
    assert (line.mean, line.n) == (3.0, 3)
    np.testing.assert_allclose([line.low, line.high], [3 - half, 3 + half])
    assert not interval(np.array([1.0])).known
    shifted = table.assign(value=table["value"] + 0.5 + 0.01 * table["split.fold"])
    gap = paired(shifted, table)
    assert gap.mean == pytest.approx(0.52) and gap.high - gap.low < 0.06


def test_several_splits_are_several_draws_whatever_the_seeds_of_the_fit():
    """Splits by seed are units as folds are; without either the fit's seeds are."""
    table = pd.DataFrame(
        {
            "a": "x",
            "split.seed": [0, 0, 1, 1, 2, 2],
            "model.seed": [0, 1] * 3,
            "value": [1.0, 3.0, 2.0, 8.0, 7.0, 9.0],
        }
    )
    (line,) = over_folds(table, ["a"]).itertuples()
    half = 4.302652729911275 * 3 / 3**0.5  # t with 2 degrees of freedom; the means are 2, 5 and 8
    assert (line.mean, line.n) == (5.0, 3)
    np.testing.assert_allclose([line.low, line.high], [5 - half, 5 + half])
    (line,) = over_folds(table[table["split.seed"] == 0], ["a"]).itertuples()
    assert (line.mean, line.n) == (2.0, 2)


def test_laws_of_growth_are_those_that_were_put_in(experiments):
    x = np.array([1e3, 1e4, 1e5])
    power = power_law(x, 3 * x**1.25)
    assert power.exponent == pytest.approx(1.25) and power.scale == pytest.approx(3)
    assert power_law(np.array([5.0, 5.0]), np.ones(2)) is None
    line = straight_line(x, 2e8 + 44 * x)
    assert line.start == pytest.approx(2e8) and line.slope == pytest.approx(44)
    assert line.at(x) == pytest.approx(2e8 + 44 * x) and power.at(x) == pytest.approx(3 * x**1.25)
    noisy = straight_line(np.arange(4.0), np.array([1.0, 0.0, 1.0, 0.0]))
    assert noisy.error == pytest.approx(4.302652729911275 * np.sqrt(0.8 / 2 / 5))  # t, 2 degrees
    scores = experiments["scaling"]["scores"]
    along = scaling.slices(scores, "sweep_seconds", "model.rank")["ALS"]
    assert along["model.rank"].tolist() == [8, 16, 32, 64]
    assert set(along["model.ratings"]) == {1e6} and set(along["model.threads"]) == {2}
    exponent = power_law(along["model.rank"].to_numpy(), along["mean"].to_numpy()).exponent
    assert exponent == pytest.approx(1.5, abs=0.05)


def test_a_broken_rival_is_named_and_an_outlier_is_marked(experiments):
    figure = rivals.plot(experiments["rivals"]["scores"])
    axes = figure.axes[0]
    assert "cornac_pmf" in axes.get_title("left") + axes.get_title()
    notes = {note.get_text() for note in axes.texts}
    assert {"ALS", "Gibbs", "cmfrec", "smurff", "myfm"} <= notes
    assert any(note.startswith("implicit_als, at 1.05") for note in notes)
    assert axes.get_ylim()[1] < 1.0


def test_titles_on_the_map_do_not_overlap(experiments):
    figure = factor_map.plot(experiments["films"]["items"])
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [note.get_window_extent(renderer) for note in figure.axes[0].texts]
    assert len(boxes) > 30
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert factor_map.shortened(["Matrix, The (1999)"]) == ["The Matrix"]


def test_systems_look_different_and_always_the_same():
    names = ["ALS", "MAP, Adam", "MAP, L-BFGS", "MAP, mini-batches"]
    names += ["Gibbs", "VB", "both biases", "mean"]
    colours = [look.colour for look in looks(names).values()]
    assert len(set(colours)) == len(names)
    for key in ("marker", "dash"):
        assert len({getattr(look, key) for look in looks(names).values()}) == len(names)
    assert len({(look.colour, look.marker, look.hollow) for look in LOOKS.values()}) == len(LOOKS)
    assert looks(["Gibbs"])["Gibbs"] == looks(names)["Gibbs"] == looks(["gibbs", "x"])["gibbs"]
    unforeseen = looks([f"system {j}" for j in range(15)] + names)
    assert len(set(unforeseen.values())) == 23
    for a, b in itertools.combinations(colours, 2):
        assert max(abs(contrast(a) - contrast(b)), distance(a, b)) > 0.15


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[j : j + 2], 16) / 255 for j in (1, 3, 5)])


def contrast(colour: str) -> float:
    return float(rgb(colour) @ [0.299, 0.587, 0.114])


def distance(a: str, b: str) -> float:
    """In what a deuteranope sees (Viénot, Brettel & Mollon 1999, linearised)."""
    matrix = np.array([[0.293, 0.707, 0.0], [0.293, 0.707, 0.0], [-0.022, 0.022, 1.0]])
    return float(np.linalg.norm(matrix @ (rgb(a) ** 2.2 - rgb(b) ** 2.2)))


def test_names_are_arms_or_methods_or_both():
    table = pd.DataFrame(
        {
            "arm": ["", "all", "all", "x"],
            "system": "pmf",
            "model.method": ["als", "als", "gibbs", "map"],
        }
    )
    assert who(table).tolist() == ["ALS", "all, ALS", "all, Gibbs", "x"]
    assert who(pd.DataFrame({"arm": [np.nan], "system": ["content"]})).tolist() == ["content"]


def test_files_are_whole_and_the_same_twice(tmp_path):
    folder = result_tables.write(tmp_path / "t", result_tables.sparsity())
    (picture,) = build(folder, tmp_path / "a")
    build(folder, tmp_path / "b")
    assert picture.name == "learning.png"
    for name in ("learning.png", "learning.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (folder / "runs.csv").unlink()
    with pytest.raises(InputError, match="runs.csv: no such results table; run and collect"):
        build(folder, tmp_path / "c")


def test_a_page_of_many_experiments_has_one_map_a_data_set(experiments):
    films = experiments["films"]
    elsewhere = films | {"runs": films["runs"].assign(data="other")}
    pages = once_each({"a": films, "b": films, "c": elsewhere})
    assert ["factor_map" in suiting(tables) for tables in pages.values()] == [True, False, True]
    assert "items" in films
