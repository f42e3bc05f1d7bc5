"""The rivals' trajectories, each in a process of its own, by an interpreter that has it.

    python -m benchmarks.racing.rivals NAME ARGUMENTS        ARGUMENTS as JSON, of a function here

A rival stops after `steps` iterations, or where its clock is at `budget` seconds. Its penalty is
set by hand, and no time is counted for that. Predictions are not clipped; of a user or an item
without training ratings the mean, and the bias that is known.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.process import THREADS, answer, by_name, peak_bytes
from benchmarks.racing.task import Task, Trajectory, load

BLOCK = 1 << 18  # pairs whose factors are gathered at once


def libmf(path: str, rank: int, steps: int, budget: float, l2: float) -> dict[str, Any]:
    """Stochastic gradients without biases, on ratings centred at their mean.

    The binding's own defaults have an L1 penalty and no L2, and its own predictions are of other
    pairs: the factors are read, and multiplied here.
    """
    from libmf import mf

    penalty = {"lambda_p1": 0.0, "lambda_q1": 0.0, "lambda_p2": l2, "lambda_q2": l2}
    options = penalty | {"k": rank, "eta": 0.1, "nr_threads": THREADS, "copy_data": False}

    def convert(task: Task) -> np.ndarray:
        columns = task.user, task.item, task.value - task.value.mean()
        return np.column_stack([x.astype(np.float32) for x in columns])  # exact below 2^24

    def fit(triples: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
        model = mf.MF(nr_iters=iterations, quiet=True, **options)
        model.fit(triples)
        return model.p_factors(), model.q_factors()

    def rmse(task: Task, factors: tuple[np.ndarray, np.ndarray]) -> float:
        P, Q = factors
        return test_rmse(task, task.value.mean(), trained(task.user, P), trained(task.item, Q))

    return anew(load(path), convert, fit, rmse, steps, budget)


def cmfrec(path: str, rank: int, steps: int, budget: float, lambda_: float) -> dict[str, Any]:
    """Exact ALS with both biases."""
    return _cmfrec(path, rank, steps, budget, lambda_, use_cg=False)


def cmfrec_cg(path: str, rank: int, steps: int, budget: float, lambda_: float) -> dict[str, Any]:
    """Its default: three steps of conjugate gradients a row, not exact."""
    return _cmfrec(path, rank, steps, budget, lambda_, use_cg=True)


def _cmfrec(
    path: str, rank: int, steps: int, budget: float, lambda_: float, use_cg: bool
) -> dict[str, Any]:
    import cmfrec  # noqa: F401  # before the clock starts
    from scipy.sparse import coo_matrix

    from benchmarks.workers import cmfrec_model

    def convert(task: Task) -> coo_matrix:
        return coo_matrix((task.value, (task.user, task.item)), shape=task.shape)

    def fit(matrix: coo_matrix, iterations: int) -> Any:
        return cmfrec_model(rank, iterations, use_cg, lambda_).fit(matrix)

    def rmse(task: Task, model: Any) -> float:
        users = trained(task.user, model.A_, model.user_bias_)
        return test_rmse(
            task, model.glob_mean_, users, trained(task.item, model.B_, model.item_bias_)
        )

    return anew(load(path), convert, fit, rmse, steps, budget)


def lenskit(
    path: str, rank: int, steps: int, budget: float, regularization: float
) -> dict[str, Any]:
    """Exact ALS on what damped biases leave, a row's ridge by its count: `BiasedMFScorer`."""
    import pandas as pd
    from lenskit.als import BiasedMFScorer
    from lenskit.data import from_interactions_df
    from lenskit.training import TrainingOptions

    task, seconds, rmse, spent = load(path), list[float](), list[float](), 0.0
    begin = time.perf_counter()
    frame = {"user_id": task.user, "item_id": task.item, "rating": task.value}
    data = from_interactions_df(pd.DataFrame(frame))
    preparation = time.perf_counter() - begin
    model = BiasedMFScorer(embedding_size=rank, epochs=steps, regularization=regularization)
    for _ in model.training_loop(data, TrainingOptions(rng=0)):
        spent += time.perf_counter() - begin
        seconds.append(spent)
        users = Rows(model.users.ids(), model.user_embeddings, model.bias.user_biases)
        items = Rows(model.items.ids(), model.item_embeddings, model.bias.item_biases)
        rmse.append(test_rmse(task, model.bias.global_bias, users, items))
        if spent >= budget:
            break
        begin = time.perf_counter()
    return _answer(list(range(1, 1 + len(seconds))), seconds, rmse, preparation)


def anew(
    task: Task,
    convert: Callable[[Task], Any],
    fit: Callable[[Any, int], Any],
    rmse: Callable[[Task, Any], float],
    steps: int,
    budget: float,
) -> dict[str, Any]:
    """A library that tells nothing between its iterations: fits of 1, 2, 4, ... of them, each anew.

    The seconds of each include those of the conversion. The last is the one after which another
    would exceed the budget.
    """
    begin = time.perf_counter()
    converted = convert(task)
    preparation = time.perf_counter() - begin
    counts, seconds, errors = list[int](), list[float](), list[float]()
    iterations = 1
    while iterations <= steps and (not seconds or 2 * seconds[-1] <= budget):
        begin = time.perf_counter()
        model = fit(converted, iterations)
        seconds.append(preparation + time.perf_counter() - begin)
        counts.append(iterations)
        errors.append(rmse(task, model))
        iterations *= 2
    return _answer(counts, seconds, errors, preparation)


def _answer(
    steps: list[int], seconds: list[float], rmse: list[float], preparation: float
) -> dict[str, Any]:
    return Trajectory(steps, seconds, rmse, 0.0, preparation, peak_bytes() / 1e9)._asdict()


class Rows(NamedTuple):
    """The users or items that a library has learnt: (n,) row numbers, (n, k), (n,) or none."""

    number: np.ndarray
    factor: np.ndarray
    bias: np.ndarray | None


def trained(row_of_rating: np.ndarray, factor: np.ndarray, bias: np.ndarray | None = None) -> Rows:
    """The rows of a library's tables with training ratings: others may be undefined."""
    number = np.unique(row_of_rating)
    return Rows(number, factor[number], None if bias is None else bias[number])


def test_rmse(task: Task, mean: float, users: Rows, items: Rows) -> float:
    """Of mean + b_u + c_i + U_u . V_i, a row that was not learnt adding nothing."""
    U, b = _whole(users, task.shape[0])
    V, c = _whole(items, task.shape[1])
    total = 0.0
    for start in range(0, len(task.test_value), BLOCK):
        part = slice(start, start + BLOCK)
        u, i = task.test_user[part], task.test_item[part]
        predicted = mean + b[u] + c[i] + np.einsum("nk,nk->n", U[u], V[i])
        total += float(np.sum((predicted - task.test_value[part]) ** 2, dtype=np.float64))
    return (total / len(task.test_value)) ** 0.5


def _whole(rows: Rows, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors and biases of `count` rows, 0 where there are none."""
    factor = np.zeros((count, rows.factor.shape[1]), np.float32)
    bias = np.zeros(count, np.float32)
    factor[rows.number] = rows.factor
    if rows.bias is not None:
        bias[rows.number] = rows.bias
    return factor, bias


if __name__ == "__main__":
    answer(by_name(libmf, cmfrec, cmfrec_cg, lenskit))
