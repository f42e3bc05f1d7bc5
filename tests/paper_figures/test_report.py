"""Tables and the report. Catches: a number or a verdict that is not the table's, a page
that needs the network, an experiment invented or silently left out."""

import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from paper_figures.__main__ import app
from paper_figures.figures import time_to_rmse
from paper_figures.figures.build import numbers
from paper_figures.report import docs
from paper_figures.report import page as report
from paper_figures.report.formulas import DISPLAY, INLINE
from paper_figures.report.grid import Cell, Grid, html, latex, markdown
from paper_figures.report.sections import SECTIONS, in_order
from paper_figures.report.tables import comparisons_grid, frame_grid, least, run_ids, scores_grid
from pmf.errors import InputError
from tests.helpers import result_tables


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    return result_tables.write_all(tmp_path_factory.mktemp("results"))


def with_values(tables, change):
    """The tables with other scores."""
    return tables | {"scores": change(tables["scores"].copy())}


def test_a_table_has_the_means_the_intervals_and_the_best(experiments):
    tables = experiments["compare"]
    grid = scores_grid(tables)
    rows = {(row[0].text, row[1].text): row for row in grid.rows}
    assert len(rows) == 15 and grid.header[:3] == ["system", "rank", "RMSE"]
    scores = tables["scores"].query("metric == 'rmse' and arm == 'Gibbs' and `model.rank` == 64")
    by_fold = scores.groupby("split.fold")["value"].mean()
    half = 4.302652729911275 * by_fold.std() / np.sqrt(3)
    assert rows["Gibbs", "64"][2].text == f"{by_fold.mean():.4f} ± {half:.4f}"
    best = [key for key, row in rows.items() if row[2].best]
    assert best == [("Gibbs", "64")]
    nearest = {key[0] for key, row in rows.items() if row[grid.header.index("90 % coverage")].best}
    assert nearest == {"Gibbs"}  # 91.8 % is nearer to 90 % than 76.5 %


def test_each_column_is_its_own_metric_and_has_its_own_best(experiments):
    rng = np.random.default_rng(0)
    tables = with_values(
        experiments["compare"], lambda scores: scores.assign(value=rng.uniform(0.8, 1, len(scores)))
    )
    titles = {
        "RMSE": "rmse",
        "MAE": "mae",
        "log density": "log_density",
        "CRPS": "crps",
        "90 % coverage": "coverage_90",
        "NDCG@10": "ndcg@10",
        "recall@10": "recall@10",
        "fit (s)": "fit_seconds",
        "prior search (s)": "search_seconds",
        "compile (s)": "compile_seconds",
    }
    rounding = {
        "coverage_90": 5.1e-4,
        "fit_seconds": 5.1e-3,
        "search_seconds": 0.051,
        "compile_seconds": 0.051,
    }
    grid = scores_grid(tables)
    assert [title for title in grid.header if title in titles] == list(titles)
    means = tables["scores"].groupby(["metric", "arm", "model.rank"])["value"].mean()
    for title, metric in titles.items():
        j = grid.header.index(title)
        truth = means[metric]
        shown = {(row[0].text, int(row[1].text)): row[j] for row in grid.rows}
        for key, cell in shown.items():
            number = re.split(" [±↓↑=]", cell.text)[0]
            value = float(number.rstrip("%")) / (100 if number.endswith("%") else 1)
            assert value == pytest.approx(truth[key], abs=rounding.get(metric, 5.1e-5))
        best = {key for key, cell in shown.items() if cell.best}
        if metric.endswith("seconds"):
            assert not best
        elif metric == "coverage_90":  # neither the most nor the least
            assert best == {(truth - 0.9).abs().idxmin()}
        elif metric in ("rmse", "mae", "crps"):
            assert best == {truth.idxmin()}
        else:
            assert best == {truth.idxmax()}


