"""What is chosen by name when ratings are read or split. Light: `pmf --help` reads it."""

from typing import Literal

Duplicates = Literal["error", "last", "mean"]  # what becomes of a pair that is rated twice

SplitKind = Literal[  # the functions of `pmf.data.splits`
    "sample_records",
    "crossfold_records",
    "assigned_folds",
    "sample_n",
    "sample_fraction",
    "last_n",
    "last_fraction",
    "split_global_time",
    "split_at_time",
    "sample_users",
    "sample_items",
]
