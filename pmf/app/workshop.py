"""The page Model: fit another rank, method or ablation on the spot, and compare."""

import time
from typing import Any, NamedTuple

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pmf.app import state
from pmf.estimators.base import Model
from pmf.evaluate.metrics import PERCENT, label, metric_named
from pmf.fitting.registry import LABELS
from pmf.fitting.schedule import Record

BETWEEN = 0.2  # seconds between two drawings of a fit under way
# The one that is shown first is the one that pages open with.
METHODS = sorted(LABELS, key=lambda name: name != state.DEFAULT["method"])
SHOWN = ["rmse", "log_density", "coverage_90"]


class Tried(NamedTuple):
    """A model that was fitted here."""

    scores: dict[str, float]
    records: list[Record]
    model: Model


def show() -> None:
    st.title("Try another model")
    st.write(
        f"Each is fitted to the same {1 - state.HELD_OUT:.0%} of the ratings and judged on the "
        "rest, so they can be compared; the model that the page opened with has seen all of them."
    )
    with st.form("settings"):
        one, two, three = st.columns(3)
        method = one.radio("Inference", METHODS, format_func=LABELS.get)
        rank = two.slider("Rank", 0, 64, 16, help="0: biases only")
        user_bias = three.checkbox("User biases", True)
        item_bias = three.checkbox("Item biases", True)
        wanted = st.form_submit_button("Fit")
    state.say_what_is_learnt_from()
    tried: dict[str, Tried] = st.session_state.setdefault("tried", {})
    if wanted:
        settings = {"method": method, "rank": rank, "user_bias": user_bias, "item_bias": item_bias}
        live = st.empty()
        _fit(settings, tried, live)
        live.empty()
    if tried:
        _compare(tried)


def _fit(settings: dict[str, Any], tried: dict[str, Tried], live: DeltaGenerator) -> None:
    """Fit a model while `live` shows how it converges, and add it to those tried."""
    train, heldout = state.parts()
    terms = [
        word
        for word, present in (
            ("user biases", settings["user_bias"]),
            ("item biases", settings["item_bias"]),
        )
        if not present
    ]
    without = f", without {' and '.join(terms)}" if terms else ""
    name = f"{LABELS[settings['method']]}, rank {settings['rank']}{without}"
    others = {other: one.records for other, one in tried.items() if other != name}
    records: list[Record] = []
    shown_at = 0.0

    def on_record(record: Record) -> None:
        nonlocal shown_at
        records.append(record)
        if time.monotonic() - shown_at > BETWEEN:
            live.altair_chart(_convergence(others | {name: records}))
            shown_at = time.monotonic()

    model = state.fitted(settings, train, heldout, on_record)
    fit = model.require_fitted().fit
    scores = state.judge(model, heldout).scores
    seconds = fit.search.seconds + fit.run.records[-1].seconds
    line = {metric: scores[metric] for metric in SHOWN} | {"seconds": seconds}
    tried[name] = Tried(line, fit.run.records, model)


def _compare(tried: dict[str, Tried]) -> None:
    table = pd.DataFrame({name: one.scores for name, one in tried.items()}).T
    table.index.name = "model"
    st.dataframe(
        table.reset_index(),
        hide_index=True,
        column_config={name: _number(name) for name in SHOWN}
        | {"seconds": st.column_config.NumberColumn("search and fit (s)", format="%.1f")},
    )
    st.altair_chart(_convergence({name: one.records for name, one in tried.items()}))
    chosen = st.selectbox("Use for the other pages", ["the model at the start", *tried])
    if st.button("Use it"):
        st.session_state["model"] = (
            state.shown(chosen, tried[chosen].model) if chosen in tried else None
        )
        st.success(f"In use: {state.current().name}.")


def _number(name: str) -> Any:
    """How a metric is shown in a column."""
    form = "percent" if metric_named(name).form == PERCENT else "%.4f"
    return st.column_config.NumberColumn(label(name, "stars"), format=form)


def _convergence(steps: dict[str, list[Record]]) -> alt.Chart:
    """Held-out RMSE against the seconds of the steps, a line a model."""
    table = pd.concat([pd.DataFrame(records).assign(model=name) for name, records in steps.items()])
    chart: alt.Chart = (
        alt.Chart(table)
        .mark_line(point={"size": 12})
        .encode(
            x=alt.X("seconds", scale=alt.Scale(type="symlog", constant=0.01)),
            y=alt.Y("heldout_rmse", title="held-out RMSE (stars)", scale=alt.Scale(zero=False)),
            color=alt.Color("model", legend=alt.Legend(orient="top", labelLimit=300, columns=2)),
            tooltip=["model", "step", alt.Tooltip("heldout_rmse", format=".4f")],
        )
        .properties(height=340)
    )
    return chart
