"""What the tests of sharded and of distributed runs share: algorithms by name, and a few steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from pmf import IsotropicPrior
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.inference.gibbs import Hyperprior, gibbs
from pmf.inference.layout import Data
from pmf.inference.map import gradient_map
from pmf.model.hyperpriors import Gamma, NormalWishart
from pmf.model.likelihood import GaussianLikelihood
from pmf.types import Gaussian, Prior, Ratings, Terms

TERMS = Terms(3)
MU = 3.4
USERS, ITEMS = 37, 53  # neither is a multiple of a number of devices; some rows have no rating


def tailed_ratings() -> Ratings:
    """240 float64 ratings, more of some rows than of others, in no order of sizes."""
    rng = np.random.default_rng(1)
    share = np.outer(np.arange(1, 36) ** -0.4, np.arange(1, 51) ** -0.4).ravel()
    user, item = np.divmod(rng.choice(len(share), 240, replace=False, p=share / share.sum()), 50)
    user, item = rng.permutation(USERS)[user], rng.permutation(ITEMS)[item]
    return Ratings(user.astype(np.int32), item.astype(np.int32), rng.normal(3.5, 1.0, 240))


def prior(terms: Terms, data: Data) -> Prior:
    """Full precision matrices, nonzero means, and another weight for each row."""
    rng = np.random.default_rng(0)

    def gaussian(d: int, count) -> Gaussian:
        root = rng.normal(size=(d, d))
        mean, precision = rng.normal(size=d) * 0.3, root @ root.T + np.eye(d)
        weight = jnp.maximum(count, 1).astype(float) ** 0.4
        return Gaussian(jnp.asarray(mean), jnp.asarray(precision), weight)

    user = gaussian(terms.rank + terms.user_bias, data.user_count)
    item = gaussian(terms.rank + terms.item_bias, data.item_count)
    return Prior(jnp.asarray(1.7), user, item)


def hyperprior(terms: Terms) -> Hyperprior:
    """One Normal-Wishart a side: two would be as many more loops to compile."""

    def normal_wishart(d: int) -> NormalWishart:
        unit = jnp.eye(d, dtype=float)
        return NormalWishart(jnp.zeros(d, float), jnp.asarray(2.0), unit, jnp.asarray(d + 1.0))

    user, item = terms.rank + terms.user_bias, terms.rank + terms.item_bias
    tau = Gamma(jnp.asarray(2.0), jnp.asarray(2.0))
    return Hyperprior((normal_wishart(user),), (normal_wishart(item),), GaussianLikelihood(tau))


ADAM, LBFGS = optax.adam(0.05), optax.lbfgs()
# Each gives, for some terms, what makes the algorithm for some data.
BUILDS = {
    "als": lambda terms: lambda data: als(prior(terms, data), terms, MU),
    "gibbs": lambda terms: lambda data: gibbs(hyperprior(terms), terms, MU, 1.3),
    "map": lambda terms: lambda data: gradient_map(prior(terms, data), terms, MU, ADAM),
    "map-lbfgs": lambda terms: lambda data: gradient_map(prior(terms, data), terms, MU, LBFGS),
    "map-batches": lambda terms: lambda data: gradient_map(prior(terms, data), terms, MU, ADAM, 64),
}


def compiled(algorithm: Algorithm, data: Data):
    """The first state, and the step compiled: without optimisation, as compiling takes longest."""
    state = algorithm.init(jax.random.key(7), data)

    def call(step, key, state, data):  # a new function each time: none is traced before a change
        return step(key, state, data)

    lowered = jax.jit(call).lower(algorithm.step, jax.random.key(8), state, data)
    return state, lowered.compile({"xla_backend_optimization_level": 0})


def steps(algorithm, program, data, state, num: int, first: int = 0, after_step=lambda step: None):
    """`num` steps from a state; keys depend on the step's number only."""
    values = []
    for step in range(first, first + num):
        key = jax.random.fold_in(jax.random.key(8), step)
        state, info = program(algorithm.step, key, state, data)
        values.append(np.asarray(info.log_posterior).tolist())
        after_step(step)
    return state, values


def ratings_frame(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(40 * 45)[:n]
    columns = {"user_id": pair // 45, "item_id": pair % 45, "rating": rng.integers(1, 6, n) * 1.0}
    return pd.DataFrame(columns)


FRAME = ratings_frame()
PRIOR = IsotropicPrior(1.5, 15.0, 15.0, 3.0, 3.0, user_exponent=0.4)
FITS = {
    "als": {"num_steps": 5, "prior": PRIOR},
    "gibbs": {"num_steps": 3, "burn_in": 2, "tau": 1.5, "hyperprior": "joint"},
    "map": {"num_steps": 5, "prior": PRIOR, "validation": 0.1},
}
