"""What the rivals predict: one function a library, run in a process of its own.

    python experiments/systems/rivals/worker.py FOLDER        by its path: rivals' interpreters have
    no `pmf`

`FOLDER` holds `ratings.npz` and `request.json`, written by `experiments.systems.rivals.client`;
this writes `predictions.npz` and `outcome.json` there. No rival sees a test rating. Predictions are
on the scale of ratings and not clipped, as ours are not; a rival that knows its uncertainty gives
the variance of a rating.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

THREADS = os.cpu_count() or 1
BLOCK = 100_000  # pairs whose factors are gathered at once


class Task(NamedTuple):
    """Training ratings and test pairs as row numbers below `users` and `items`."""

    user: np.ndarray
    item: np.ndarray
    value: np.ndarray
    test_user: np.ndarray
    test_item: np.ndarray
    users: int
    items: int
    options: dict[str, Any]
    seed: int


def cmfrec(task: Task) -> tuple[np.ndarray, None]:
    """Collective matrix factorization without side information: ALS, with biases, centred.

    A frame, not a matrix: a row of a matrix without ratings is left uninitialised (1e36 was seen),
    while an id that is not in the frame is known to be unknown.
    """
    import pandas as pd
    from cmfrec import CMF

    options = dict(task.options)
    of_bias, of_factor = options.pop("lambda_bias"), options.pop("lambda_")
    model = CMF(
        k=options.pop("rank"),
        lambda_=[of_bias, of_bias, of_factor, of_factor, 0.0, 0.0],
        random_state=task.seed,
        nthreads=THREADS,
        verbose=False,
        **options,
    )
    ratings = {"UserId": task.user, "ItemId": task.item, "Rating": task.value}
    model.fit(pd.DataFrame(ratings))
    return model.predict(task.test_user, task.test_item), None


def smurff(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Bayesian PMF by Gibbs, without biases, on ratings centred at their mean.

    Its `var` is a sum of squares: divided by draws - 1 it is the variance of the mean, and the
    noise adds 1 / precision. On several threads a seed does not give the same draws again.
    """
    import smurff as library
    from scipy.sparse import coo_matrix

    options, shape = task.options, (task.users, task.items)
    mean = task.value.mean()
    train = coo_matrix((task.value - mean, (task.user, task.item)), shape=shape).tocsr()
    ones = np.ones(len(task.test_user))
    test_matrix = coo_matrix((ones, (task.test_user, task.test_item)), shape=shape).tocsr()
    session = library.TrainSession(
        priors=["normal", "normal"],
        num_latent=options["rank"],
        burnin=options["burnin"],
        nsamples=options["nsamples"],
        seed=task.seed,
        num_threads=THREADS,
        verbose=0,
    )
    session.addTrainAndTest(train, test_matrix, noise=library.FixedNoise(options["precision"]))
    predictions = {tuple(x.coords): (x.pred_avg, x.var) for x in session.run()}
    pairs = zip(task.test_user.tolist(), task.test_item.tolist(), strict=True)
    average, squares = np.array([predictions[pair] for pair in pairs]).T
    return average + mean, squares / (options["nsamples"] - 1) + 1 / options["precision"]


