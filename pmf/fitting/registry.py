"""The inferences by name, a line each, for the command line, tables and pages.

Nothing heavy is imported before one is used: `pmf --help` reads this.
"""

from importlib import import_module
from typing import Any, NamedTuple

from pmf.errors import InputError


class Entry(NamedTuple):
    """An inference in words, and where the class of its settings is."""

    label: str  # in tables, in figures and on the page
    home: str  # module:class
    steps: str  # what `num_steps` counts
    default_steps: int


INFERENCES = {
    "als": Entry("ALS", "pmf.fitting.methods.als:ALS", "sweeps at the most", 100),
    "map": Entry("MAP", "pmf.fitting.methods.map:MAP", "updates or epochs at the most", 1000),
    "gibbs": Entry("Gibbs", "pmf.fitting.methods.gibbs:Gibbs", "kept draws per chain", 100),
    "vb": Entry("VB", "pmf.fitting.methods.vb:VB", "sweeps at the most", 50),
}
LABELS = {name: entry.label for name, entry in INFERENCES.items()}
DEFAULT = "als"


def steps_in_words() -> str:
    """What a step of each inference is, and how many there are by default."""
    return "; ".join(
        f"{name}: {entry.steps}, by default {entry.default_steps}"
        for name, entry in INFERENCES.items()
    )


def inference_named(name: object) -> Any:
    """The class of an inference's settings, a `pmf.fitting.methods.base.Inference`.

    Raises `InputError` for an unknown name.
    """
    if not isinstance(name, str) or name not in INFERENCES:
        raise InputError(f"method={name!r}: known: {', '.join(INFERENCES)}")
    module, _, kind = INFERENCES[name].home.partition(":")
    return getattr(import_module(module), kind)


def owners_of(setting: str) -> list[str]:
    """The names of the inferences that have a setting."""
    return [name for name in INFERENCES if setting in inference_named(name).model_fields]
