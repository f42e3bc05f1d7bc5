"""Each call's types and array shapes are checked against the function's signature."""

import re
from pathlib import Path

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import install_import_hook

LIBRARY = Path(__file__).parents[2] / "pmf"
PARTS = "model/*.py", "inference/**/*.py", "parallel/*.py", "recommendation/scores.py"
NUMBA = re.compile("^(import|from) numba", re.MULTILINE)
NUMBERS = {int: int | np.integer, float: float | int | np.floating | np.integer}

checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict(NUMBERS)))


def modules() -> list[str]:
    """What is checked: all but what numba compiles, which takes no function around another."""
    files = [file for part in PARTS for file in LIBRARY.glob(part) if file.stem != "__init__"]
    plain = [file for file in files if not NUMBA.search(file.read_text())]
    return [".".join(file.relative_to(LIBRARY.parent).with_suffix("").parts) for file in plain]


def check_calls() -> None:
    """Before any of the modules is imported."""
    install_import_hook(modules(), f"{__name__}.checked")
