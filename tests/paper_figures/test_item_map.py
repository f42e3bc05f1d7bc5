"""The map of items by their factors. Catches: a map that turns with the factors' own rotation."""

import numpy as np
import pandas as pd

from experiments.systems.factorization import item_map
from pmf.data.ids import Ids
from pmf.fitting.driver import Run
from pmf.fitting.fitted import Fit, Fitted
from pmf.types import Params, Side

USERS, ITEMS, RANK = 40, 30, 3


def fitted(turn: np.ndarray) -> Fitted:
    """Factors turned and stretched, (U A) and (V inv(A)^T): the same predictions."""
    rng = np.random.default_rng(0)
    U = rng.normal(size=(USERS + 1, RANK)) * [3, 2, 1] @ turn
    V = rng.normal(size=(ITEMS + 1, RANK)) * [2, 1, 0.1] @ np.linalg.inv(turn).T
    none = np.zeros((1, 1, 0))
    draws = Params(Side(U[None], none), Side(V[None], none), np.zeros(1))
    fit = Fit(Run(draws, None, [], 0.0, None, 0.0, ""), None, np.ones(1), None)
    ids = Ids(np.arange(USERS)), Ids(np.arange(ITEMS))
    return Fitted(fit, *ids, np.ones(USERS + 1), np.arange(ITEMS + 1)[::-1])


ABOUT = pd.DataFrame({"item_id": range(ITEMS), "title": "T", "genres": "Drama"})


def test_is_the_same_for_factors_that_predict_the_same():
    plain = item_map(fitted(np.eye(RANK)), ABOUT)
    turned = item_map(fitted(np.random.default_rng(1).normal(size=(RANK, RANK))), ABOUT)
    pd.testing.assert_frame_equal(plain, turned)
    assert list(plain["item_id"]) == list(range(ITEMS))  # the most rated first
    assert plain["x"].std() > plain["y"].std() > 0


def test_there_is_none_without_two_directions_or_titles():
    whole = fitted(np.eye(RANK))
    one = Params(*(Side(s.factor[..., :1], s.bias) for s in whole.fit.run.draws[:2]), np.zeros(1))
    whole.fit = whole.fit.with_run(draws=one)
    assert item_map(whole, ABOUT) is None
    assert item_map(fitted(np.eye(RANK)), pd.DataFrame()) is None
