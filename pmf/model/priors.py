"""Gaussian priors by the field's names for them, with exact conversions.

Three conventions describe one isotropic prior N(0, 1/precision) on each term:

    precision         the precisions themselves, with tau (PMF, Salakhutdinov & Mnih 2007)
    ridge             lambda = precision / tau, of sum (r - E[r])^2 + lambda ||w||^2
    count-weighted    lambda n_j as the ridge of a row with n_j ratings (ALS-WR, Zhou et al. 2008)

They are two points of one family, precision * n_j^exponent: PMF's exponent is 0, ALS-WR's is 1.
The mode depends on the ridges alone; tau scales the log posterior.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Float, Int

from pmf.errors import InputError
from pmf.process.programs import FEW, program
from pmf.types import Array, Gaussian, Prior, Terms


class Ridge(NamedTuple):
    """The ridge lambda of each term: a pure number for a bias, in rating units for a factor."""

    user_factor: float
    item_factor: float
    user_bias: float
    item_bias: float


@runtime_checkable
class RatingCounts(Protocol):
    """Anything that knows each row's number of ratings, as `pmf.inference.layout.Data` does."""

    @property
    def user_count(self) -> Int[Array, " users"]: ...

    @property
    def item_count(self) -> Int[Array, " items"]: ...


@dataclass(frozen=True)
class IsotropicPrior:
    """The precision of each term, and of a rating.

    A row with n ratings has its precisions times n^exponent (n at least 1). With zero means only
    the product of the two factor precisions moves a mode: U and V trade scale.
    """

    tau: float
    user_factor: float
    item_factor: float
    user_bias: float
    item_bias: float
    user_exponent: float = 0.0
    item_exponent: float = 0.0

    def __post_init__(self) -> None:
        precisions = self.user_factor, self.item_factor, self.user_bias, self.item_bias
        finite = np.all(np.isfinite(list(vars(self).values())))
        if not finite or self.tau <= 0 or min(precisions) <= 0:
            raise InputError(f"{self}: every number finite, tau and every precision above 0")

    @property
    def ridge(self) -> Ridge:
        """The same prior as ridges, of a row with one rating."""
        precisions = self.user_factor, self.item_factor, self.user_bias, self.item_bias
        return Ridge(*(precision / self.tau for precision in precisions))

    def build(self, terms: Terms, data: RatingCounts, dtype: DTypeLike = jnp.float32) -> Prior:
        """The prior as arrays for these ratings; its dtype is that of the whole inference."""

        def side(
            factor: float, bias: float, exponent: float, has_bias: bool, count: Int[Array, " n"]
        ) -> Gaussian:
            diagonal = jnp.asarray([factor] * terms.rank + [bias] * has_bias, dtype)
            weight = _weight(count, exponent, dtype)
            return Gaussian(jnp.zeros_like(diagonal), jnp.diag(diagonal), weight)

        user = self.user_factor, self.user_bias, self.user_exponent
        item = self.item_factor, self.item_bias, self.item_exponent
        return Prior(
            jnp.asarray(self.tau, dtype),
            side(*user, terms.user_bias, data.user_count),
            side(*item, terms.item_bias, data.item_count),
        )


def _power(
    count: Int[Array, " n"], exponent: float | Float[Array, ""], dtype: DTypeLike
) -> Float[Array, " n"]:
    return jnp.maximum(count, 1).astype(dtype) ** exponent


_weight = program(_power, FEW, static_argnames="dtype")


def from_ridge(
    ridge: Ridge, tau: float, user_exponent: float = 0.0, item_exponent: float = 0.0
) -> IsotropicPrior:
    """The prior whose ridges these are, for a rating precision tau."""
    precisions = {name: tau * value for name, value in ridge._asdict().items()}
    exponents = {"user_exponent": user_exponent, "item_exponent": item_exponent}
    return IsotropicPrior(tau, **precisions, **exponents)


def als_wr(lambda_: float, tau: float) -> IsotropicPrior:
    """ALS-WR with one lambda, the convention of Spark's and LensKit's ALS."""
    return from_ridge(Ridge(lambda_, lambda_, lambda_, lambda_), tau, 1.0, 1.0)


@dataclass(frozen=True)
class NoisePrecision:
    """The precision of a rating, where rows' priors are learnt; None: it is learnt with them."""

    tau: float | None

    def __post_init__(self) -> None:
        if self.tau is not None and not 0 < self.tau < np.inf:
            raise InputError(f"{self}: a finite number above 0")


@dataclass(frozen=True)
class RegressedPrior:
    """A prior whose items' means are regressed on features (`pmf.inference.hybrid`).

    `regression` is how strongly the weights on features are held to 0.
    """

    rows: IsotropicPrior
    regression: float


AnyPrior = IsotropicPrior | NoisePrecision | RegressedPrior


def numbers_of(prior: AnyPrior) -> dict[str, float]:
    """Its numbers by name, in one list; what is learnt has none."""
    match prior:
        case RegressedPrior():
            return numbers_of(prior.rows) | {"regression": prior.regression}
        case _:
            return {name: value for name, value in vars(prior).items() if value is not None}


def prior_of(values: dict[str, Any]) -> AnyPrior:
    """The inverse of `dataclasses.asdict`. Raises `InputError` for other values."""
    try:
        if "rows" in values:
            return RegressedPrior(IsotropicPrior(**values["rows"]), values["regression"])
        return NoisePrecision(**values) if len(values) == 1 else IsotropicPrior(**values)
    except (KeyError, TypeError) as error:
        raise InputError(f"{values}: no prior ({error})") from error


def exponent_of(prior: AnyPrior, side: Literal["user", "item"]) -> float:
    """The exponent of a row's rating count; 0 where the rows' priors are learnt."""
    match prior:
        case IsotropicPrior():
            return prior.user_exponent if side == "user" else prior.item_exponent
        case RegressedPrior():
            return exponent_of(prior.rows, side)
        case NoisePrecision():
            return 0.0
