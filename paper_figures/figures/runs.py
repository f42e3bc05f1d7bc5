"""What the runs of a table are called, and what varies among them."""

import pandas as pd

from pmf.data.sources.base import unit_of
from pmf.errors import InputError
from pmf.fitting.registry import LABELS

REPLICATES = ("split.fold", "split.seed", "model.seed", "model.repeat")  # what a mean is taken over
FEW = 8  # systems that an eye can follow in one panel


def having(table: pd.DataFrame, name: str, *columns: str) -> pd.DataFrame:
    """The table. Raises `InputError` where it has no rows, or lacks a column."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"{name}: no column {', '.join(missing)}; collect the experiment again")
    if table.empty:
        raise InputError(f"{name}: the table has no rows; run and collect the experiment first")
    return table


def units(runs: pd.DataFrame) -> pd.Series:
    """What a rating of each run is counted in: as its configuration says, or as its data set."""
    return text(runs, "unit").where(lambda unit: unit != "", text(runs, "data").map(unit_of))


def unit(table: pd.DataFrame) -> str:
    """The one unit of a table's ratings; "rating" where it has several, or none is known."""
    unit_texts = text(table, "unit").unique()
    return str(unit_texts[0]) if len(unit_texts) == 1 and unit_texts[0] else unit_of("")


def of_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric."""
    return table[table["metric"] == metric]


def text(table: pd.DataFrame, column: str) -> pd.Series:
    """A column as text, empty where there is nothing."""
    if column not in table:
        return pd.Series("", table.index)
    return table[column].astype(object).where(table[column].notna(), "").astype(str)


def who(table: pd.DataFrame) -> pd.Series:
    """The name of each row's system: its arm, or its method; both where an arm has several."""
    arm = text(table, "arm")
    method = text(table, "model.method").map(lambda name: LABELS.get(name, name))
    several = method.groupby(arm).transform("nunique") > 1
    alone = arm.where(arm != "", method).where(lambda name: name != "", text(table, "system"))
    return alone.where(~several | (arm == ""), arm + ", " + method)


def varying(table: pd.DataFrame) -> list[str]:
    """The settings that vary within a system and are no replicates."""
    runs = table.drop_duplicates("id") if "id" in table else table  # many lines have one setting
    names = [
        name
        for name in map(str, table)
        if name == "data" or name.startswith(("split.", "model.", "tuning"))
        if name not in (*REPLICATES, "model.method") and runs[name].nunique(dropna=False) > 1
    ]
    most = runs[names].astype(str).groupby(who(runs)).nunique().max()
    return [name for name in names if most[name] > 1]


def settings_in(comparisons: pd.DataFrame) -> list[str]:
    """The columns of the settings that comparisons were made apart for: dotted names, and data."""
    return [name for name in map(str, comparisons) if name == "data" or "." in name]


def is_plain(table: pd.DataFrame) -> bool:
    """Whether the systems are few, and nothing but the rank varies within them."""
    return (
        not table.empty
        and who(table).nunique() <= FEW
        and set(varying(table)) <= {"model.rank", "tuning", "tuning.trials"}
        and not is_sweep(table)
    )


def is_sweep(table: pd.DataFrame) -> bool:
    return "system" in table and (table["system"] == "sweep").any()


def varies(table: pd.DataFrame, column: str) -> bool:
    return column in table and table[column].nunique() > 1


def representative(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the middle one of each system's ranks, with the most trials of tuning."""
    if varies(table, "tuning.trials"):
        trials = table["tuning.trials"].fillna(0)
        table = table[trials == trials.groupby(who(table)).transform("max")]
    if varies(table, "model.rank"):
        wanted = table["model.rank"].groupby(who(table)).transform(_middle)
        table = table[(table["model.rank"] == wanted) | wanted.isna()]
    return table


def _middle(values: pd.Series) -> float:
    ordered = sorted(values.dropna().unique())
    return ordered[len(ordered) // 2] if ordered else float("nan")
