"""The page Explore: similar films, a map of the films, what its directions mean, and biases."""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from pmf.app import choice, state
from pmf.app.space import average_effect, directions
from pmf.app.state import Shown
from pmf.recommendation.lists import similar_items

GENRES = ["Action", "Animation", "Comedy", "Crime", "Horror", "Romance", "Sci-Fi"]
RARE_FIRST = ["Horror", "Animation", "Sci-Fi", "Crime", "Romance", "Action", "Comedy"]
COLOURS = ["#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#8C564B", "#E69F00", "#0072B2", "#999999"]


def show() -> None:
    st.title("Explore the films")
    shown = state.current()
    fitted = shown.model.require_fitted()
    rank = fitted.fit.run.draws.item.factor.shape[-1]
    similar, film_map, meaning, bias = st.tabs(
        ["Similar films", "Map", "What directions mean", "Biases"]
    )
    with similar:
        _similar(shown) if rank else st.info("A model without factors has no similar films.")
    with film_map:
        _map(shown) if rank > 1 else st.info("A map needs two factors or more.")
    with meaning:
        _meaning(shown) if rank else st.info("A model without factors has no directions.")
    with bias:
        _biases(shown)


def _similar(shown: Shown) -> None:
    item = choice.film(shown.table, "similar to", index=0)
    if item is None:
        return
    neighbours = similar_items(shown.model, item, 15).merge(shown.table, on="item_id")
    st.dataframe(
        neighbours[["title", "year", "genres", "similarity", "ratings"]],
        hide_index=True,
        column_config={
            "year": st.column_config.NumberColumn(format="%.0f"),
            "similarity": st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.2f"),
        },
    )
    st.caption("Similarity is the cosine of the films' factors: liked by the same people.")


@st.cache_data(show_spinner="Finding directions …")
def _points(name: str, _shown: Shown) -> pd.DataFrame:
    points = directions(_shown.model.require_fitted())
    table = points.merge(_shown.table, on="item_id")
    return table.assign(genre=table["genres"].map(_main_genre))


def _main_genre(genres: str) -> str:
    return next((name for name in RARE_FIRST if name in genres.split("|")), "other")


def _map(shown: Shown) -> None:
    points = _points(shown.name, shown)
    chart = (
        alt.Chart(points)
        .mark_circle(opacity=0.75)
        .encode(
            x=alt.X("d1", title="first direction (stars)"),
            y=alt.Y("d2", title="second direction (stars)"),
            size=alt.Size("ratings", legend=None, scale=alt.Scale(range=[12, 260])),
            color=alt.Color("genre", scale=alt.Scale(domain=[*GENRES, "other"], range=COLOURS)),
            tooltip=["title", alt.Tooltip("year", format=".0f"), "genres", "ratings"],
        )
    )
    st.altair_chart(chart.properties(height=560).interactive())
    st.caption(
        "The most rated films in the two directions in which tastes differ most. No genre was "
        "used. Scroll to zoom, drag to move."
    )


def _meaning(shown: Shown) -> None:
    points = _points(shown.name, shown)
    names = [f"d{j}" for j in range(1, 7) if f"d{j}" in points]
    name = st.radio("Direction", names, horizontal=True, format_func=lambda x: x[1:])
    ordered = points.sort_values(name, kind="stable")
    for column, part, word in zip(
        st.columns(2), (ordered[:12], ordered[:-13:-1]), ("One end", "The other end"), strict=True
    ):
        with column:
            st.subheader(word)
            st.dataframe(
                part[["title", "genres", name]],
                hide_index=True,
                column_config={name: st.column_config.NumberColumn("stars", format="%+.2f")},
            )


def _biases(shown: Shown) -> None:
    fitted = shown.model.require_fitted()
    st.caption(
        "How far predictions lie from the mean of all: a user's over all films, a film's "
        "over all users."
    )
    for column, (side, word) in zip(
        st.columns(2), (("user", "users"), ("item", "films")), strict=True
    ):
        # Counted here: a browser need not get a number for each of 160,000 users.
        count, edge = np.histogram(average_effect(fitted, side), bins=40)
        bins = pd.DataFrame({"from": edge[:-1], "to": edge[1:], "count": count})
        chart = (
            alt.Chart(bins)
            .mark_bar(color="#0072B2")
            .encode(
                x=alt.X("from", bin="binned", title="stars"),
                x2="to",
                y=alt.Y("count", title=f"how many {word}"),
                tooltip=[
                    alt.Tooltip("from", format="+.2f"),
                    alt.Tooltip("to", format="+.2f"),
                    "count",
                ],
            )
        )
        column.altair_chart(chart.properties(height=260))
    table = pd.DataFrame({"item_id": fitted.items.values, "effect": average_effect(fitted, "item")})
    table = shown.table.merge(table, on="item_id").sort_values("effect", ascending=False)
    for column, part, word in zip(
        st.columns(2), (table[:10], table[:-11:-1]), ("Liked most", "Liked least"), strict=True
    ):
        with column:
            st.subheader(word)
            st.dataframe(
                part[["effect", "ratings", "title"]],
                hide_index=True,
                column_config={"effect": st.column_config.NumberColumn("stars", format="%+.2f")},
            )
