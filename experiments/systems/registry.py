"""Who may predict in an experiment, by name: the registry, or an object in a file of one's own."""

from experiments.systems import factorization, featured, from_file, timing
from experiments.systems.base import System
from experiments.systems.rivals import system
from pmf.errors import InputError, hint

SYSTEMS: dict[str, System] = {
    "pmf": factorization.SYSTEM,
    "content": featured.CONTENT,
    "hybrid": featured.HYBRID,
    "featured": featured.FEATURED,
    "peer": system.SYSTEM,
    "sweep": timing.SYSTEM,
}


def system_named(name: str) -> System:
    """A system of the registry, or of a file. Raises `InputError` for an unknown name."""
    if from_file.is_file(name):
        return from_file.load_system(name)
    if name in SYSTEMS:
        return SYSTEMS[name]
    raise InputError(f"system={name!r}: {hint(name, [*SYSTEMS, 'FILE.py:NAME'])}")


def code_of(name: str) -> str:
    """The sha256 of the file that a system of one's own is in; "" of the registry's."""
    return from_file.sha256(name) if from_file.is_file(name) else ""


def check_code(name: str, recorded: str) -> None:
    """Raise `InputError` where a system's file, which is not run, has changed."""
    if (now := code_of(name)) != recorded:
        raise InputError(
            f"{name}: the sha256 of its file is {now}, and was {recorded} when the run was named; "
            "a run is of one system only"
        )


def label_of(name: str) -> str:
    """What a system is called in tables and identities."""
    return from_file.label(name) if from_file.is_file(name) else name
