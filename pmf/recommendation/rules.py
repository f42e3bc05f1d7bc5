"""What a list may be ranked by, by name. Light: `pmf --help` reads it."""

from typing import Literal

Rule = Literal["mean", "lower", "upper", "thompson"]
