"""A fitted model's rows as frames, by raw ids.

Of a sampler these are means over its kept draws. Its factors turn and change signs from draw to
draw, and no prediction depends on how they lie: their means shrink towards 0, and the product of
two means is not the mean of the products. To predict, ask `predict`; to look at one draw, take
`model.draws`.
"""

from typing import Literal

import numpy as np
import pandas as pd

from pmf.data.ids import Ids
from pmf.errors import InputError
from pmf.fitting.fitted import Fit, Fitted

Which = Literal["user", "item"]


def fit_with_draws(fitted: Fitted) -> Fit:
    """The fit with its draws. Raises `InputError` if `store_draws=False` dropped them."""
    if not len(fitted.fit.noise_variance):
        raise InputError("the draws were not stored (store_draws=False); fit with them")
    return fitted.fit


def factors(fitted: Fitted, which: Which) -> pd.DataFrame:
    """A row per id (the index), a column per factor: U, or V. Raises `InputError` without draws."""
    factor = np.asarray(getattr(fit_with_draws(fitted).run.draws, which).factor)
    return pd.DataFrame(factor.mean(0)[:-1], index=_index(fitted, which))


def biases(fitted: Fitted, which: Which) -> pd.DataFrame:
    """One row per id (the index) with its `bias`, 0 if the model has none: b, or c.

    Raises `InputError` without draws.
    """
    bias = np.asarray(getattr(fit_with_draws(fitted).run.draws, which).bias).sum(-1)
    return pd.DataFrame({"bias": bias.mean(0)[:-1]}, index=_index(fitted, which))


def _index(fitted: Fitted, which: Which) -> pd.Index:
    ids: Ids = getattr(fitted, f"{which}s")
    return pd.Index(ids.values, name=f"{which}_id", tupleize_cols=False)