def test_a_comparison_is_told_whole(experiments):
    """Its own difference, its two ends, the adjusted p and the verdict's mark."""
    tables = dict(experiments["compare"])
    rows = (
        tables["comparisons"]
        .iloc[:3]
        .assign(
            difference=[-0.3, 0.2, 0.1],
            low=[-0.5, 0.1, -0.2],
            high=[-0.1, 0.4, 0.3],
            p=[0.001, 0.002, 0.2],
            p_adjusted=[0.004, 0.006, 0.6],
            effect=[0.7, 0.8, 0.9],
            n=[11, 12, 13],
            verdict=["better", "worse", "no difference shown"],
        )
    )
    grid = comparisons_grid(tables | {"comparisons": rows})
    texts = [[cell.text for cell in row][3:] for row in grid.rows]
    assert texts == [
        ["−0.3000", "−0.5000 to −0.1000", "0.004", "0.70", "11", "▲ better"],
        ["+0.2000", "+0.1000 to +0.4000", "0.006", "0.80", "12", "▼ worse"],
        ["+0.1000", "−0.2000 to +0.3000", "0.600", "0.90", "13", "= no difference shown"],
    ]


def test_runs_are_named_beside_their_own_system(experiments):
    runs = experiments["compare"]["runs"]
    for row in run_ids(experiments["compare"]).rows:
        system_runs = runs[(runs["arm"] == row[0].text) & (runs["model.rank"] == int(row[1].text))]
        fields = system_runs[["id", "split.fold", "model.seed"]].itertuples(index=False)
        assert row[-1].text == ", ".join(f"{run} ({fold}/{seed})" for run, fold, seed in fields)


def test_comparisons_within_a_method_stay_there(experiments):
    tables = dict(experiments["ablation"])
    rows = tables["comparisons"].copy()
    of_gibbs = (rows["model.method"] == "gibbs") & (rows["arm"] == "factors")
    rows.loc[of_gibbs & (rows["metric"] == "rmse"), ["difference", "verdict"]] = [-0.03, "better"]
    grid = comparisons_grid(tables | {"comparisons": rows}, every=False)
    lines = cells(grid)
    assert lines["RMSE", "factors", "everything", "Gibbs"]["difference"] == "−0.0300"
    assert lines["RMSE", "factors", "everything", "ALS"]["difference"] == "+0.0010"
    assert grid.header[3] == "method"
    assert comparisons_grid(experiments["sparsity"]) is None


def test_a_line_of_comparisons_shows_each_number_under_its_name(experiments):
    row = {
        "metric": "rmse",
        "arm": "new",
        "reference": "old",
        "difference": -0.05,
        "low": -0.08,
        "high": -0.02,
        "p": 0.011,
        "p_adjusted": 0.033,
        "effect": 0.45,
        "n": 321,
        "verdict": "better",
    }
    rows = pd.DataFrame([row, row | {"arm": "newer", "p": 1e-5, "p_adjusted": 2e-4}])
    grid = comparisons_grid({"comparisons": rows})
    shown = [
        dict(zip(grid.header, (cell.text for cell in line), strict=True)) for line in grid.rows
    ]
    assert shown[0] == {
        "metric": "RMSE",
        "arm": "new",
        "reference": "old",
        "difference": "−0.0500",
        "interval": "−0.0800 to −0.0200",
        "adjusted p": "0.033",
        "effect": "0.45",
        "users": "321",
        "verdict": "▲ better",
    }
    assert (shown[1]["arm"], shown[1]["adjusted p"]) == ("newer", "< 0.001")


def test_three_languages_for_the_same_cells():
    grid = Grid(["a_b", "x"], [[Cell("R&D <1"), Cell("−0.1 ± 0.2", True)]], 1)
    assert markdown(grid) == "| a_b | x |\n| --- | ---: |\n| R&D <1 | **−0.1 ± 0.2** |\n"
    assert r"R\&D $<$1 & \textbf{$-$0.1 $\pm$ 0.2} \\" in latex(grid)
    assert r"a\_b & x \\" in latex(grid) and r"\begin{tabular}{lr}" in latex(grid)
    assert "<td>R&amp;D &lt;1</td>" in html(grid) and "<b>−0.1</b>" in html(grid)


def cells(grid: Grid) -> dict[tuple[str, ...], dict[str, str]]:
    """Texts by the words of their line, and their column."""
    return {
        tuple(cell.text for cell in row[: grid.words]): {
            title: cell.text
            for title, cell in zip(grid.header[grid.words :], row[grid.words :], strict=True)
        }
        for row in grid.rows
    }


