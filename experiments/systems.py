"""The one registry of systems: who may predict in an experiment, by name."""

from experiments import factorization, featured, peer, timing
from experiments.system import System

SYSTEMS: dict[str, System] = {
    "pmf": factorization.SYSTEM,
    "content": featured.CONTENT,
    "hybrid": featured.HYBRID,
    "peer": peer.SYSTEM,
    "sweep": timing.SYSTEM,
}
