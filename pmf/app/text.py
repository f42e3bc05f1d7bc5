"""Text from outside as text: nothing in it is rendered, or run by a spreadsheet."""

from typing import Any

import pandas as pd

MARKS = r"\`*_{}[]<>()#+-.!|$~:"  # of Markdown, and of what Streamlit adds to it
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def plain(text: str) -> str:
    """One line in which Markdown's marks have lost their meaning."""
    return "".join(f"\\{x}" if x in MARKS else x for x in " ".join(text.split()))


def as_csv(table: pd.DataFrame) -> bytes:
    """A table as CSV for a spreadsheet: text that would be run as a formula is quoted."""

    def safe(value: Any) -> Any:
        risky = isinstance(value, str) and value.startswith(FORMULA)
        return f"'{value}" if risky else value

    return table.map(safe).to_csv(index=False).encode("utf8")
