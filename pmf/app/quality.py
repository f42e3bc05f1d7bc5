"""The page How good is it: a model like the page's, fitted to a part and scored on the rest."""

import altair as alt
import pandas as pd
import streamlit as st

from pmf.app import state
from pmf.evaluate.metrics import label, metric_named
from pmf.evaluate.report import Report
from pmf.evaluate.strata import labels

SHOWN = ["rmse", "mae", "log_density", "crps", "coverage_50", "coverage_90"]
STRATA = {
    "by_user_history": "by the number of a person's ratings",
    "by_item_popularity": "by the number of a film's ratings",
}


def show() -> None:
    st.title("How good is it?")
    st.write(
        f"A model with the settings of the one in use, fitted to {1 - state.HELD_OUT:.0%} of the "
        "ratings, predicts the others, which it has not seen."
    )
    judged = state.judged()
    state.say_what_is_learnt_from()
    st.dataframe(_scores(judged), hide_index=True)
    st.subheader("Do intervals hold what they say?")
    st.altair_chart(_calibration(judged.calibration))
    st.caption(
        "The share of ratings inside intervals of each probability. On the line is right; below it "
        "intervals are too narrow, above it too wide."
    )
    st.subheader("For whom, and for which films?")
    st.altair_chart(_strata(judged))
    st.caption("The error of predictions where little is known, and where much is: less is better.")


def _scores(judged: Report) -> pd.DataFrame:
    lines = [
        (label(name, "stars"), metric_named(name).form.format(judged.scores[name]))
        for name in SHOWN
    ]
    return pd.DataFrame([*lines, ("ratings", f"{judged.scores['n']:,}")], columns=["", "value"])


def _calibration(curve: pd.DataFrame) -> alt.LayerChart:
    share = alt.Scale(domain=[0, 1])
    nominal = alt.X("nominal", title="probability", axis=alt.Axis(format="%"), scale=share)
    actual = alt.Y("actual", title="share inside", axis=alt.Axis(format="%"), scale=share)
    right = alt.Chart(pd.DataFrame({"nominal": [0, 1], "actual": [0, 1]}))
    base = alt.Chart(curve).mark_line(point=True)
    tooltip = [alt.Tooltip(name, format=".1%") for name in ("nominal", "actual")]
    chart: alt.LayerChart = (
        right.mark_line(strokeDash=[4, 4], color="gray").encode(x=nominal, y=actual)
        + base.encode(x=nominal, y=actual, tooltip=tooltip)
    ).properties(height=340)
    return chart


def _strata(judged: Report) -> alt.Chart:
    parts = [getattr(judged, name).assign(of=title) for name, title in STRATA.items()]
    table = pd.concat(parts)[["of", "stratum", "rmse", "n"]]
    chart: alt.Chart = (
        alt.Chart(table)
        .mark_circle(size=90)
        .encode(
            x=alt.X("rmse", title=label("rmse", "stars"), scale=alt.Scale(zero=False)),
            y=alt.Y("stratum", title=None, sort=labels()),
            row=alt.Row(
                "of", title=None, header=alt.Header(labelOrient="top", labelAnchor="start")
            ),
            tooltip=["stratum", alt.Tooltip("rmse", format=".4f"), alt.Tooltip("n", format=",")],
        )
        .resolve_scale(y="independent")
    )
    return chart
