"""Results from standardised ratings to the ratings' unit, and priors the other way.

With the model of `pmf.model.density` in z = (r - centre) / spread, the one in r has

    mu = centre + spread mu_z,   (b, c) = spread (b, c)_z,   tau = tau_z / spread^2,
    U = spread^share U_z,   V = spread^(1 - share) V_z

where `share` is how much of the unit the users' factors carry: half, or all of it where the items'
are given features. Densities change by the Jacobian of this map.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Any, TypeVar

import numpy as np

from pmf.data.units import Unit
from pmf.fitting.schedule import Record
from pmf.model.predictive import Prediction
from pmf.model.priors import AnyPrior, IsotropicPrior, NoisePrecision, RegressedPrior
from pmf.types import Gaussian, Params, Prior, Regression, Side

Kind = TypeVar("Kind", bound=AnyPrior)


@dataclass(frozen=True)
class Scales:
    """The standardised unit of each term, in the ratings' unit."""

    unit: Unit
    share: float = 0.5

    @property
    def user_factor(self) -> float:
        return float(self.unit.spread**self.share)

    @property
    def item_factor(self) -> float:
        return float(self.unit.spread ** (1 - self.share))

    def standardised_prior(self, prior: Kind) -> Kind:
        """A prior in the ratings' unit, as inference on standardised ratings takes it."""
        scaled: Kind = _with_precisions(prior, self, 2)
        return scaled

    def prior(self, prior: Kind) -> Kind:
        """The inverse of `standardised_prior`."""
        scaled: Kind = _with_precisions(prior, self, -2)
        return scaled

    def side(self, side: Side, factor: float) -> Side:
        bias = np.asarray(side.bias) * self.unit.spread
        return side._replace(factor=np.asarray(side.factor) * factor, bias=bias)

    def params(self, params: Params) -> Params:
        """Stacks of parameters. mu is float64: ratings may lie far from 0, and close together."""
        centre, spread = self.unit
        context = params.context
        return Params(
            self.side(params.user, self.user_factor),
            self.side(params.item, self.item_factor),
            centre + spread * np.asarray(params.mu, np.float64),
            None if context is None else self.side(context, self.item_factor),
        )

    def row_priors(self, prior: Prior, rank: int) -> Prior:
        """The prior as arrays, perhaps a stack of them."""
        return Prior(
            np.asarray(prior.tau) / self.unit.spread**2,
            self._gaussian(prior.user, self.user_factor, rank),
            self._gaussian(prior.item, self.item_factor, rank),
        )

    def _gaussian(self, gaussian: Gaussian, factor: float, rank: int) -> Gaussian:
        mean, precision = np.asarray(gaussian.mean), np.asarray(gaussian.precision)
        scale = np.full(mean.shape[-1], self.unit.spread, mean.dtype)
        scale[:rank] = factor
        squares = np.outer(scale, scale)
        regressions = {
            kind: Regression(
                np.asarray(B) * scale,
                np.asarray(offset) * scale,
                np.asarray(own) / squares,
                np.asarray(spread) * squares,
            )
            for kind, (B, offset, own, spread) in gaussian.regressions.items()
        }
        return Gaussian(mean * scale, precision / squares, gaussian.weight, regressions)

    def prediction(self, prediction: Prediction) -> Prediction:
        centre, spread = self.unit
        mean = centre + spread * np.asarray(prediction.mean, np.float64)
        return Prediction(mean, prediction.variance * spread**2)

    def record(self, record: Record, log_volume: float) -> Record:
        return record._replace(
            log_posterior=record.log_posterior - log_volume,
            heldout_rmse=record.heldout_rmse * self.unit.spread,
        )

    def log_volume(self, num_ratings: int, user: tuple[int, int], item: tuple[int, int]) -> float:
        """log |d(r, theta) / d(z, theta_z)|; `user` and `item` are numbers of factors and biases.

        A log density of ratings and parameters is the standardised one less this.
        """
        units = num_ratings + self.share * user[0] + (1 - self.share) * item[0] + user[1] + item[1]
        return units * log(self.unit.spread)


def _with_precisions(prior: AnyPrior, scales: Scales, power: int) -> Any:
    spread = scales.unit.spread**power
    match prior:
        case NoisePrecision():
            return NoisePrecision(prior.tau and prior.tau * spread)
        case RegressedPrior():
            return replace(prior, rows=_with_precisions(prior.rows, scales, power))
        case IsotropicPrior():
            return replace(
                prior,
                tau=prior.tau * spread,
                user_factor=prior.user_factor * scales.user_factor**power,
                item_factor=prior.item_factor * scales.item_factor**power,
                user_bias=prior.user_bias * spread,
                item_bias=prior.item_bias * spread,
            )
