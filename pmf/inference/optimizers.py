"""MAP's optimizers by name: those of optax, with checked arguments, for configuration files.

"adam"                               with the settings' learning rate
{"name": "sgd", "momentum": 0.9}     likewise, where it has no learning rate of its own
{"name": "adamw", "learning_rate": {"name": "cosine_decay_schedule", "init_value": 0.05,
                                    "decay_steps": 500}}
"""

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pmf.errors import InputError, hint

if TYPE_CHECKING:
    import optax

OPTIMIZERS = (
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "fromage",
    "lamb",
    "lars",
    "lbfgs",
    "lion",
    "nadam",
    "nadamw",
    "novograd",
    "optimistic_gradient_descent",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sign_sgd",
    "sm3",
    "yogi",
)
SCHEDULES = (
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "exponential_decay",
    "linear_onecycle_schedule",
    "linear_schedule",
    "polynomial_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
)
# Arguments that are numbers, although their defaults are not.
OPTIONAL_NUMBERS = {"learning_rate", "momentum", "weight_decay_rate", "end_value"}

Spec = str | Mapping[str, Any]


def is_spec(value: object) -> bool:
    """Whether an optimizer is given by name, rather than as an object of optax."""
    return isinstance(value, str | Mapping)


def is_lbfgs(value: object) -> bool:
    """Whether it is L-BFGS, whose line search needs the full batch."""
    return value == "lbfgs" or isinstance(value, Mapping) and value.get("name") == "lbfgs"


def check(optimizer: Any) -> None:
    """Raise `InputError` naming an unknown name or argument, or a value that is no such number, and
    for what is neither a spec nor an optax transformation.
    """
    if not is_spec(optimizer):
        if not all(callable(getattr(optimizer, part, None)) for part in ("init", "update")):
            raise InputError("optimizer: a name, a table with a name, or an optax transformation")
    elif optimizer not in ("adam", "lbfgs"):  # these need no optax, which takes long to import
        build(optimizer, 1.0)


def build(spec: Spec, learning_rate: float) -> "optax.GradientTransformation":
    """The optimizer; the same object for the same words, so that jit recognises its step."""
    try:
        return _built(json.dumps(spec, sort_keys=True), learning_rate)
    except TypeError as error:
        raise InputError(f"optimizer: {spec!r}: numbers, words and tables only") from error


@lru_cache(maxsize=32)
def _built(words: str, learning_rate: float) -> "optax.GradientTransformation":
    name, options = _checked(json.loads(words), OPTIMIZERS, "optimizer")
    rate = options.pop("learning_rate", None)
    if isinstance(rate, dict):
        rate = _made(*_checked(rate, SCHEDULES, "optimizer.learning_rate"))
    elif rate is None and name != "lbfgs":  # whose line search finds its own
        rate = learning_rate
    return _made(name, options if rate is None else {"learning_rate": rate, **options})


def _made(name: str, options: dict[str, Any]) -> Any:
    import optax

    try:
        return getattr(optax, name)(**options)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InputError(f"optimizer: {name}: {error}") from error


def _checked(spec: Any, known: tuple[str, ...], where: str) -> tuple[str, dict[str, Any]]:
    """The name of one of optax's functions, and the arguments that it is given."""
    import optax

    table = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = table.pop("name", None)
    if name not in known:
        raise InputError(f"{where}: name={name!r}: {hint(str(name), known)}")
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(getattr(optax, name)).parameters.items()
        if _is_plain(key, parameter.default)
    }
    for key, value in table.items():
        if key not in defaults:
            raise InputError(f"{where}: {name} has no {key}; {hint(key, tuple(defaults))}")
        if not (key == "learning_rate" and isinstance(value, dict)):
            _check_value(key, value, defaults[key], where)
    needed = [key for key, default in defaults.items() if default is inspect.Parameter.empty]
    if missing := [key for key in needed if key not in (*table, "learning_rate")]:
        raise InputError(f"{where}: {name} needs {', '.join(missing)}")
    return name, table


def _is_plain(key: str, default: Any) -> bool:
    """Whether an argument is a number or a boolean: masks, types and searches are code."""
    if "mask" in key or "dtype" in key:
        return False
    is_needed = default is inspect.Parameter.empty
    return is_needed or key in OPTIONAL_NUMBERS or isinstance(default, bool | int | float)


def _check_value(key: str, value: Any, default: Any, where: str) -> None:
    setting = f"{where}: {key}={value!r}"
    if isinstance(default, bool) != isinstance(value, bool):
        raise InputError(
            f"{setting}: {'true or false' if isinstance(default, bool) else 'a number'} is needed"
        )
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{setting}: a finite number is needed")
    if type(default) is int and not isinstance(value, int):
        raise InputError(f"{setting}: a whole number is needed")
    if key == "learning_rate" and value <= 0:
        raise InputError(f"{setting}: a number above 0 is needed")


@dataclass(frozen=True, repr=False)
class LostOptimizer:
    """The name of an optax transformation in a model file, which does not store its code."""

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