def myfm(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Bayesian factorization machine by Gibbs on one-hot user and item, each side a group.

    Its own prediction is the mean of draws alone; the draws' variance is taken from the same draws,
    and the noise adds the mean of 1 / alpha.
    """
    import myfm as library
    from scipy.sparse import csr_matrix

    options, n = dict(task.options), len(task.value)
    fitting = {name: options.pop(name) for name in ("n_iter", "n_kept_samples")}
    columns = np.column_stack([task.user, task.users + task.item])
    cells = (np.ones(2 * n), columns.ravel(), np.arange(0, 2 * n + 1, 2))
    model = library.MyFMRegressor(random_seed=task.seed, **options)
    shapes = [task.users, task.items]
    model.fit(csr_matrix(cells, (n, sum(shapes))), task.value, group_shapes=shapes, **fitting)
    user, item = task.test_user, task.users + task.test_item
    mean, squares = np.zeros(len(user)), np.zeros(len(user))
    draws = model.predictor_.samples
    for count, draw in enumerate(draws, start=1):
        drawn = draw.w0 + draw.w[user] + draw.w[item] + _dots(draw.V, draw.V, user, item)
        off = drawn - mean
        mean += off / count
        squares += off * (drawn - mean)
    noise = np.mean([1 / hyper.alpha for hyper in model.history_.hypers[-len(draws) :]])
    return mean, squares / (len(draws) - 1) + noise


def surprise_svd(task: Task) -> tuple[np.ndarray, None]:
    """Biases and factors by stochastic gradient descent."""
    from surprise import SVD

    options = dict(task.options)
    return _surprise(
        SVD(n_factors=options.pop("rank"), random_state=task.seed, **options), task
    ), None


def surprise_baseline(task: Task) -> tuple[np.ndarray, None]:
    """Biases alone, by ALS."""
    from surprise import BaselineOnly

    return _surprise(BaselineOnly({"method": "als", **task.options}, verbose=False), task), None


def _surprise(model: Any, task: Task) -> np.ndarray:
    import pandas as pd
    from surprise import Dataset, Reader

    ratings = pd.DataFrame({"user": task.user, "item": task.item, "rating": task.value})
    reader = Reader(rating_scale=(task.value.min(), task.value.max()))
    model.fit(Dataset.load_from_df(ratings, reader).build_full_trainset())
    pairs = zip(task.test_user.tolist(), task.test_item.tolist(), strict=True)
    return np.array([model.predict(*pair, clip=False).est for pair in pairs])


def implicit_als(task: Task) -> tuple[np.ndarray, None]:
    """ALS for implicit feedback: it ranks, and has no model of a rating's size.

    A rating is taken for the confidence that the item was liked, as its documentation has it, so
    that 1 star says a little and 5 stars much. The nearest to a predicted rating is a straight line
    of its score, fitted on a tenth of the training ratings that a first fit has not seen; the fit
    that predicts has seen all. The line rises, so ranks are the library's own; an error is much as
    that of a constant, and says how far its task is from this one.
    """
    score = _implicit_scores
    is_heldout = np.random.default_rng(task.seed).random(len(task.value)) < 0.1
    fitted = task._replace(
        user=task.user[~is_heldout], item=task.item[~is_heldout], value=task.value[~is_heldout]
    )
    slope, start = np.polyfit(
        score(fitted, task.user[is_heldout], task.item[is_heldout]), task.value[is_heldout], 1
    )
    if slope <= 0:
        raise ValueError("its scores do not rise with held-out training ratings")
    return start + slope * score(task, task.test_user, task.test_item), None


def _implicit_scores(task: Task, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import coo_matrix

    options = dict(task.options)
    model = AlternatingLeastSquares(
        factors=options.pop("rank"), random_state=task.seed, num_threads=THREADS, **options
    )
    liked = coo_matrix((task.value, (task.user, task.item)), shape=(task.users, task.items))
    model.fit(liked.tocsr().astype(np.float32), show_progress=False)
    return _dots(model.user_factors, model.item_factors, user, item).astype(np.float64)


def cornac_mf(task: Task) -> tuple[np.ndarray, None]:
    """Biases and factors by stochastic gradient descent."""
    from cornac.models import MF

    return _cornac(MF, task), None


def cornac_pmf(task: Task) -> tuple[np.ndarray, None]:
    """PMF by RMSProp; by default the mean is a sigmoid onto the scale, as in the 2007 paper."""
    from cornac.models import PMF

    return _cornac(PMF, task), None


def _cornac(model_class: Any, task: Task) -> np.ndarray:
    from cornac.data import Dataset

    options = dict(task.options)
    arrays = (x.tolist() for x in (task.user, task.item, task.value))
    train = Dataset.from_uir(list(zip(*arrays, strict=True)), seed=task.seed)
    model = model_class(k=options.pop("rank"), seed=task.seed, **options).fit(train)
    users = [train.uid_map.get(user, -1) for user in task.test_user.tolist()]
    items = [train.iid_map.get(item, -1) for item in task.test_item.tolist()]
    pairs = zip(users, items, strict=True)
    return np.array([float(model.rate(*pair, clipping=False)) for pair in pairs])


def _dots(U: np.ndarray, V: np.ndarray, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """U_u . V_i of each pair, without gathering all pairs' factors at once."""
    starts = range(0, len(user), BLOCK)
    blocks = [slice(start, start + BLOCK) for start in starts]
    return np.concatenate([np.einsum("nk,nk->n", U[user[b]], V[item[b]]) for b in blocks])


PREDICT: dict[str, Callable[[Task], tuple[np.ndarray, np.ndarray | None]]] = {
    rival.__name__: rival
    for rival in (
        cmfrec,
        smurff,
        myfm,
        surprise_svd,
        surprise_baseline,
        implicit_als,
        cornac_mf,
        cornac_pmf,
    )
}


def answer(folder: Path) -> None:
    """Do what `request.json` asks; what goes wrong is written as the outcome's error."""
    request = json.loads((folder / "request.json").read_text())
    outcome: dict[str, Any] = {"error": "", "seconds": 0.0, "version": ""}
    try:
        importlib.import_module(request["module"])  # before the clock starts
        outcome["version"] = metadata.version(request["package"])
        with np.load(folder / "ratings.npz") as arrays:
            task = Task(**arrays, **{k: request[k] for k in Task._fields if k in request})
        begin = time.perf_counter()
        mean, variance = PREDICT[request["rival"]](task)
        outcome["seconds"] = time.perf_counter() - begin
        arrays = {"mean": mean} if variance is None else {"mean": mean, "variance": variance}
        np.savez(folder / "predictions.npz", **arrays)
    except Exception as error:  # whatever a library raises is the result
        outcome["error"] = f"{type(error).__name__}: {error}"
    (folder / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: no rival shall find our modules where it looks for its own
    answer(Path(sys.argv[1]))
