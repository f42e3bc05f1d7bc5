"""What can be chosen when a model is fitted. The inferences' own settings are in
`pmf.fitting.methods`; every default of the package is in one of the two.
"""

from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, SerializeAsAny, create_model

from pmf.data.choices import Duplicates
from pmf.errors import InputError
from pmf.fitting.methods.als import ALS
from pmf.fitting.methods.base import Inference, PriorSetting, check_is_of
from pmf.fitting.registry import DEFAULT, INFERENCES, LABELS, inference_named
from pmf.fitting.schedule import Schedule
from pmf.fitting.settings_base import CONFIG, in_words, settings_of
from pmf.types import Terms

LARGEST = float(np.finfo(np.float32).max)


class RatingSettings(BaseModel):
    """The settings of every model about the ratings."""

    model_config = CONFIG

    mu: FiniteFloat | Literal["mean"] = "mean"
    """The global mean: of the training ratings, or a number."""
    scale: tuple[float, float] | None = None
    """The lowest and the highest rating; others are refused."""
    clip: bool = False
    """Whether predictions are kept within `scale`."""
    duplicates: Duplicates = "error"
    """A pair rated twice: an error, the last (the newest, where there are times), or the mean."""

    def model_post_init(self, context: Any) -> None:
        scale = self.scale
        if self.clip and scale is None:
            raise ValueError("clip needs a scale, as in scale=(0.5, 5)")
        if scale is not None and not scale[0] < scale[1]:
            raise ValueError(f"scale={scale}: the lowest rating first, then the highest")
        if scale is not None and any(LARGEST < abs(bound) < float("inf") for bound in scale):
            raise ValueError(f"scale={scale}: more than single precision holds, {LARGEST:.3g}")


class TermSettings(BaseModel):
    """Which terms a model has."""

    model_config = CONFIG

    rank: Annotated[int, Field(ge=0)] = 16
    """Width of the factors; 0 for biases only."""
    user_bias: bool = True
    """A bias for each user."""
    item_bias: bool = True
    """A bias for each item."""

    @property
    def terms(self) -> Terms:
        return Terms(self.rank, self.user_bias, self.item_bias)


