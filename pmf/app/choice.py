"""Choosing one film or one user, however many there are.

A browser is sent all options of a box with every click, and 60,000 films cost it a second; of so
many it gets those that match what is typed.
"""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from pmf.app.text import plain

MOST_CHOICES = 10_000  # that are all sent
MOST_MATCHES = 50  # of more: the most rated that match


def film(table: pd.DataFrame, key: str, index: int | None = None) -> Any:
    """The id of a film of `films`, its row `index` until another is chosen; None for no film.

    `st.session_state[key] = None` takes a choice back.
    """
    hint = "Type a part of its title"
    if len(table) > MOST_CHOICES:
        text = st.text_input("Search the titles", placeholder=hint, key=f"{key}-text")
        table, hint = matching(table, text), "Choose one"
        if table.empty:
            st.write("No title has", plain(text))
            return None
    labels = dict(zip(table["item_id"], table["label"], strict=True))
    return st.selectbox(
        "Find a film",
        list(labels),
        index,
        format_func=lambda item: labels.get(item, str(item)),
        placeholder=hint,
        key=key,
    )


def matching(table: pd.DataFrame, text: str) -> pd.DataFrame:
    """The most rated films whose labels have every word of a text."""
    label = table["label"].str.casefold()
    keep = np.ones(len(table), bool)
    for word in text.casefold().split():
        keep &= label.str.contains(word, regex=False).to_numpy(bool)
    return table[keep].head(MOST_MATCHES)


def user(ids: np.ndarray) -> Any:
    """The id of one of the training data's users, or None; a typed id may be unknown."""
    if len(ids) <= MOST_CHOICES:
        return st.selectbox("A user of the training data", list(ids), index=None)
    text = st.text_input("A user of the training data, by id", placeholder=f"such as {ids[0]}")
    return text.strip() or None
