"""A file of ratings to one to learn from and one to test with, by any split of `pmf.data.splits`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pmf.atomic import TABLES, check_target
from pmf.data import splits
from pmf.data.catalogue import NAMES, load_whole
from pmf.data.files import write_tables
from pmf.data.frames import Duplicates, one_a_pair
from pmf.data.splits import Split, check_fraction
from pmf.data.times import moment
from pmf.errors import InputError

KINDS: dict[str, Callable] = {
    split.__name__: split
    for split in (
        splits.sample_records,
        splits.crossfold_records,
        splits.assigned_folds,
        splits.sample_n,
        splits.sample_fraction,
        splits.last_n,
        splits.last_fraction,
        splits.split_global_time,
        splits.split_at_time,
        splits.sample_users,
        splits.sample_items,
    )
}
IN_TIME = "last_n", "last_fraction", "split_global_time", "split_at_time"
DEFAULTS = {"fraction": 0.2, "n": 1, "seed": 0, "partitions": 5, "users": 100, "given": 0}
LEAST = {"n": 1, "seed": 0, "partitions": 2, "users": 1, "given": 0, "fold": 1}