def test_a_line_says_how_far_it_is_above_the_least_and_whether_that_is_shown(experiments):
    tables = experiments["compare"]
    gap = {key: line["RMSE above the least"] for key, line in cells(scores_grid(tables)).items()}
    rows = tables["scores"].query("metric == 'rmse' and `model.rank` == 64")
    by_fold = rows.pivot_table("value", "split.fold", "arm")
    apart = by_fold["ALS"] - by_fold["Gibbs"]
    half = 4.302652729911275 * apart.std() / np.sqrt(3)
    assert gap["ALS", "64"] == f"{apart.mean():+.4f} ± {half:.4f} ▼" and gap["Gibbs", "64"] == ""

    def equal(scores: pd.DataFrame) -> pd.DataFrame:
        scores.loc[scores["metric"] == "rmse", "value"] = 0.9 + 0.01 * np.random.default_rng(
            0
        ).standard_normal((scores["metric"] == "rmse").sum())
        return scores

    lines = cells(scores_grid(with_values(tables, equal)))
    gaps = [line["RMSE above the least"] for line in lines.values()]
    assert min(filter(None, gaps)).endswith(" =")
    alone = tables | {"scores": tables["scores"].query("arm == 'ALS' and `model.rank` == 16")}
    assert "above the least" not in scores_grid(alone).note


def test_the_least_is_that_of_its_own_split(experiments):
    lines = cells(scores_grid(experiments["sparsity"]))
    least = [key for key, line in lines.items() if line["RMSE above the least"] == ""]
    assert sorted(key[2] for key in least) == ["0.1", "0.4", "1"]
    assert {key[0] for key in least} == {"Gibbs"}


def test_coverage_is_judged_against_what_was_stated(experiments):
    lines = cells(scores_grid(experiments["compare"]))
    assert lines["ALS", "16"]["90 % coverage"] == "76.5% ↓"
    assert lines["Gibbs", "16"]["90 % coverage"] == "91.8% ↑"

    def honest(scores: pd.DataFrame) -> pd.DataFrame:
        is_coverage = scores["metric"] == "coverage_90"
        scores.loc[is_coverage, "value"] = 0.9 + 0.001 * np.sin(np.arange(is_coverage.sum()))
        return scores

    grid = scores_grid(with_values(experiments["compare"], honest))
    assert all(line["90 % coverage"].endswith(" =") for line in cells(grid).values())
    assert grid.note.endswith("Coverage: ↓ too little, ↑ too much, = as stated.")


@pytest.mark.parametrize(
    ("name", "figure", "line", "column", "expected"),
    [
        ("sparsity", "learning", ["Gibbs"], "RMSE with 10% of the ratings", r"0\.90"),
        ("coldstart", "coldstart", ["ALS"], "RMSE with 0 ratings", r"0\.97"),
        ("coldstart", "coldstart", ["ALS"], "first minus second", r"\+0\.09"),
        ("priors", "priors", ["PMF"], "least RMSE", r"0\.87"),
        ("priors", "priors", ["PMF"], "of the grid", "inside"),
        ("priors", "priors", ["PMF"], "spread", r"0\.02"),
        ("temporal", "temporal", ["ALS", "40%"], "second minus first", r"\+0\.06"),
        ("content", "content", ["hybrid"], "above the least there", "$"),
        ("content", "content", ["content"], "above the least there", r"\+0\.04.* ▼"),
        (
            "scaling",
            "scaling",
            ["Time of a sweep", "Rank (factors)", "ALS"],
            "law",
            r"exponent 1\.5",
        ),
        (
            "scaling",
            "scaling",
            ["Peak memory", "Ratings", "ALS"],
            "law",
            r"0\.20 GB and 44\.0 ± 0\.0 bytes per rating",
        ),
        (
            "scaling",
            "scaling",
            ["Peak memory", "Rank (factors)", "Gibbs"],
            "law",
            r"0\.24 GB and 250 ± 0 kB per factor",
        ),
        ("rivals", "rivals", ["cornac_pmf"], "", "broke: segmentation fault"),
        ("rivals", "rivals", ["ALS"], "", "none is faster and as accurate"),
        ("ablation", "variance", ["either"], "ALS", r"28\.\d%"),
        ("ablation", "variance", ["all terms"], "ALS", r"31\.\d%"),
    ],
)
def test_the_numbers_beside_a_figure_are_those_of_its_tables(
    name, figure, line, column, expected, experiments
):
    lines = cells(frame_grid(numbers(experiments[name])[figure]))
    assert re.match(expected, lines[tuple(line)][column]), lines


