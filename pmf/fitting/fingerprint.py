"""What fixes a run's numbers bit for bit: its settings, its data, and the software below it."""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
import numpy as np
from pydantic_core import to_jsonable_python

from pmf.data.contexts import ContextRows
from pmf.data.values import arrays_of
from pmf.fitting.settings import Settings
from pmf.inference.optimizers import is_spec
from pmf.io.pytrees import digest
from pmf.types import Ratings

NOTHING: Mapping[str, np.ndarray] = {}
PACKAGES = "pmf", "jax", "jaxlib"
ONLY_ROUNDING = {"devices"}  # a run may go on over another number of them
AFTER_THE_RUN = {"scale", "clip", "store_ratings"}  # `scale` only refuses ratings, and clips
BEFORE_THE_RUN = {"duplicates"}  # they are gone from the ratings that the run sees


def fingerprint(
    settings: Settings,
    ratings: Ratings,
    num_users: int,
    num_items: int,
    heldout: Ratings | None,
    given: Mapping[str, np.ndarray] = NOTHING,
    contexts: ContextRows | None = None,
) -> dict[str, Any]:
    """Names and values: two runs alike in all of them have the same numbers, on as many devices.

    An optax object is code and counts by its presence only; the digest of the compiled step, which
    the driver adds, tells two of them apart.
    """
    without = AFTER_THE_RUN | BEFORE_THE_RUN | ONLY_ROUNDING
    values = {name: value for name, value in settings.flat().items() if name not in without}
    if not is_spec(values.get("optimizer", "")):
        values["optimizer"] = "an optax transformation"
    return {
        **{f"setting {name}": to_jsonable_python(value) for name, value in values.items()},
        "rows": [num_users, num_items],
        "training ratings": digest(ratings.user, ratings.item, *arrays_of(ratings.value)),
        "held-out ratings": digest(*heldout) if heldout is not None else "none",
        **{f"{side} features": digest(table) for side, table in given.items()},
        **_of_contexts(contexts),
        **{f"{package} version": metadata.version(package) for package in PACKAGES},
        "platform": sorted({f"{device.platform} {device.device_kind}" for device in jax.devices()}),
        "64-bit JAX": bool(jax.config.read("jax_enable_x64")),
    }


def _of_contexts(contexts: ContextRows | None) -> dict[str, Any]:
    if contexts is None:
        return {}
    train, num_rows, heldout = contexts
    watched = "none" if heldout is None else digest(heldout)
    return {"contexts": [num_rows, digest(train)], "held-out contexts": watched}
