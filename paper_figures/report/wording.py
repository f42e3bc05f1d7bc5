"""How numbers, differences and lists are put into words."""

from paper_figures.figures.estimates import Interval

NAMES = {"rmse": "RMSE", "mae": "MAE", "log_density": "log density", "crps": "CRPS",
         "ndcg@10": "NDCG@10", "recall@10": "recall@10"}  # fmt: skip
MORE_IS_BETTER = ("log_density", "ndcg@10", "recall@10")
UNDECIDED = "no difference shown"


def number(value: float, digits: int = 4, sign: bool = False) -> str:
    """A number with a true minus."""
    value = 0.0 if round(value, digits) == 0 else value
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def between(found: Interval, digits: int = 4) -> str:
    """A mean with its interval where there is one."""
    if not found.known:
        return number(found.mean, digits)
    return (f"{number(found.mean, digits)} ({number(found.low, digits)} to "
            f"{number(found.high, digits)})")  # fmt: skip


def verdict(found: Interval, metric: str = "rmse") -> str:
    """`better`, `worse`, or that no difference is shown, of a difference with its interval."""
    if not found.known or found.low <= 0 <= found.high:
        return UNDECIDED
    return "better" if (found.mean > 0) == (metric in MORE_IS_BETTER) else "worse"


def named(system: object) -> str:
    """A system's name, in quotes where it is a plain word."""
    name = str(system)
    return name if name[:1].isupper() else f"“{name}”"


def listed(parts: list[str]) -> str:
    """a, b and c; or a; b; c where a part has a comma of its own."""
    if any("," in part for part in parts):
        return "; ".join(parts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