def test_the_best_of_all_is_named_with_its_settings(experiments):
    who, rmse = least(experiments["rivals"])
    assert who == "Gibbs, trials 20" and rmse.startswith("0.85")
    assert least(experiments["scaling"]) == ("", "")


@pytest.fixture(scope="module")
def page(experiments):
    few = ("compare", "scaling", "quickstart", "films")
    return report.render({name: experiments[name] for name in in_order(list(few))})


def test_the_report_is_whole_and_needs_nothing_else(page, experiments):
    assert not re.search(r"<script|https?://(?!www\.w3)|src=\"(?!data:)|@import|<link", page)
    assert page.index('id="compare"') < page.index('id="scaling"') < page.index('id="quickstart"')
    assert re.search(r"Gibbs, rank 64</td><td class=.number.>0\.8560", page)
    assert ">Films</a>" in page
    assert "Holm, Sture (1979). A Simple Sequentially Rejective Multiple Test Procedure" in page
    for run in experiments["compare"]["runs"]["id"]:
        assert run in page
    assert page.count('class="formula"') == len(DISPLAY) + len(INLINE) + page.count('alt="P"') - 1
    numbers = [int(x) for x in re.findall(r"<b>Figure (\d+)\.", page)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) == 17


def test_missing_experiments_are_named_and_not_invented(page):
    (missing,) = re.findall(r'class="missing">(.*?)</p>', page, re.DOTALL)
    assert set(SECTIONS) - {"compare", "scaling", "quickstart"} == set(
        re.findall(r"[a-z_0-9]+", missing.split(":")[1])
    )
    assert 'id="ablation"' not in page


def test_no_number_stands_in_the_template():
    text = (report.TEMPLATES / "report.html").read_text(encoding="utf8")
    prose = re.sub(r"<[^>]*>|\{[{%].*?[%}]\}|&\w+;", " ", text, flags=re.DOTALL)
    assert re.findall(r"\d+", prose) == []
    for about in SECTIONS.values():
        assert not re.search(r"\d", about.title + about.question)


