"""The options for reading a file of ratings, shared by every command that reads one."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from pmf.data.readers.reading import Reading
from pmf.errors import InputError

Separator = Annotated[
    str | None,
    typer.Option(
        metavar="SIGNS",
        help="The separator of the fields: comma, tab, space (any run of blanks), semicolon, "
        "pipe, or signs such as ::. By default from the file name.",
    ),
]
Encoding = Annotated[
    str, typer.Option(metavar="NAME", help="The encoding of a text, such as latin-1.")
]
HasHeader = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether a text begins with the names of its columns. Without, they are user, item, "
        "rating, timestamp.",
    ),
]
ColumnNames = Annotated[
    str | None,
    typer.Option(
        metavar="user=NAME,item=NAME",
        help="The columns user, item, rating and timestamp where they have unusual names; without "
        "a header their numbers, from 1.",
    ),
]
Quoting = Annotated[
    bool | None,
    typer.Option(
        "--quoting/--no-quoting",
        help="Whether a field of a text may stand in double quotes. By default only in a CSV.",
    ),
]
OPTIONS = {
    "separator": (Separator, None),
    "encoding": (Encoding, "utf8"),
    "header": (HasHeader, None),
    "columns": (ColumnNames, None),
    "quoting": (Quoting, None),
}


def with_reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameter `reading`, a `Reading`, is made of these options."""

    @wraps(command)
    def wrapped(**arguments: Any) -> Any:
        reading_options = {name: arguments.pop(name) for name in OPTIONS}
        reading = Reading(**reading_options | {"columns": columns_of(reading_options["columns"])})
        return command(**arguments, reading=reading)

    old = inspect.signature(command)
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in OPTIONS.items()
    ]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in old.parameters.items()
        if name != "reading"
    ]
    wrapped.__signature__ = old.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in (*parameters, *options)}
    return wrapped


def columns_of(text: str | None) -> dict[str, str]:
    """`user=who,item=what` as a dictionary. Raises `InputError` for anything else."""
    columns: dict[str, str] = {}
    for part in re.split(r",(?=\w+=)", text) if text is not None else ():
        role, is_pair, name = part.partition("=")
        if not is_pair or role in columns:
            raise InputError(f"--columns {text}: say user=NAME,item=NAME,rating=NAME, each once")
        columns[role] = name
    return columns
