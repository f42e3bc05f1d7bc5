"""The unit of ratings. Inference works on standardised ratings instead.

    z = (r - centre) / spread

has no unit, so nothing in a prior search, a start, a tolerance, a learning rate or a hyperprior can
depend on one: predictions are equivariant under r -> a r + b for a > 0.
"""

from typing import NamedTuple

import numpy as np

from pmf.data.values import Values, decoded, mapped, mean_and_std
from pmf.errors import InputError
from pmf.types import Ratings

EXTREME = 1e12  # of a spread: its powers, and their products, are still numbers of 32 bits
ROUNDING = 1e-12  # a spread so small beside the ratings themselves is no spread


class Unit(NamedTuple):
    """r = centre + spread z."""

    centre: float
    spread: float

    def standardised(self, ratings: Ratings, coded: bool = True) -> Ratings:
        """The ratings as z, float32 numbers rounded once; `coded`, a byte each if that will do."""
        value = mapped(ratings.value, self._standard)
        return ratings._replace(value=value if coded else decoded(value))

    def _standard(self, values: np.ndarray) -> np.ndarray:
        return ((values.astype(np.float64) - self.centre) / self.spread).astype(np.float32)


def unit_of(values: Values, mu: float | str = "mean") -> Unit:
    """The unit of training ratings: their standard deviation, around `mu` or their own mean.

    Of ratings that are all alike it is their size. Raises `InputError` for ratings so large, or
    with differences so large or small, that single precision cannot hold what is made of them.
    """
    mean, spread = mean_and_std(values)
    if spread <= ROUNDING * abs(mean):
        spread = abs(mean) or 1.0
    if not 1 / EXTREME < spread < EXTREME or not abs(mean) < EXTREME:
        raise InputError(
            f"the ratings' mean is {mean:.3g} and their standard deviation {spread:.3g}: too large "
            f"or too small to compute with (beyond {EXTREME:g}); give the ratings in another unit"
        )
    return Unit(mean if isinstance(mu, str) else mu, spread)