def test_docs_are_rewritten_between_the_marks_only(tmp_path, experiments):
    results = page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text(f"before\n{docs.BEGIN}\nwas here\n{docs.END}\nafter\n", encoding="utf8")
    some = {"sparsity": experiments["sparsity"]}
    written = docs.write(some, page, page.parent)
    assert [path.name for path in written] == ["sparsity-learning.png", "results.md"]
    text = results.read_text(encoding="utf8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "was here" not in text
    assert "](img/sparsity-learning.png)" in text and "RMSE with 10% of the ratings" in text
    assert written[0].stat().st_size < 80_000
    docs.write(some, page, page.parent)
    assert page.read_text(encoding="utf8") == text
    page.write_text("no marks", encoding="utf8")
    with pytest.raises(InputError, match="it needs the lines"):
        docs.write(some, page, page.parent)


def test_the_page_of_speed_has_the_race(tmp_path):
    """Catches: a rank or a size without its panel, and a line without its system."""
    page = tmp_path / "speed.md"
    page.write_text(f"before\n{docs.BEGIN}\n{docs.END}\nafter\n", encoding="utf8")
    sizes = ("small", "1m", "25m")
    race = pd.concat(result_tables.race(size, rank) for size in sizes for rank in (16, 64))
    picture, _ = docs.write_speed(race, page, page.parent)
    assert picture == tmp_path / "img" / "time_to_rmse.png" and picture.stat().st_size < 150_000
    text = page.read_text(encoding="utf8")
    assert text.startswith("before\n") and text.endswith("after\n")
    assert text.count("| LIBMF |") == text.count("| ALS |") == 6
    figure = time_to_rmse.plot(race)
    assert len(figure.axes) == 6 and all(len(axes.lines) == 2 for axes in figure.axes)
    with pytest.raises(InputError, match="no rows"):
        time_to_rmse.plot(race.iloc[:0])


def test_one_command_makes_figures_tables_and_the_report(tmp_path):
    results = tmp_path / "results"
    result_tables.write(results / "sparsity", result_tables.sparsity())
    made = CliRunner().invoke(app, ["--results", str(results), "--out", str(tmp_path / "out")])
    assert made.exit_code == 0, made.output
    names = {path.name for path in (tmp_path / "out" / "sparsity").iterdir()}
    assert names == {
        "learning.png",
        "learning.pdf",
        "learning.tex",
        "learning.md",
        "scores.tex",
        "scores.md",
    }
    assert (tmp_path / "out" / "report.html").stat().st_size > 50_000
    nothing = CliRunner().invoke(app, ["report", "--results", str(tmp_path)])
    assert isinstance(nothing.exception, InputError)


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize(
    ("command", "made"), [("report", ["report.html"]), ("docs", ["img", "results.md"])]
)
def test_every_command_writes_where_it_is_told_to(command, made, is_before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result_tables.write(tmp_path / "results" / "sparsity", result_tables.sparsity())
    where = ["--results", "results", "--out", "there"]
    words = [*where, command] if is_before else [command, *where]
    page = tmp_path / "results.md"
    page.write_text(f"{docs.BEGIN}\n{docs.END}\n", encoding="utf8")
    before = page.read_bytes()
    more = ["--page", str(page)] if command == "docs" else []
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == made
    assert {path.name for path in tmp_path.iterdir()} == {"results", "results.md", "there"}
    assert page.read_bytes() == before


def with_runs(seeds: int, folds: int = 1, spread: float = 0.01):
    """Tables of one system, whose RMSE and times differ by `spread` from repetition to the next."""
    lines = [
        result_tables.arm("ALS", split__fold=fold, model__seed=seed)
        for fold in range(1, folds + 1)
        for seed in range(seeds)
    ]
    tables = result_tables.tables_of(lines, lambda run: 1.0)
    runs, scores = tables["runs"], tables["scores"]
    number = scores["id"].map({name: j for j, name in enumerate(runs["id"])})
    scores = scores.assign(value=scores["value"].groupby(scores["metric"]).transform("first"))
    scores["value"] += spread * number
    return {"runs": runs, "scores": scores.merge(runs, on="id")}


@pytest.mark.parametrize(
    ("seeds", "folds", "spread", "note"),
    [
        (2, 1, 0.01, ""),  # two draws: an interval of 12.7 standard errors says nothing
        (1, 1, 0.01, ""),
        (3, 1, 0.0, ""),  # all the same
        (
            3,
            1,
            0.01,
            "± is half the width of a 95 % t interval over 3 seeds of the fit, on one split.",
        ),
        (2, 5, 0.01, "± is half the width of a 95 % t interval over 5 folds."),
        (3, 2, 0.01, ""),
    ],
)
def test_a_table_says_what_its_intervals_are_over_and_has_none_that_say_nothing(
    seeds, folds, spread, note
):
    grid = scores_grid(with_runs(seeds, folds, spread))
    shown = " ".join(cell.text for row in grid.rows for cell in row)
    assert (grid.note.startswith(note) if note else "±" not in grid.note) and (
        "±" in shown
    ) == bool(note)
    assert "± 0.0000" not in shown
    if note:
        assert markdown(grid).endswith(f"|\n\n{grid.note}\n") and f"% {note}" in latex(grid)
        assert f'<p class="note">{note}' in html(grid)


def test_a_latex_table_says_which_packages_its_commands_are_of():
    plain = latex(Grid(["a"], [[Cell("1")]], 1))
    assert plain.splitlines()[0] == r"% needs \usepackage{booktabs}"
    marked = latex(Grid(["a"], [[Cell("0.1 ▼")]], 1))
    assert marked.splitlines()[0] == r"% needs \usepackage{booktabs, amssymb}"
