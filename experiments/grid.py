"""A configuration's tree to points: overrides, and lists expanded. Plain dictionaries only."""

import itertools
import tomllib
from pathlib import Path
from typing import Any

from pmf.errors import InputError

Tree = dict[str, Any]
Where = tuple[str, ...]

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


def points_of(tree: Tree, path: Path) -> list[Tree]:
    """Every combination of the values of list-valued keys, in the file's order.

    Raises `InputError` naming the file and the key of an empty list.
    """
    axes: list[tuple[Where, list[Any]]] = []
    for where, value in _leaves(tree, ()):
        is_axis = isinstance(value, list) and (
            where not in PAIRS or any(isinstance(item, list) for item in value)
        )
        if is_axis and not value:
            raise InputError(f"{path}: {'.'.join(where)}: an empty list leaves no run")
        axes.append((where, value if is_axis else [value]))
    points = []
    for values in itertools.product(*(values for _, values in axes)):
        point: Tree = {}
        for (where, _), value in zip(axes, values, strict=True):
            _put(point, where, value)
        points.append(point)
    return points


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
