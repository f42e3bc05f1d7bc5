"""A TOML file as a tree, refused where it holds what no experiment can: before anything is done."""

import tomllib
from pathlib import Path
from typing import Any

from pmf.errors import InputError

Tree = dict[str, Any]
DEEPEST = 16  # tables and lists inside one another
LARGEST = 2**63  # TOML promises whole numbers of 64 bits, and no more
LONGEST = 100  # letters of a name


def read(path: Path) -> Tree:
    """The file's tree. Raises `InputError` naming the file."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf8"))
    except RecursionError as error:
        raise InputError(f"{path}: brackets are nested too deeply") from error
    except (OSError, ValueError) as error:  # TOML's mistakes, and numbers of thousands of digits
        raise InputError(f"{path}: cannot be read ({error})") from error
    check(tree, str(path))
    return tree


def check(tree: Tree, source: str) -> None:
    """Raise `InputError` naming the key of what is too deep, too large or no text."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while waiting:
        where, value = waiting.pop()
        key = ".".join(where[:4]) + "..." * (len(where) > 4)
        if len(where) > DEEPEST:
            raise InputError(f"{source}: {key}: tables or lists are nested too deeply")
        if isinstance(value, dict):
            waiting += [((*where, name), content) for name, content in value.items()]
        elif isinstance(value, list):
            waiting += [((*where, str(j)), content) for j, content in enumerate(value)]
        elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
            raise InputError(f"{source}: {key}: a whole number of more than 64 bits")
        elif isinstance(value, str) and not value.isprintable():
            raise InputError(f"{source}: {key}: {value[:40]!r} has letters that cannot be printed")


def check_name(name: str, what: str, source: str) -> None:
    """Raise `InputError` where a name cannot stand in a path, in a legend or in a table."""
    if not name.strip():
        fault = "a name is needed"
    elif len(name) > LONGEST:
        fault = f"a name of more than {LONGEST} letters"
    elif not name.isprintable() or "/" in name or "\\" in name:
        fault = "a name without separators of folders or letters that cannot be printed is needed"
    elif name[0] in "._" or "$" in name:
        fault = 'a name that does not begin with "." or "_" and has no "$" is needed'
    else:
        return
    raise InputError(f"{source}: {what} {name[:40]!r}: {fault}")
