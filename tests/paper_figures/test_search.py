"""The figure of a search for a prior. Catches: a candidate on another's axis, an edge that is none,
a mark on a candidate that was not chosen.
"""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from typer.testing import CliRunner

from paper_figures.__main__ import app
from paper_figures.figures.search import at_edge, marked, plot
from paper_figures.figures.style import VERMILLION
from pmf.fitting.search import Search, Trial
from tests.helpers.handmade import made


def trial(rmse: float, **value: float) -> Trial:
    return Trial(value, rmse, 0.1, 0.2)


RIDGES = Search(
    {"tau": 1.3, "user_factor": 2.0},  # in other numbers
    [
        trial(0.90, factor=15.0, user_bias=3.0, user_exponent=0.45, item_bias=3.0),
        trial(0.95, factor=24.0, user_bias=3.0, user_exponent=0.45, item_bias=3.0),
        trial(float("inf"), factor=9.4, user_bias=3.0, user_exponent=0.45, item_bias=3.0),
        trial(0.88, factor=15.0, user_bias=4.8, user_exponent=0.45, item_bias=3.0),
        trial(0.91, factor=15.0, user_bias=4.8, user_exponent=0.65, item_bias=3.0),
        trial(0.87, factor=15.0, user_bias=4.8, user_exponent=0.25, item_bias=3.0),
    ],
)
TAUS = Search({"tau": 1.2}, [trial(0.9, tau=1.5), trial(0.8999, tau=0.9), trial(0.9, tau=1.2)])


def lines(axes):
    return {line.get_label(): np.transpose(line.get_data()).tolist() for line in axes.lines}


def test_every_candidate_is_along_each_number_that_varied():
    figure = plot(RIDGES)
    drawn = {axes.get_xlabel(): axes for axes in figure.axes}
    assert list(drawn) == [
        "Ridge of the factors",
        "Ridge of the users' biases",
        "Exponent of a user's rating count",
    ]
    by_bias, by_exponent = (lines(axes) for axes in list(drawn.values())[1:])
    finite = [one for one in RIDGES.trials if np.isfinite(one.rmse)]
    assert by_bias["a candidate"] == [[one.value["user_bias"], one.rmse] for one in finite]
    assert by_bias["the least so far"] == [[3.0, 0.90], [4.8, 0.88], [4.8, 0.87]]
    assert by_exponent["the least"] == [[0.25, 0.87]]
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "log", "linear"]
    notes = [axes.get_title("left") or axes.get_title() for axes in figure.axes]
    assert notes == [
        "",  # a broken candidate lies beyond
        "the least: the highest that was tried",
        "the least: the lowest that was tried",
    ]


def test_the_chosen_candidate_is_marked_where_the_search_says_which():
    assert marked(TAUS) == (2, "chosen")
    (axes,) = plot(TAUS).axes
    assert lines(axes)["chosen"] == [[1.2, 0.9]]
    (star,) = (line for line in axes.lines if line.get_label() == "chosen")
    assert to_hex(star.get_color()) == VERMILLION.lower()
    assert [at_edge(TAUS.table(), "tau", mark) for mark in (0, 1, 2)] == [
        "highest",
        "lowest",
        "",
    ]


@pytest.mark.parametrize("trials", [0, 1])
def test_the_command_draws_a_saved_models(trials, tmp_path):
    model, path = made(1), tmp_path / "model.pmf"
    search = TAUS if trials else Search({}, [])
    model.fitted.fit = replace(model.fitted.fit, search=search)
    model.save(path)
    done = CliRunner().invoke(app, ["search", str(path), "--out", str(tmp_path / "out")])
    if not trials:
        assert "nothing was searched" in str(done.exception)
        return
    assert done.exit_code == 0 and done.stdout.split() == [str(tmp_path / "out" / "search.png")]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "search.pdf",
        "search.png",
    ]
