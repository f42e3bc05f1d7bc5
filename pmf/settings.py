"""What can be chosen when a model is fitted. Every default of the package is here."""

import difflib
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pmf import optimizers
from pmf.data.frames import Duplicates
from pmf.errors import InputError
from pmf.priors import IsotropicPrior
from pmf.types import Terms

LARGEST = float(np.finfo(np.float32).max)

Method = Literal["als", "map", "gibbs"]


Prior = IsotropicPrior | Literal["auto"]  # auto: chosen on held-out training ratings


class Settings(BaseModel):
    """The settings of `pmf.PMF`, checked. Unknown names and wrong types are `InputError`s."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    # The model
    rank: Annotated[int, Field(ge=0)] = 16
    user_bias: bool = True
    item_bias: bool = True
    mu: float | Literal["mean"] = "mean"  # the global mean: of the training ratings, or a number
    scale: tuple[float, float] | None = None  # lowest and highest rating; others are refused
    clip: bool = False  # predictions into `scale`
    duplicates: Duplicates = "error"  # a pair rated twice: an error, the last, or the mean
    store_ratings: bool = True  # keep what each user rated: lists leave it out, and are explained

    # The inference
    method: Method = "als"
    num_steps: Annotated[int, Field(ge=1)] | None = None  # sweeps, updates or kept draws a chain
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    fused: bool | None = None  # ALS, Gibbs: the CPU kernel; None: where it is available
    devices: Annotated[int, Field(ge=1)] | Literal["all"] = 1  # rows are sharded over so many

    # ALS and MAP
    prior: Prior = "auto"
    tolerance: Annotated[float, Field(ge=0)] | None = None  # relative change that ends a run
    optimizer: Any = "adam"  # MAP: see `pmf.optimizers`; or an optax transformation
    learning_rate: Annotated[float, Field(gt=0)] = 0.02  # of an optimizer without its own
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto", "full"] = "auto"  # MAP
    on_disk: bool = False  # MAP: ratings stay in files and pass through in mini-batches
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0  # training share for early stopping
    patience: Annotated[int, Field(ge=1)] = 10  # steps without improvement on it

    # Gibbs
    tau: Annotated[float, Field(gt=0)] | Literal["auto", "learn"] = "auto"
    hyperprior: Literal["separate", "joint"] = "separate"  # of factors and bias
    burn_in: Annotated[int, Field(ge=0)] = 100
    thin: Annotated[int, Field(ge=1)] = 2
    num_chains: Annotated[int, Field(ge=1)] = 2
    store_draws: bool = True  # False: predict only the held-out pairs given to `fit`

    @property
    def terms(self) -> Terms:
        return Terms(self.rank, self.user_bias, self.item_bias)

    @property
    def steps(self) -> int:
        return self.num_steps or {"als": 100, "map": 1000, "gibbs": 100}[self.method]

    def model_post_init(self, context: Any) -> None:
        _check_scale(self.scale, self.clip)
        if self.validation and self.method == "gibbs":
            raise ValueError("validation stops als and map early; gibbs does not overfit with time")
        is_lbfgs = optimizers.is_lbfgs(self.optimizer)
        streams = self.method == "map" and self.batch_size != "full" and not is_lbfgs
        if is_lbfgs and isinstance(self.batch_size, int):
            raise ValueError(
                "lbfgs searches along a line of the full batch; leave batch_size out, or take adam"
            )
        if self.devices != 1 and (self.on_disk or self.fused):
            raise ValueError("on_disk and fused are for one device")
        if self.on_disk and not (streams and self.validation == 0):
            raise ValueError("on_disk: map by mini-batches only, and without validation")
        _check_optimizer(self.optimizer)


class ContentSettings(BaseModel):
    """The settings of `pmf.Content`: users' ridge regressions on item features."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    mu: float | Literal["mean"] = "mean"
    scale: tuple[float, float] | None = None
    clip: bool = False
    duplicates: Duplicates = "error"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # of the choice of held-out ratings
    fused: bool | None = None
    prior: Prior = "auto"  # `user_factor` is the weights' precision; the items' have no part

    def model_post_init(self, context: Any) -> None:
        _check_scale(self.scale, self.clip)


class HybridSettings(BaseModel):
    """The settings of `pmf.Hybrid`: ALS whose items' prior means are regressed on features."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    rank: Annotated[int, Field(ge=0)] = 16
    user_bias: bool = True
    item_bias: bool = True
    mu: float | Literal["mean"] = "mean"
    scale: tuple[float, float] | None = None
    clip: bool = False
    duplicates: Duplicates = "error"
    num_steps: Annotated[int, Field(ge=1)] = 100
    tolerance: Annotated[float, Field(ge=0)] = 1e-5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    fused: bool | None = None
    prior: Prior = "auto"
    regression: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"  # see `pmf.hybrid`

    @property
    def terms(self) -> Terms:
        return Terms(self.rank, self.user_bias, self.item_bias)

    def model_post_init(self, context: Any) -> None:
        _check_scale(self.scale, self.clip)
        if (self.prior == "auto") != (self.regression == "auto"):
            raise ValueError("prior and regression: give both, or neither to have both chosen")


def _check_optimizer(optimizer: Any) -> None:
    if optimizers.is_spec(optimizer):
        optimizers.check(optimizer)
    elif not all(callable(getattr(optimizer, part, None)) for part in ("init", "update")):
        raise ValueError("optimizer: a name, a table with a name, or an optax transformation")


def _check_scale(scale: tuple[float, float] | None, clip: bool) -> None:
    if clip and scale is None:
        raise ValueError("clip needs a scale, as in scale=(0.5, 5)")
    if scale is not None and not scale[0] < scale[1]:
        raise ValueError(f"scale={scale}: the lowest rating first, then the highest")
    if scale is not None and any(LARGEST < abs(bound) < float("inf") for bound in scale):
        raise ValueError(f"scale={scale}: more than single precision holds, {LARGEST:.3g}")


Model = TypeVar("Model", bound=BaseModel)


def make_settings(values: dict[str, Any]) -> Settings:
    """`Settings` from keyword arguments; `InputError` with one line a mistake."""
    return settings_of(Settings, values)


def settings_of(model: type[Model], values: dict[str, Any]) -> Model:
    """Settings of a kind from keyword arguments; `InputError` with one line a mistake."""
    try:
        return model(**values)
    except ValidationError as error:
        raise InputError("; ".join(describe(item, model) for item in error.errors())) from error


def describe(item: Any, model: type[BaseModel]) -> str:
    """One of pydantic's errors in one line, with the nearest valid name for an unknown one."""
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = list(model.model_fields)
        near = difflib.get_close_matches(str(item["loc"][-1]), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        return f"{name}: unknown setting; {hint}"
    return f"{name}: {item['msg']}".removeprefix(": ")
