"""A tiny experiment for the tests of `experiments/`."""

from pathlib import Path

import numpy as np
import pandas as pd

TOML = """
data = "{data}"
[split]
kind = "crossfold_records"
partitions = 3
fold = [1, 2]
[model]
method = ["als", "gibbs"]
rank = 2
num_steps = 4
burn_in = 3
num_chains = 1
tau = 1.5
prior = {{ tau = 1.0, user_factor = 5.0, item_factor = 5.0, user_bias = 2.0, item_bias = 2.0 }}
"""

ARMS = """
data = "{data}"
[split]
kind = "crossfold_records"
partitions = 3
[model]
num_steps = 4
rank = 2
seed = [0, 1]
[tuning]
trials = 3
[arm.mean]
rank = 0
user_bias = false
item_bias = false
[arm.biases]
rank = 0
[arm.all]
"""


def write(folder: Path, toml: str = TOML, name: str = "tiny") -> Path:
    """A configuration on 600 random ratings of 30 users and 40 items."""
    rng = np.random.default_rng(0)
    pair = rng.permutation(30 * 40)[:600]
    columns = {"user": pair // 40, "item": pair % 40, "rating": rng.integers(1, 6, 600)}
    pd.DataFrame(columns).to_csv(folder / "ratings.csv", index=False)
    path = folder / f"{name}.toml"
    path.write_text(toml.format(data=folder / "ratings.csv"))
    return path


def quiet(phase: str, step: int, total: int) -> None:
    pass
