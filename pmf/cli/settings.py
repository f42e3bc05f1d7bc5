"""Settings as words of the command line."""

import tomllib
from collections.abc import Container
from typing import Annotated, Any

import typer

from pmf.errors import InputError
from pmf.fitting.registry import INFERENCES, steps_in_words

Scale = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="LOW HIGH", help="The lowest and the highest rating; refuse others."),
]
Clip = Annotated[bool, typer.Option("--clip", help="With --scale: predictions stay within it.")]
Tau = Annotated[
    str | None,
    typer.Option(
        metavar="X|auto|learn",
        help="The precision of a rating (gibbs): given, chosen on held-out ratings, or learnt.",
    ),
]
PriorWords = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=X,NAME=X",
        help="The prior (als, map), instead of one chosen on held-out ratings: tau, user_factor, "
        "item_factor, user_bias and item_bias, all precisions; perhaps user_exponent and "
        "item_exponent.",
    ),
]
MethodOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(INFERENCES),
        help="The inference.",
        autocompletion=lambda: list(INFERENCES),
    ),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help=f"Steps. {steps_in_words()}.")]
Further = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting, such as burn_in=200 or optimizer=lbfgs. May be repeated.",
    ),
]
OWN_OPTIONS = {"num_steps": "steps"}  # settings whose option is called otherwise


def prior_of(text: str) -> Any:
    """`tau=1,user_factor=2,...` as a prior. Raises `InputError` for other text."""
    from pmf.model.priors import IsotropicPrior

    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            numbers[name.strip()] = float(value)
        except ValueError as error:
            raise InputError(f"--prior {part}: say NAME=NUMBER, as in tau=1") from error
    try:
        return IsotropicPrior(**numbers)
    except TypeError as error:
        names = "tau, user_factor, item_factor, user_bias, item_bias"
        raise InputError(
            f"--prior {text}: all of {names} are needed, and perhaps user_exponent, item_exponent"
        ) from error


def tau_of(text: str) -> float | str:
    """A number, or a word for a setting to check."""
    try:
        return float(text)
    except ValueError:
        return text


def further_of(texts: list[str], reserved: Container[str]) -> dict[str, Any]:
    """`NAME=VALUE` as settings. A value is TOML's, or a bare word.

    Raises `InputError` for text that is no pair, and for a setting in `reserved`: it has an option.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, is_pair, value = (part.strip() for part in text.partition("="))
        if not (name and is_pair and value):
            raise InputError(f"--set {text}: say NAME=VALUE, as in burn_in=200")
        if name in settings:
            raise InputError(f"--set {text}: {name} is set twice")
        if name in reserved:
            option = OWN_OPTIONS.get(name, name).replace("_", "-")
            raise InputError(f"--set {text}: say --{option}")
        try:
            settings[name] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            settings[name] = value
    return settings
