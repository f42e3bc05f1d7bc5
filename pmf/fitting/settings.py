"""What can be chosen when a model is fitted. Every default of the package is here."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from pmf.data.frames import Duplicates
from pmf.errors import InputError
from pmf.inference import optimizers
from pmf.model.priors import IsotropicPrior
from pmf.types import Terms

LARGEST = float(np.finfo(np.float32).max)

Method = Literal["als", "map", "gibbs"]
CONFIG = ConfigDict(
    frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True
)


Prior = IsotropicPrior | Literal["auto"]  # auto: chosen on held-out training ratings


@dataclass(frozen=True, repr=False)
class LostOptimizer:
    """What a model file knows of an optax transformation: its name. It is code, and not kept."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}, not kept in the file>"

    def init(self, params: Any) -> Any:
        """Raises `InputError`."""
        raise InputError(
            f"this model was fitted by an optimizer of your own ({self.name}), which its file "
            "cannot hold; make a PMF with optimizer=... to fit again"
        )

    update = init


class Settings(BaseModel):
    """The settings of `pmf.PMF`, checked. Unknown names and wrong types are `InputError`s."""

    model_config = CONFIG

    # The model
    rank: Annotated[int, Field(ge=0)] = 16
    """Width of the factors; 0 for biases only."""
    user_bias: bool = True
    """A bias for each user."""
    item_bias: bool = True
    """A bias for each item."""
    mu: FiniteFloat | Literal["mean"] = "mean"
    """The global mean: of the training ratings, or a number."""
    scale: tuple[float, float] | None = None
    """The lowest and the highest rating; others are refused."""
    clip: bool = False
    """Whether predictions are kept within `scale`."""
    duplicates: Duplicates = "error"
    """A pair rated twice: an error, the last (the newest, where there are times), or the mean."""
    store_ratings: bool = True
    """Keep what each user rated: lists leave it out, and are explained by it."""

    # The inference
    method: Method = "als"
    """The inference."""
    num_steps: Annotated[int, Field(ge=1)] | None = None
    """Sweeps (als), updates or epochs (map) at the most, or kept draws a chain (gibbs);
    None: 100, 1000, 100."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of every random choice."""
    fused: bool | None = None
    """ALS, Gibbs: the CPU kernel; None: where it is available."""
    devices: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """Rows are sharded over so many."""

    # ALS and MAP
    prior: Prior = "auto"
    """ALS, MAP: precisions; "auto": chosen on held-out training ratings."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """ALS, MAP: the relative change of the log posterior that ends a run; None: 1e-5, 1e-6."""
    optimizer: Any = "adam"
    """MAP: the name of one, with its arguments or without (`pmf.inference.optimizers`), or an optax
    transformation."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """MAP: of an optimizer without its own."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto", "full"] = "auto"
    """MAP: ratings an update; "auto": all of up to 2,000,000, else 65,536."""
    on_disk: bool = False
    """MAP: ratings stay in files and pass through in mini-batches."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """ALS, MAP: the share of the training ratings that stops a run early."""
    patience: Annotated[int, Field(ge=1)] = 10
    """ALS, MAP: steps without improvement on it."""

    # Gibbs
    tau: Annotated[float, Field(gt=0)] | Literal["auto", "learn"] = "auto"
    """Gibbs: the precision of a rating; "auto": chosen on held-out training ratings."""
    hyperprior: Literal["separate", "joint"] = "separate"
    """Gibbs: of factors and biases."""
    burn_in: Annotated[int, Field(ge=0)] = 100
    """Gibbs: sweeps that are thrown away."""
    thin: Annotated[int, Field(ge=1)] = 2
    """Gibbs: every so manyth sweep is kept."""
    num_chains: Annotated[int, Field(ge=1)] = 2
    """Gibbs: independent chains."""
    store_draws: bool = True
    """Gibbs: False predicts only the held-out pairs given to `fit`."""

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

    model_config = CONFIG

    mu: FiniteFloat | Literal["mean"] = "mean"
    """The global mean: of the training ratings, or a number."""
    scale: tuple[float, float] | None = None
    """The lowest and the highest rating; others are refused."""
    clip: bool = False
    """Whether predictions are kept within `scale`."""
    duplicates: Duplicates = "error"
    """A pair rated twice: an error, the last (the newest, where there are times), or the mean."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the choice of held-out ratings."""
    fused: bool | None = None
    """The CPU kernel; None: where it is available."""
    prior: Prior = "auto"
    """`user_factor` is the precision of the weights, the items' have no part; "auto": chosen on
    held-out training ratings."""

    def model_post_init(self, context: Any) -> None:
        _check_scale(self.scale, self.clip)


class HybridSettings(BaseModel):
    """The settings of `pmf.Hybrid`: ALS whose items' prior means are regressed on features."""

    model_config = CONFIG

    rank: Annotated[int, Field(ge=0)] = 16
    """Width of the factors; 0 for biases only."""
    user_bias: bool = True
    """A bias for each user."""
    item_bias: bool = True
    """A bias for each item."""
    mu: FiniteFloat | Literal["mean"] = "mean"
    """The global mean: of the training ratings, or a number."""
    scale: tuple[float, float] | None = None
    """The lowest and the highest rating; others are refused."""
    clip: bool = False
    """Whether predictions are kept within `scale`."""
    duplicates: Duplicates = "error"
    """A pair rated twice: an error, the last (the newest, where there are times), or the mean."""
    num_steps: Annotated[int, Field(ge=1)] = 100
    """Sweeps at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-5
    """The relative change of the log posterior that ends a run."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of every random choice."""
    fused: bool | None = None
    """The CPU kernel; None: where it is available."""
    prior: Prior = "auto"
    """Precisions; "auto": chosen on held-out training ratings, with `regression`."""
    regression: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """How strongly the weights on features are held to 0: see `pmf.inference.hybrid`."""

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
Documented = TypeVar("Documented", bound=type[Any])


def takes(model: type[BaseModel]) -> Callable[[Documented], Documented]:
    """A decorator of a class whose `**settings` are those of `model`: they are in its signature,
    with their defaults, and in its docstring.
    """

    def document(cls: Documented) -> Documented:
        construct: Any = vars(cls)["__init__"]
        init, kinds = inspect.signature(construct), get_type_hints(model)
        named = {n: p for n, p in init.parameters.items() if p.kind is not p.VAR_KEYWORD}
        rest = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=field.default,
                annotation=kinds[name],
            )
            for name, field in model.model_fields.items() if name not in named
        ]  # fmt: skip
        itself, *others = [*named.values(), *rest]
        construct.__signature__ = init.replace(parameters=[itself, *others])
        cls.__signature__ = init.replace(parameters=others)
        lines = [
            f"    {name}={field.default!r}: {' '.join((field.description or '').split())}"
            for name, field in model.model_fields.items()
        ]
        text = inspect.cleandoc(cls.__doc__ or "")
        cls.__doc__ = "\n".join([text, "", "Settings, with their defaults:", "", *lines])
        return cls

    return document


def in_words(settings: BaseModel) -> str:
    """Settings in one line: the rank and the method, and what differs from its default."""
    shown = {
        name: getattr(settings, name)
        for name, field in type(settings).model_fields.items()
        if name in ("rank", "method") or getattr(settings, name) != field.default
    }
    return ", ".join(f"{name}={_in_words(value)}" for name, value in shown.items())


def _in_words(value: Any) -> str:
    """A value's `repr`; of an optax transformation, a pair of functions, that is two addresses."""
    return (
        "<an optax transformation>"
        if isinstance(value, tuple) and callable(value[0])
        else repr(value)
    )


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
