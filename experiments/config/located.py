"""The files that a configuration names: looked for in its own folder, wherever one stands."""

import os
from pathlib import Path
from typing import Any

from experiments.config.document import Tree
from pmf.data.sources.base import NAMES
from pmf.errors import InputError


def locate(tree: Tree, path: Path) -> None:
    """Put paths from the working directory in the place of those from the configuration's folder.

    Raises `InputError` for a file of ratings that is not there but is in the working directory.
    """
    if "data" in tree:
        tree["data"] = _each(tree["data"], lambda data: _data(data, path))
    split = tree.get("split")
    if isinstance(split, dict) and "file" in split:
        split["file"] = _each(split["file"], lambda file: _beside(file, path) or file)


def _each(value: Any, change) -> Any:
    """A text changed, or each text of a list; what is neither is for a check to name."""
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return change(value) if isinstance(value, str) and value else value


def _data(data: str, path: Path) -> str:
    if data in NAMES:
        return data
    file = _beside(data, path)
    if file is None and Path(data).exists() and not Path(data).is_absolute():
        raise InputError(
            f"{path}: data: no {data} in this file's folder; of the working directory's say "
            f"--set data={data}"
        )
    if file is None and Path(data).suffix:
        return _shown(path.parent / data)
    return file or data


def _beside(file: str, path: Path) -> str | None:
    """A file in a configuration's folder, or below, or above; None without one."""
    neighbour = path.parent / file
    return _shown(neighbour) if neighbour.exists() else None


def _shown(file: Path) -> str:
    """From the working directory, where it is below that; else whole."""
    whole = Path(os.path.normpath(Path.cwd() / file))
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)
