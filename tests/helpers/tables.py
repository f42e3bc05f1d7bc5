"""Frames of ratings as they are learnt from, to compare with."""

import pandas as pd

from pmf.data.choices import Duplicates
from pmf.data.frames import checked, one_a_pair
from pmf.data.tables import Table


def tidy(
    frame: Table,
    source: str = "the frame",
    scale: tuple[float, float] | None = None,
    duplicates: Duplicates = "error",
) -> pd.DataFrame:
    """A checked frame, each pair once."""
    table = checked(frame, source, scale)
    chosen = one_a_pair(table, source, duplicates)
    if chosen is None:
        return table
    return table.iloc[chosen.row].assign(rating=chosen.value).reset_index(drop=True)
