"""Gaussian priors by the field's names for them, with exact conversions.

Three conventions describe one isotropic prior N(0, 1/precision) on each term:

    precision         the precisions themselves, with tau (PMF, Salakhutdinov & Mnih 2007)
    ridge             lambda = precision / tau, of sum (r - E[r])^2 + lambda ||w||^2
    count-weighted    lambda n_j as the ridge of a row with n_j ratings (ALS-WR, Zhou et al. 2008)

They are two points of one family, precision * n_j^exponent: PMF's exponent is 0, ALS-WR's is 1.
The mode depends on the ridges alone; tau scales the log posterior.

A `DiagonalPrior` has precisions of each column of the factors too, and its rows' grow linearly.
"""

from dataclasses import dataclass, replace
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


class Growth(NamedTuple):
    """How a row's precisions grow with its n ratings, n at least 1, from those of a row with one:
    times n^exponent (1 + rate (n - 1)).
    """

    exponent: float = 0.0
    rate: float = 0.0

    def weights(self, n: Float[Array, " n"]) -> Float[Array, " n"]:
        """What the precisions of rows with so many ratings are multiplied by."""
        return n**self.exponent * (1 + self.rate * (n - 1))


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
        finite = np.all(np.isfinite([*numbers_of(self).values()]))
        if not finite or self.tau <= 0 or min(precisions) <= 0:
            raise InputError(f"{self}: every number finite, tau and every precision above 0")

    @property
    def ridge(self) -> Ridge:
        """The same prior as ridges, of a row with one rating."""
        precisions = self.user_factor, self.item_factor, self.user_bias, self.item_bias
        return Ridge(*(precision / self.tau for precision in precisions))

    def build(self, terms: Terms, data: RatingCounts, dtype: DTypeLike = jnp.float32) -> Prior:
        """The prior as arrays for these ratings; its dtype is that of the whole inference.

        Raises `InputError` where it has columns for another rank.
        """

        def side(
            factor: float, bias: float, growth: Growth, has_bias: bool, count: Int[Array, " n"]
        ) -> Gaussian:
            columns = [factor * column for column in self.columns_of(terms.rank)]
            diagonal = jnp.asarray([*columns, *[bias] * has_bias], dtype)
            weight = _weight(count, growth, dtype)
            return Gaussian(jnp.zeros_like(diagonal), jnp.diag(diagonal), weight)

        user = self.user_factor, self.user_bias, self.growth("user")
        item = self.item_factor, self.item_bias, self.growth("item")
        return Prior(
            jnp.asarray(self.tau, dtype),
            side(*user, terms.user_bias, data.user_count),
            side(*item, terms.item_bias, data.item_count),
        )

    def with_tau(self, tau: float) -> "IsotropicPrior":
        """The same ridges, and so the same mode, for another precision of a rating."""
        return _times(self, tau / self.tau, "tau", *Ridge._fields)

    def scaled(self, factor: float) -> "IsotropicPrior":
        """With the precisions of factors times a number."""
        return _times(self, factor, "user_factor", "item_factor")

    def columns_of(self, rank: int) -> tuple[float, ...]:
        """What the factor precision of each column is multiplied by."""
        return (1.0,) * rank

    def growth(self, side: Literal["user", "item"]) -> Growth:
        return Growth(self.user_exponent if side == "user" else self.item_exponent)


@dataclass(frozen=True)
class DiagonalPrior(IsotropicPrior):
    """A precision of each column of the factors: the term's, times that of `columns`.

    A row with n ratings has its precisions also times 1 + growth (n - 1).
    `pmf.inference.mode_prior` says what such a prior stands for.
    """

    columns: tuple[float, ...] = ()
    user_growth: float = 0.0
    item_growth: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = not np.all(np.isfinite(self.columns)) or min(self.columns, default=1.0) <= 0
        if wrong or min(self.user_growth, self.item_growth) < 0:
            raise InputError(f"{self}: columns finite and above 0, growth at least 0")

    def columns_of(self, rank: int) -> tuple[float, ...]:
        if len(self.columns) != rank:
            raise InputError(f"a prior of {len(self.columns)} columns for rank {rank}")
        return self.columns

    def growth(self, side: Literal["user", "item"]) -> Growth:
        rate = self.user_growth if side == "user" else self.item_growth
        return super().growth(side)._replace(rate=rate)


def _times(prior: IsotropicPrior, factor: float, *names: str) -> IsotropicPrior:
    return replace(prior, **{name: factor * getattr(prior, name) for name in names})


def _weights(count: Int[Array, " n"], growth: Growth, dtype: DTypeLike) -> Float[Array, " n"]:
    return growth.weights(jnp.maximum(count, 1).astype(dtype))


_weight = program(_weights, FEW, static_argnames="dtype")


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
    """Its numbers by name, in one list, but for columns; what is learnt has none."""
    match prior:
        case RegressedPrior():
            return numbers_of(prior.rows) | {"regression": prior.regression}
        case _:
            numbers = {name: value for name, value in vars(prior).items() if value is not None}
            return {name: value for name, value in numbers.items() if name != "columns"}


def prior_of(values: dict[str, Any]) -> AnyPrior:
    """The inverse of `dataclasses.asdict`. Raises `InputError` for other values."""
    try:
        if "rows" in values:
            return RegressedPrior(_rows_prior(values["rows"]), values["regression"])
        return NoisePrecision(**values) if len(values) == 1 else _rows_prior(values)
    except (KeyError, TypeError) as error:
        raise InputError(f"{values}: no prior ({error})") from error


def _rows_prior(values: dict[str, Any]) -> IsotropicPrior:
    if "columns" in values:
        return DiagonalPrior(**{**values, "columns": tuple(values["columns"])})
    return IsotropicPrior(**values)


def growth_of(prior: AnyPrior, side: Literal["user", "item"]) -> Growth:
    """How the precisions of a side's rows grow; none where the rows' priors are learnt."""
    match prior:
        case IsotropicPrior():
            return prior.growth(side)
        case RegressedPrior():
            return prior.rows.growth(side)
        case NoisePrecision():
            return Growth()
