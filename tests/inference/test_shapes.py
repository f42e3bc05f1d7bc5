"""Catches: an inference whose calls the tests do not check by their signatures."""

import jax
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pmf.inference.als import als
from pmf.inference.content import content
from pmf.inference.fold_in import variances
from pmf.inference.gibbs import gibbs
from pmf.inference.hybrid import hybrid
from pmf.inference.map import gradient_map
from pmf.inference.map_on_disk import streamed_map
from pmf.inference.vb import vb
from pmf.types import Terms
from tests.helpers.meshes import ADAM, hyperprior
from tests.helpers.problems import ITEMS, random_prior, small_data

TERMS, MU, TABLE = Terms(3), 3.4, np.ones((ITEMS, 3))
PRIOR = random_prior(TERMS)
INFERENCES = {
    "als": als(PRIOR, TERMS, MU),
    "gibbs": gibbs(hyperprior(TERMS), TERMS, MU, 1.0),
    "map": gradient_map(PRIOR, TERMS, MU, ADAM),
    "map by batches": gradient_map(PRIOR, TERMS, MU, ADAM, 7),
    "map on disk": streamed_map(PRIOR, TERMS, MU, ADAM, 7),
    "content": content(PRIOR, MU, TABLE),
    "vb": vb(TERMS, MU, 2.0, True, float),
    "hybrid": hybrid(PRIOR, TERMS, MU, TABLE, 1.0),
}


@pytest.mark.parametrize("name", INFERENCES)
def test_two_keys_are_not_a_key(name):
    inference, data = INFERENCES[name], small_data()
    key, keys = jax.random.key(0), jax.random.split(jax.random.key(0))
    with pytest.raises(TypeCheckError):
        inference.init(keys, data)
    state = inference.init(key, data)
    with pytest.raises(TypeCheckError):
        inference.step(keys, state, data)


def test_every_draw_has_a_covariance_of_its_own():
    x = np.ones((2, 5, 3))
    with pytest.raises(TypeCheckError):
        variances(x, np.ones((1, 3, 3)))  # NumPy would repeat it
