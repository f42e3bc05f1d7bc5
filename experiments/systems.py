"""The one registry of systems: who may predict in an experiment, by name."""

from experiments import factorization
from experiments.system import System

SYSTEMS: dict[str, System] = {
    "pmf": factorization.SYSTEM,
}
