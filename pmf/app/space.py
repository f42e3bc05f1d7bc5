"""The films as points: the directions in which people's tastes differ most."""

import numpy as np
import pandas as pd

from pmf.estimators.frames import fit_with_draws
from pmf.fitting.fitted import Fitted


def directions(fitted: Fitted, most: int = 600, number: int = 6) -> pd.DataFrame:
    """The most rated items along the leading directions: `item_id, d1, d2, ...`, in stars.

    Over users, the ratings of two items vary together by K_ij = mean over draws of V_i^T G V_j, G
    the second moments of the users' factors: the same whatever rotation and scale the factors of a
    draw came in, so draws can be averaged. The coordinates are K's principal components.
    """
    draws, count = fit_with_draws(fitted).run.draws, fitted.item_count[: len(fitted.items)]
    rows = np.argsort(-count, kind="stable")[:most]
    parts = []
    for U, V in zip(np.asarray(draws.user.factor), np.asarray(draws.item.factor), strict=True):
        U, V = U[:-1].astype(np.float64), V[rows].astype(np.float64)
        values, axes = np.linalg.eigh(U.T @ U / len(U))
        parts.append(V @ (axes * np.sqrt(np.maximum(values, 0))))
    stars = np.concatenate(parts, 1) / np.sqrt(len(parts))
    left, values, _ = np.linalg.svd(stars - stars.mean(0), full_matrices=False)
    loadings = left[:, :number] * values[:number]
    loadings = loadings * np.sign(
        loadings[np.abs(loadings).argmax(0), np.arange(loadings.shape[1])]
    )
    names = [f"d{j + 1}" for j in range(loadings.shape[1])]
    return pd.DataFrame(loadings, columns=names).assign(item_id=fitted.items.values[rows])


def average_effect(fitted: Fitted, side: str) -> np.ndarray:
    """How far a row's predictions, averaged over the other side, lie from the mean of all: stars.

    Its bias and what its factors add for everybody; a sampler, whose factors' prior means are
    learnt, puts most of it into the factors.
    """
    draws = fit_with_draws(fitted).run.draws
    side_draws, other = (draws.user, draws.item) if side == "user" else (draws.item, draws.user)
    everybody = np.asarray(other.factor)[:, :-1].mean(1)
    effect = np.einsum("snk,sk->sn", np.asarray(side_draws.factor)[:, :-1], everybody)
    effect = (effect + np.asarray(side_draws.bias)[:, :-1].sum(-1)).mean(0)
    return np.asarray(effect - effect.mean())
