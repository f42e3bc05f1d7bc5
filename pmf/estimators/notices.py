"""What a model says of users, items and contexts that it does not know: warnings, each once."""

import warnings

import numpy as np
import pandas as pd

from pmf.data.contexts import ASCENDING, contexts_of
from pmf.data.ids import Ids
from pmf.data.tables import Table, as_frame
from pmf.fitting.fitted import Fitted


class UnknownIdWarning(UserWarning):
    """Some pairs have a user or an item that is unknown to the model."""


class UnknownContextWarning(UserWarning):
    """Some pairs are in a context, such as a day, that is unknown to the model."""


class OverlapWarning(UserWarning):
    """Some test pairs are among what the model was fitted to."""


_shown: set[tuple[type[Warning], str]] = set()


def warn(text: str, category: type[Warning], stacklevel: int) -> None:
    """As `warnings.warn`, but the same words once per process, not once per line of a notebook.

    Python's own memory of what was shown is lost whenever a library changes the filters for a
    while, as those under this one do. A filter that says "always" or "error" is obeyed.
    """
    actions = (
        action
        for action, message, kind, module, line in warnings.filters
        if issubclass(category, kind) and not (message or module or line)
    )
    if next(actions, "default") in ("always", "error") or (category, text) not in _shown:
        _shown.add((category, text))
        warnings.warn(text, category, stacklevel=stacklevel + 1)


def row_numbers(fitted: Fitted, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
    user = fitted.users.codes(ids["user_id"], source)
    item = fitted.items.codes(ids["item_id"], source)
    no_user, no_item = fitted.users.unknown(user).sum(), fitted.items.unknown(item).sum()
    if no_user or no_item:
        counts = {"user": no_user, "item": no_item}
        unknown = ", ".join(f"{n:,} an unknown {side}" for side, n in counts.items() if n)
        warn(
            f"{source}: {unknown.replace(' ', f' of {len(user):,} pairs have ', 1)}; they are "
            "predicted by the mean and the known bias",
            UnknownIdWarning,
            stacklevel=4,
        )
    return user, item


def context_numbers(ids: Ids, by: str, frame: Table, source: str) -> np.ndarray:
    """The number of each row's context, the last where it is unknown: such are counted in one
    `UnknownContextWarning`.
    """
    contexts, says = contexts_of(frame, by, source), ""
    if contexts is None:
        row = np.full(len(as_frame(frame, source)), len(ids), np.int32)
        says = f"no column for context={by!r}"
    else:
        row = ids.codes(contexts, source)
        if count := int(ids.unknown(row).sum()):
            says = f"{count:,} of {len(row):,} rows have a {by} that is unknown to the model"
            if by in ASCENDING and (later := int((contexts > ids.values[-1]).sum())):
                says += f", {later:,} of them after the last training {by}"
    if says:
        text = f"{source}: {says}; such are predicted as in any {by}"
        warn(text, UnknownContextWarning, stacklevel=5)
    return row


def known_alone(ids: Ids, codes: np.ndarray, source: str, name: str) -> np.ndarray:
    """Which codes stand for known ids; the others are counted in one `UnknownIdWarning`."""
    known = ~ids.unknown(codes)
    if not known.all():
        warn(
            f"{source}: {(~known).sum():,} of {len(known):,} have an {name} unknown to the model; "
            "they are ignored",
            UnknownIdWarning,
            stacklevel=5,
        )
    return known
