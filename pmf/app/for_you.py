"""The page For you: rate films, and see the list and its intervals move."""

from io import BytesIO
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from pmf.app import choice, state
from pmf.app.person import ME, Filters, genres_of, listed, on_scale, reasons, uploaded
from pmf.app.text import as_csv, plain
from pmf.data.ids import among, collected, looked_up
from pmf.data.readers.text import Wanted, read_csv
from pmf.errors import InputError
from pmf.estimators.new_users import Folded, ratings_of
from pmf.fitting.fitted import Fitted

RULES = {"best guess": "mean", "surely good": "lower", "a gamble": "upper"}
QUESTIONS = 200  # popular films that may be asked about


def show() -> None:
    st.title("Films for you")
    left, right = st.columns([2, 3], gap="large")
    with left:
        _rate()
        _ask()
        _own_ratings()
    with right:
        _list()


def _titles(items: list[Any]) -> list[str]:
    titles = looked_up(state.current().table, "item_id", collected(items, "films"))["title"]
    return [
        title if is_known else str(item)
        for title, is_known, item in zip(titles, titles.notna(), items, strict=True)
    ]


def _stars_given(item: Any, key: str) -> None:
    """Called when stars are clicked: remember them, and forget the widget."""
    value = st.session_state.get(key)
    if value is not None:
        low, high = state.current().scale
        state.stars()[item] = float(min(max(value + 1, low), high))
        st.session_state["found"] = None


def _rate() -> None:
    item = choice.film(state.current().table, "found")
    if item is not None:
        st.write("Your rating of", plain(_titles([item])[0]))
        key = f"rate-{item}"
        st.feedback("stars", key=key, on_change=_stars_given, args=(item, key))


def _ask() -> None:
    person = state.person()
    questions = person.ask_next(ME, n=10, popular=QUESTIONS)
    questions = questions[
        ~among(questions["item_id"], collected(state.dismissed(), "dismissed films"))
    ]
    if questions.empty:
        return
    item = questions["item_id"].iloc[0]
    with st.container(border=True):
        st.write("Tell most by rating next:", plain(_titles([item])[0]))
        key = f"ask-{item}"
        st.feedback("stars", key=key, on_change=_stars_given, args=(item, key))
        st.button(
            "Have not seen it", key=f"skip-{item}", on_click=state.dismissed().add, args=(item,)
        )


def _own_ratings() -> None:
    stars = state.stars()
    st.subheader(f"Your ratings: {len(stars)}")
    if stars:
        items = list(stars)  # not in the table: ids beside an added row would become floats
        frame = pd.DataFrame({"stars": list(stars.values()), "title": _titles(items)})
        low, high = state.current().scale
        number = st.column_config.NumberColumn("stars", min_value=low, max_value=high, step=0.5)
        edited = st.data_editor(
            frame,
            column_config={"stars": number},
            disabled=["title"],
            num_rows="dynamic",
            hide_index=True,
            key=f"editor-{hash(frozenset(stars.items()))}",
        )
        ratings = edited["stars"].loc[edited.index.isin(frame.index)].dropna()
        changed = {
            items[int(row)]: value for row, value in zip(ratings.index, ratings, strict=True)
        }
        if changed != stars:
            st.session_state["stars"] = changed
            st.rerun()
    with st.expander("Take a user's, upload yours, or start again"):
        _other_sources()


def _other_sources() -> None:
    fitted = state.current().model.require_fitted()
    if fitted.rated is not None:
        _take_a_users(fitted)
    file = st.file_uploader("A CSV of your ratings: item_id, rating", ["csv"])
    if file is not None and st.button("Use this file"):
        try:
            stars = uploaded(_read(file), state.current().table, state.current().scale)
        except (InputError, ValueError, UnicodeError) as error:
            state.complain(error)
        else:
            st.session_state["stars"] = stars
            st.rerun()
    if st.button("Forget my ratings"):
        st.session_state["stars"], st.session_state["dismissed"] = {}, set()
        st.rerun()


def _read(file: BytesIO) -> pd.DataFrame:
    return read_csv(file, "the uploaded file", wanted=Wanted(("item_id", "rating")))


def _take_a_users(fitted: Fitted) -> None:
    user = choice.user(fitted.users.values)
    if user is not None and st.button("Take these ratings"):
        try:
            ratings = ratings_of(fitted, user)
        except InputError:
            st.error("The training data have no such user.", icon=":material/error:")
            return
        st.session_state["stars"] = dict(
            zip(ratings["item_id"].tolist(), ratings["rating"].astype(float).tolist(), strict=True)
        )
        st.rerun()


