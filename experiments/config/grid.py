"""A configuration's tree to points: overrides, and lists expanded. Plain dictionaries only."""

import itertools
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.config.document import Tree
from pmf.errors import InputError

Where = tuple[str, ...]
Axes = list[tuple[Where, list[Any]]]

PAIRS = {("model", "scale")}  # settings whose one value is a list


def override(tree: Tree, text: str) -> None:
    """Set one leaf, as `model.rank=32` or `arm.ALS.rank=[8, 16]` say. A bare word is a string."""
    key, _, value = text.partition("=")
    *sections, name = (part.strip() for part in key.strip().split("."))
    if not value or not name:
        raise InputError(f"--set {text}: say section.key=value, as in model.rank=32")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise InputError(f"--set {text}: {section} is not a section")
    try:
        tree[name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        tree[name] = value.strip()
    except (ValueError, RecursionError) as error:
        raise InputError(f"--set {key}: a number too long, or brackets too deep") from error


def axes_of(tree: Tree, path: Path) -> Axes:
    """Every leaf with the values that it takes: those of a list, or one.

    Raises `InputError` naming the file and the key of an empty list.
    """
    axes: Axes = []
    for where, value in _leaves(tree, ()):
        is_axis = isinstance(value, list) and (
            where not in PAIRS or any(isinstance(item, list) for item in value)
        )
        if is_axis and not value:
            raise InputError(f"{path}: {'.'.join(where)}: an empty list leaves no run")
        axes.append((where, value if is_axis else [value]))
    return axes


def count_of(axes: Axes) -> int:
    """How many points there are, without making them."""
    return math.prod(len(values) for _, values in axes)


def points_of(axes: Axes) -> Iterator[Tree]:
    """Every combination of the axes' values, in the file's order."""
    places = [where for where, _ in axes]
    for values in itertools.product(*(values for _, values in axes)):
        yield _point(places, values)


def samples_of(axes: Axes) -> Iterator[Tree]:
    """As many points as let every axis take each of its values: all that can be mistaken alone."""
    places, first = [where for where, _ in axes], [values[0] for _, values in axes]
    for j, (_, values) in enumerate(axes):
        for value in values:
            yield _point(places, [*first[:j], value, *first[j + 1 :]])


def _point(places: list[Where], values: Any) -> Tree:
    point: Tree = {}
    for where, value in zip(places, values, strict=True):
        _put(point, where, value)
    return point


def _leaves(tree: Tree, where: Where) -> list[tuple[Where, Any]]:
    leaves = []
    for name, value in tree.items():
        inside = isinstance(value, dict) and bool(value)
        leaves += _leaves(value, (*where, name)) if inside else [((*where, name), value)]
    return leaves


def _put(tree: Tree, where: Where, value: Any) -> None:
    for section in where[:-1]:
        tree = tree.setdefault(section, {})
    tree[where[-1]] = value


def flattened(tree: Tree, prefix: str = "") -> Tree:
    """Nested tables as one, with dotted names: {"split": {"fold": 1}} is {"split.fold": 1}."""
    return {".".join(where): value for where, value in _leaves(tree, (prefix,) if prefix else ())}
