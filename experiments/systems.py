"""The one registry of systems: who may predict in an experiment, by name."""

from experiments import factorization, peer, timing
from experiments.system import System

SYSTEMS: dict[str, System] = {
    "pmf": factorization.SYSTEM,
    "peer": peer.SYSTEM,
    "sweep": timing.SYSTEM,
}
