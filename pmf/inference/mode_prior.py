"""The prior under which the mode is the posterior's mean: what variational Bayes tells ALS and MAP.

By `pmf.inference.row_posterior` the mean of user u's factors solves, with covariances held
diagonal,

    (Lambda + tau sum_i (V_i V_i^T + S_i)) U_u = h_u

and ALS solves the same without S_i, how uncertain the items are. So ALS finds that mean under

    Lambda + tau sum_i S_i,    in column c and for n ratings about    lambda_c + tau n S_c

where S_c is the mean of the S_ic over all ratings. That is why the ridge that predicts best is
larger than the precisions that made the data, why it grows with a row's ratings, each of which
brings its item's uncertainty (what ALS-WR found by trial: Zhou et al. 2008), and why weak columns
need more of it. A `DiagonalPrior` grows at one rate for all columns: the mean one, so a row with
the typical number of ratings has its precisions exactly. Where all pairs are rated, and columns are
alike, it is exact for every row.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from pmf.data.encoding import typical_count
from pmf.inference.layout import Data
from pmf.inference.row_posterior import variances
from pmf.inference.vb import State
from pmf.model.density import joined
from pmf.model.priors import DiagonalPrior
from pmf.types import Gaussian, Side

RIDGES = 1e-6, 1e6  # in single precision: a column has died there, or has no prior to speak of


class _Precisions(NamedTuple):
    """Of a side's row with one rating."""

    columns: Float[np.ndarray, " k"]
    bias: float
    growth: float


def mode_prior(posterior: State, data: Data) -> DiagonalPrior:
    """The prior whose mode is nearest the means of a posterior by `pmf.inference.vb`.

    With zero means only the product of both sides' precisions moves a mode, so they share their
    columns, of which the strongest (with the least precision) has 1.
    """
    params, prior, tau = posterior.params, posterior.prior, float(posterior.prior.tau)
    user_count, item_count = (np.asarray(n, float) for n in (data.user_count, data.item_count))
    of_users = _mean_variances(params.user, posterior.user, user_count)
    of_items = _mean_variances(params.item, posterior.item, item_count)
    user = _precisions(prior.user, of_items, tau, user_count)
    item = _precisions(prior.item, of_users, tau, item_count)
    columns = np.sqrt(user.columns * item.columns)
    strongest = int(np.argmin(columns)) if len(columns) else None
    return DiagonalPrior(
        tau=tau,
        user_factor=tau if strongest is None else float(user.columns[strongest]),
        item_factor=tau if strongest is None else float(item.columns[strongest]),
        user_bias=user.bias,
        item_bias=item.bias,
        columns=tuple((columns / columns.min(initial=np.inf)).tolist()),
        user_growth=user.growth,
        item_growth=item.growth,
    )


def _mean_variances(
    side: Side, covariance: Float[Array, "n q"], count: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """The variance of each factor column, over ratings."""
    rank, d = side.factor.shape[-1], joined(side).shape[-1]
    of_rows = np.asarray(variances(covariance, d))[:, :rank]
    return np.average(of_rows, axis=0, weights=count)


def _precisions(
    prior: Gaussian,
    variance: Float[np.ndarray, " k"],
    tau: float,
    count: Float[np.ndarray, " n"],
) -> _Precisions:
    """One side's, given the mean variances of the other's columns."""
    rank, precision = len(variance), np.asarray(prior.precision).astype(float).diagonal()
    own, bias = precision[:rank], precision[rank:]
    spread, typical = tau * variance, typical_count(count)  # what each rating adds
    rate = float(spread.sum() / own.sum()) if rank else 0.0
    columns = (own + typical * spread) * (1 + rate) / (1 + rate * typical)
    least, most = (tau * ridge for ridge in RIDGES)
    return _Precisions(
        np.clip(columns, least, most),
        float(np.clip(bias[0], least, most)) if len(bias) else tau,
        rate / (1 + rate),
    )
