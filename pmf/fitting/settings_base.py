"""The base of all settings: errors in one line, `help`, and a text form."""

import inspect
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from pmf.errors import InputError, hint

CONFIG = ConfigDict(
    frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True
)
SettingsModel = TypeVar("SettingsModel", bound=BaseModel)
Documented = TypeVar("Documented", bound=type[Any])


def takes(model: type[BaseModel]) -> Callable[[Documented], Documented]:
    """A decorator of a class whose `**settings` are those of `model`: they are in its signature,
    with their defaults, and in its docstring.
    """

    def document(cls: Documented) -> Documented:
        construct: Any = vars(cls)["__init__"]
        init, hints = inspect.signature(construct), get_type_hints(model)
        named = {n: p for n, p in init.parameters.items() if p.kind is not p.VAR_KEYWORD}
        for name, field in model.model_fields.items():
            kind = named[name].kind if name in named else inspect.Parameter.KEYWORD_ONLY
            named[name] = inspect.Parameter(
                name, kind, default=field.default, annotation=hints[name]
            )
        itself, *others = named.values()
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


def in_words(values: dict[str, Any], fields: dict[str, Any], always: Sequence[str]) -> str:
    """Settings in one line: those to be named always, and what differs from its default."""
    shown = {
        name: value
        for name, value in values.items()
        if name in always or value != fields[name].default
    }
    return ", ".join(f"{name}={_in_words(value)}" for name, value in shown.items())


def _in_words(value: Any) -> str:
    """A value's `repr`; of an optax transformation, a pair of functions, that is two addresses."""
    return (
        "<an optax transformation>"
        if isinstance(value, tuple) and callable(value[0])
        else repr(value)
    )


def settings_of(model: type[SettingsModel], values: dict[str, Any]) -> SettingsModel:
    """Settings of a kind from keyword arguments; `InputError` with a sentence for each mistake."""
    try:
        return model(**values)
    except ValidationError as error:
        raise InputError("; ".join(describe(error, model).values())) from error


def describe(error: ValidationError, model: type[BaseModel]) -> dict[str, str]:
    """What pydantic finds wrong, by the setting that it is about: a sentence for each."""
    by_name: dict[str, list[Any]] = {}
    for item in error.errors():
        by_name.setdefault(str(item["loc"][0]) if item["loc"] else "", []).append(item)
    return {
        name: _neither(name, items) if _has_kinds(model, name) else _each(items, model)
        for name, items in by_name.items()
    }


def _has_kinds(model: type[BaseModel], name: str) -> bool:
    """Whether a setting may be of several kinds, as a number or a word; None is no kind."""
    kind = model.model_fields[name].annotation if name in model.model_fields else None
    is_union = get_origin(kind) in (Union, UnionType)
    return is_union and len([one for one in get_args(kind) if one is not type(None)]) > 1


def _neither(name: str, items: list[Any]) -> str:
    """Why a value is of none of a setting's kinds; or of the one that it seems to be, what of it.

    The second part of an error's place is the kind that was tried.
    """
    inside = [item for item in items if len(item["loc"]) > 2]
    if inside:
        places = (".".join(map(str, (name, *item["loc"][2:]))) for item in inside)
        messages = (item["msg"] for item in inside)
        return "; ".join(map(": ".join, zip(places, messages, strict=True)))
    errors = [item["msg"] for item in items if item["type"] == "value_error"]
    if errors:
        return f"{name}: {errors[0]}"
    first, *others = (item["msg"].split(", unable to")[0] for item in items)
    return ", or ".join([f"{name}: {first}", *(x.removeprefix("Input should be ") for x in others)])


def _each(items: list[Any], model: type[BaseModel]) -> str:
    return "; ".join(_described(item, model) for item in items)


def _described(item: Any, model: type[BaseModel]) -> str:
    """One of pydantic's errors, with the nearest valid name for an unknown one."""
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown setting; {hint(str(item['loc'][-1]), list(model.model_fields))}"
    return f"{name}: {item['msg']}".removeprefix(": ")
