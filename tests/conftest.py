"""Strict settings for every test: 64-bit JAX, shapes checked at run time."""

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)  # a stray float32 or float64 then shows as a wrong dtype

# Before any of these is imported: each call's array shapes are checked against its signature.
LEAVES = ["pmf.model", "pmf.conditionals", "pmf.wishart", "pmf.predictive", "pmf.als", "pmf.gibbs"]
install_import_hook(LEAVES, "beartype.beartype")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from pmf.types import Ratings  # noqa: E402


@pytest.fixture
def small() -> Ratings:
    """40 float64 ratings of 9 users and 8 items; the last user and the last item have none."""
    rng = np.random.default_rng(3)
    pair = rng.permutation(8 * 7)[:40]
    value = rng.normal(3.5, 1.0, 40)
    return Ratings((pair // 7).astype(np.int32), (pair % 7).astype(np.int32), value)


USERS, ITEMS = 9, 8  # of `small`
