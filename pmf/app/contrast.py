"""The page Three ways: collaborative, content-based and hybrid lists for the same person."""

from itertools import combinations

import pandas as pd
import streamlit as st

from pmf.app import state
from pmf.app.person import listed, on_scale, taste
from pmf.app.state import Shown

LENGTH = 10


def show() -> None:
    st.title("Three ways to the same person")
    st.write(
        "Collaborative filtering knows who rated what; content-based filtering knows genres, "
        "years and tags; the hybrid begins from the second and learns from the first."
    )
    if not state.stars():
        st.info("Rate some films on the first page; until then all three know nothing of you.")
    ways = {"Collaborative": state.current(), **state.contrasts()}
    lists, columns = {}, st.columns(len(ways))
    for column, (name, shown) in zip(columns, ways.items(), strict=True):
        person = state.person_of(shown)
        lists[name] = listed(person, shown.table, state.no_filters(), LENGTH)
        with column:
            st.subheader(name)
            _show_list(on_scale(lists[name], shown.scale))
    _shared({name: set(table["item_id"].astype(str)) for name, table in lists.items()})
    _profile(ways["Content"])
    state.say_what_is_learnt_from()


def _show_list(films: pd.DataFrame) -> None:
    st.dataframe(
        films[["title", "stars", "genres"]],
        hide_index=True,
        column_config={"stars": st.column_config.NumberColumn(format="%.2f")},
    )


def _shared(lists: dict[str, set[str]]) -> None:
    """Where the lists, of ids as text, agree."""
    st.subheader("Where they agree")
    table = state.current().table
    title = table["title"].set_axis(table["item_id"].astype(str))
    rows = []
    for one, other in combinations(lists, 2):
        both = lists[one] & lists[other]
        titles = ", ".join(sorted(str(title.get(item, item)) for item in both))
        rows.append({"ways": f"{one} and {other}", "of ten": len(both), "films": titles})
    everyone = set.intersection(*lists.values())
    rows.append(
        {
            "ways": "all three",
            "of ten": len(everyone),
            "films": ", ".join(sorted(str(title.get(x, x)) for x in everyone)),
        }
    )
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def _profile(content: Shown) -> None:
    """What the content-based model has learnt of this person's taste."""
    if not state.stars():
        return
    st.subheader("Your taste by content")
    weights = taste(state.person_of(content), content.model)
    ends = pd.concat([weights.nlargest(6), weights.nsmallest(6)[::-1]])
    st.bar_chart(ends.rename("stars").rename_axis("feature"), horizontal=True, sort=False)
    st.caption("Stars that a film with the feature gains over the average film.")