class Settings(RatingSettings, TermSettings):
    """The settings of `pmf.PMF`, checked. Unknown names and wrong types are `InputError`s."""

    inference: SerializeAsAny[Inference] = ALS()
    """How the posterior is inferred, such as pmf.Gibbs(burn_in=200)."""
    store_ratings: bool = True
    """Keep what each user rated: lists leave it out, and are explained by it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of every random choice."""
    devices: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """Rows are sharded over so many."""

    @property
    def method(self) -> str:
        """The name of the inference."""
        return self.inference.name

    @property
    def noise_source(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return self.inference.noise_source

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.devices != 1 and self.inference.needs_one_device:
            raise ValueError("vb, on_disk, implicit, context and fused are for one device")
        if self.inference.context_column is not None:
            if not self.item_bias:
                raise ValueError("context needs item_bias=True: items meet contexts there")
            if self.duplicates == "mean":
                raise ValueError("duplicates='mean' and context: a mean is in no context")

    def flat(self) -> dict[str, Any]:
        """All of them in one dictionary, as `make_settings` takes them."""
        model = {name: getattr(self, name) for name in MODEL}
        return model | {"method": self.method} | dict(self.inference)


MODEL = [name for name in Settings.model_fields if name != "inference"]  # whatever the inference


def make_settings(values: dict[str, Any]) -> Settings:
    """`Settings` from keyword arguments: an `inference`, or its name (`method`) and its settings.

    None is a setting's default. Raises `InputError` with one line a mistake: a setting that the
    inference has not, too.
    """
    model_settings = {name: value for name, value in values.items() if name in MODEL}
    rest = {name: value for name, value in values.items() if name not in MODEL}
    method, inference = rest.pop("method", None), rest.pop("inference", None)
    if inference is None:
        kind = inference_named(DEFAULT if method is None else method)
        for name in rest:
            check_is_of(kind, name, ["inference", *MODEL])
        inference = kind(**{name: value for name, value in rest.items() if value is not None})
    elif not isinstance(inference, Inference):
        raise InputError(f"inference={inference!r}: say it as pmf.Gibbs(), or as method='gibbs'")
    elif method is not None or rest:
        for name in rest:
            check_is_of(type(inference), name, MODEL)
        twice = ", ".join([*(["method"] if method is not None else []), *rest])
        place = f"inference=pmf.{type(inference).__name__}(...)"
        raise InputError(f"{twice}: the inference is given; say it in {place}")
    return settings_of(Settings, {**model_settings, "inference": inference})


def of_method(values: dict[str, Any]) -> dict[str, Any]:
    """Flat settings without those that other inferences than theirs have."""
    fields = inference_named(values.get("method", DEFAULT)).model_fields
    foreign = set(shorthand().model_fields) - set(fields) - {"method", *MODEL}
    return {name: value for name, value in values.items() if name not in foreign}


@cache
def shorthand() -> type[BaseModel]:
    """The settings of the model and of every inference in one flat list.

    A default that differs between inferences is None here: that of the method.
    """
    hints = get_type_hints(Settings, include_extras=True)
    fields: dict[str, Any] = {name: (hints[name], Settings.model_fields[name]) for name in MODEL}
    about = "The inference by name; it takes those of the settings below that begin with it."
    fields["method"] = Literal[tuple(INFERENCES)], Field(DEFAULT, description=about)
    kinds = [inference_named(name) for name in INFERENCES]
    for name in dict.fromkeys(name for kind in kinds for name in kind.model_fields):
        fields[name] = _shared([kind for kind in kinds if name in kind.model_fields], name)
    return create_model("Shorthand", __config__=CONFIG, **fields)


def in_short(value: Any) -> str:
    """A default in few letters: 1e-06, user."""
    return value if isinstance(value, str) else f"{value:g}"


def _shared(kinds: list[type[Inference]], name: str) -> tuple[Any, Any]:
    """The type and the field of a setting that these inferences have."""
    hint = get_type_hints(kinds[0], include_extras=True)[name]
    meaning: dict[str, list[str]] = {}
    defaults = [kind.model_fields[name].default for kind in kinds]
    alike = all(default == defaults[0] for default in defaults)
    for kind, default in zip(kinds, defaults, strict=True):
        words = (kind.model_fields[name].description or "").removesuffix(".")
        words = words if alike else f"{words} ({in_short(default)})"
        meaning.setdefault(words, []).append(LABELS[kind.name])
    about = "; ".join(f"{', '.join(labels)}: {words}" for words, labels in meaning.items()) + "."
    if alike:
        return hint, Field(defaults[0], description=about)
    return hint | None, Field(None, description=about)


class ContentSettings(RatingSettings):
    """The settings of `pmf.Content`: users' ridge regressions on item features."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the choice of held-out ratings."""
    fused: bool | None = None
    """The CPU kernel; None: where it is available."""
    prior: PriorSetting = "auto"
    """`user_factor` is the precision of the weights, the items' have no part; "auto": chosen on
    held-out training ratings."""

    @property
    def noise_source(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return "maximum marginal likelihood" if self.prior == "auto" else "given"


class HybridSettings(RatingSettings, TermSettings):
    """The settings of `pmf.Hybrid`: ALS whose items' prior means are regressed on features."""

    num_steps: Annotated[int, Field(ge=1)] = 100
    """Sweeps at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-5
    """The relative change of the log posterior that ends a run."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of every random choice."""
    fused: bool | None = None
    """The CPU kernel; None: where it is available."""
    prior: PriorSetting = "auto"
    """Precisions; "auto": chosen on held-out training ratings, with `regression`."""
    regression: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """How strongly the weights on features are held to 0: see `pmf.inference.hybrid`."""

    @property
    def noise_source(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return "training residuals"

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.num_steps, tolerance=self.tolerance)

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if (self.prior == "auto") != (self.regression == "auto"):
            raise ValueError("prior and regression: give both, or neither to have both chosen")


AnySettings = Settings | ContentSettings | HybridSettings


def settings_in_words(settings: AnySettings) -> str:
    """Settings in one line: the rank and the method, and what differs from its default."""
    if not isinstance(settings, Settings):
        return in_words(dict(settings), type(settings).model_fields, ["rank"])
    fields = {**Settings.model_fields, **type(settings.inference).model_fields}
    fields["method"] = shorthand().model_fields["method"]
    return in_words(settings.flat(), fields, ["rank", "method"])
