"""Frames of ratings as they are learnt from, to compare with."""

import pandas as pd

from pmf.data.checks import rows_of
from pmf.data.choices import Duplicates
from pmf.data.frames import checked, encode, one_a_pair, times_of
from pmf.data.tables import Table


def tidy(
    frame: Table,
    source: str = "the frame",
    scale: tuple[float, float] | None = None,
    duplicates: Duplicates = "error",
) -> pd.DataFrame:
    """A checked frame, each pair once."""
    table = checked(frame, source, scale)
    encoded = encode(table, source)
    chosen = one_a_pair(encoded, duplicates, source, rows_of(source), times_of(table))
    if chosen is None:
        return table
    return table.iloc[chosen.row].assign(rating=chosen.value).reset_index(drop=True)