def _filters() -> tuple[Filters, str, float]:
    table = state.current().table
    with st.expander("Which films"):
        genres = st.multiselect("Genres", genres_of(table))
        years = None
        known = table["year"].dropna()
        if len(known) and known.min() < known.max():
            ends = int(known.min()), int(known.max())
            chosen = st.slider("Years", *ends, ends)
            years = chosen if chosen != ends else None
        least = st.select_slider("Rated by at least", [0, 5, 20, 50, 100], 5)
        rule = st.radio("Rank by", list(RULES), horizontal=True)
        diversity = st.slider(
            "Variety", 0.0, 1.0, 0.3, help="Stars that a film just like one above it loses."
        )
    dismissed = frozenset(state.dismissed())
    return Filters(tuple(genres), years, least, dismissed), RULES[rule], diversity


def _list() -> None:
    filters, rule, diversity = _filters()
    person = state.person()
    films_listed = listed(person, state.current().table, filters, 10, rule, diversity)  # type: ignore[arg-type]
    if films_listed.empty:
        st.info("No film is left; widen the filters.")
        return
    _width(films_listed)
    films = on_scale(films_listed, state.current().scale)
    st.altair_chart(_chart(films))
    shown = films[["title", "stars", "low", "high", "year", "genres"]]
    event = st.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="list",
        column_config={
            "year": st.column_config.NumberColumn(format="%.0f"),
            **{
                name: st.column_config.NumberColumn(format="%.2f")
                for name in ("stars", "low", "high")
            },
        },
    )
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(films_listed):
        _why(person, films_listed.iloc[rows[0]])
    else:
        st.caption("Choose a row to see why.")
    st.download_button(
        "Download the list", as_csv(films.drop(columns="label")), "films.csv", "text/csv"
    )


def _width(films: pd.DataFrame) -> None:
    """The intervals' mean width, and how it moved with the last rating."""
    width = float((films["high"] - films["low"]).mean())
    before, count = st.session_state.get("width", (width, len(state.stars())))
    if count != len(state.stars()):
        st.session_state["width before"] = before
    st.session_state["width"] = width, len(state.stars())
    earlier = st.session_state.get("width before", width)
    moved = None if abs(width - earlier) < 0.005 else f"{width - earlier:+.2f} with the last rating"
    st.metric("Mean width of the intervals", f"{width:.2f} stars", moved, delta_color="inverse")


def _chart(films: pd.DataFrame) -> alt.LayerChart:
    order = list(films["label"])
    data = films.assign(film=order)
    low, high = state.current().scale
    least = max(low, float(np.floor(2 * films["rating_low"].min()) / 2))
    axis = alt.Scale(domain=[least, high], clamp=True)
    y = alt.Y("film", sort=order, title=None, axis=alt.Axis(labelLimit=220))
    rating = (
        alt.Chart(data)
        .mark_rule(opacity=0.35)
        .encode(y=y, x=alt.X("rating_low", scale=axis, title="stars"), x2="rating_high")
    )
    mean = (
        alt.Chart(data)
        .mark_bar(height=7, opacity=0.6)
        .encode(y=y, x=alt.X("low", scale=axis), x2="high")
    )
    point = (
        alt.Chart(data)
        .mark_point(filled=True, size=55, color="#D55E00")
        .encode(
            y=y,
            x=alt.X("stars", scale=axis),
            tooltip=[
                alt.Tooltip("film"),
                *(alt.Tooltip(name, format=".2f") for name in ("stars", "low", "high")),
            ],
        )
    )
    chart: alt.LayerChart = (rating + mean + point).properties(height=28 * len(films) + 30)
    return chart


def _why(person: Folded, film: pd.Series) -> None:
    item = film["item_id"]
    st.subheader(f"Why {plain(film['title'])}?")
    contributions = reasons(person, item, state.current().table)
    st.dataframe(
        contributions,
        hide_index=True,
        column_config={"stars": st.column_config.NumberColumn(format="%+.2f")},
    )
    total, (low, high) = contributions["stars"].sum(), state.current().scale
    shown = "" if low <= total <= high else ", shown as the end of the scale"
    st.caption(f"Together {total:.2f} stars{shown}.")
    st.button("Not interested", on_click=state.dismissed().add, args=(item,))
