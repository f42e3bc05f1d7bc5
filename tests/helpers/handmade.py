"""A fitted model made of chosen numbers, all different: nothing is fitted, so a swap shows."""

import jax
import numpy as np

import pmf
from pmf.data.histories import rated_by_user
from pmf.data.ids import Ids
from pmf.fitting.driver import Run
from pmf.fitting.fitted import Fit, Fitted
from pmf.fitting.schedule import Record
from pmf.fitting.search import Search, Trial
from pmf.fitting.settings import make_settings
from pmf.types import Gaussian, Params, Prior, Ratings, Side

DRAWS, USERS, ITEMS, RANK = 3, 5, 6, 2
D = RANK + 1
EXPONENT = 0.5
COUNT = np.array([40, 7, 90, 3, 25, 60, 0])  # ratings of each item, and of the unknown one


def root(rng, n: int) -> np.ndarray:
    x = 0.3 * rng.normal(size=(DRAWS, n, n))
    return x @ np.swapaxes(x, 1, 2) + 2 * np.eye(n)


def made(draws: int = DRAWS) -> pmf.PMF:
    """A model with `draws` draws, all numbers of which differ, and whose user 0 rated items."""
    rng = np.random.default_rng(7)

    def side(n: int, bias: float) -> Side:
        return Side(rng.normal(size=(DRAWS, n, RANK)), bias + 0.1 * rng.normal(size=(DRAWS, n, 1)))

    def gaussian() -> Gaussian:
        return Gaussian(rng.normal(size=(DRAWS, D)), root(rng, D), np.ones(DRAWS))

    params = Params(side(USERS + 1, -0.7), side(ITEMS + 1, 0.4), 3 + rng.normal(size=DRAWS))
    tau = np.array([1.7, 0.9, 2.5])
    prior = Prior(tau, gaussian(), gaussian())
    params, prior = jax.tree.map(lambda x: x[:draws], (params, prior))
    search = Search({}, [Trial({"factor": 3.0}, 0.91, 0.25, 1.5)])
    records = [Record(1, 0.5, -20.0, 0.98), Record(2, 0.75, -19.0, 0.95)]
    noise = 1 / tau[:draws] + 0.1 * np.arange(1, draws + 1) * (draws == 1)  # a point's is no 1/tau
    run = Run(params, prior, records, -18.5, None, 1.0, "it was enough")
    chosen = pmf.IsotropicPrior(2.0, 3.0, 4.0, 5.0, 6.0, EXPONENT, 0.25)
    fit = Fit(run, chosen, noise, search, {"reading": 3.5, "sweeps": 0.75, "rest": 0.125})
    rated = Ratings(np.array([0, 0, 1]), np.array([2, 4, 0]), np.array([4.0, 1.5, 3.0]))
    ids = Ids(np.arange(USERS)), Ids(np.array([f"m{j}" for j in range(ITEMS)], object))
    model = pmf.PMF.__new__(pmf.PMF)
    model.settings = make_settings({"rank": RANK})
    users = np.array([2, 1, 0, 0, 0, 0])
    model.fitted = Fitted(fit, *ids, users, COUNT, rated_by_user(rated, USERS + 1))
    return model
