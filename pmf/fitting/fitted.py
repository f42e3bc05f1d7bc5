"""What a fit leaves: its run, its prior and its noise, and the ids that its rows stand for."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from pmf.data.encoding import count_rows
from pmf.data.frames import Encoded
from pmf.data.histories import Rated, rated_by_user
from pmf.data.ids import Ids
from pmf.fitting.driver import Run
from pmf.fitting.search import Search
from pmf.io.source import Source
from pmf.model.hyperpriors import likely_shapes
from pmf.model.priors import AnyPrior
from pmf.types import Params, Side


@dataclass(frozen=True, eq=False, repr=False)  # arrays have no truth value: equal to itself alone
class Fit:
    """A fitted model as arrays, in the ratings' own unit."""

    run: Run
    prior: AnyPrior  # given, or chosen on held-out training ratings
    noise_variance: np.ndarray  # (s,): each draw's 1/tau; a point method's residual variance
    search: Search  # how the prior was chosen
    phases: dict[str, float] = field(default_factory=dict)  # seconds, see `pmf.fitting.phases`

    def __repr__(self) -> str:
        draws, run = draws_in_words(self.run.draws), self.run
        return f"Fit({draws}; {len(run.records)} steps: {run.stopped}; {self.search!r})"

    @cached_property
    def noise_shapes(self) -> dict[str, np.ndarray | None]:
        """Of each side's rows' own noise precisions, the likeliest shape in each draw."""

        def likely(side: Side) -> np.ndarray | None:
            precision = side.noise_precision
            return None if precision is None else likely_shapes(np.asarray(precision)[:, :-1])

        return {"user": likely(self.run.draws.user), "item": likely(self.run.draws.item)}

    def with_run(self, **changes: Any) -> "Fit":
        """The same fit of which the run left something else."""
        return replace(self, run=self.run._replace(**changes))

    @property
    def compile_seconds(self) -> float:
        return self.run.compile_seconds + self.search.compile_seconds


def draws_in_words(draws: Params) -> str:
    """How many draws, and of what: for a `repr`."""
    count, _, rank = draws.user.factor.shape
    return f"{count:,} draw{'s' * (count != 1)} of rank {rank}"


@dataclass(eq=False, repr=False)
class Fitted:
    """A fit, and the raw ids that its rows stand for.

    `fit.draws` has one row more than ids a side, the unknown row.
    Nobody rated it, so its estimate is the prior mean (ALS, MAP: the global mean plus the
    other side's bias; VB: and its own side's mean bias), and Gibbs draws it from the row prior:
    unknown ids get honest intervals.
    """

    fit: Fit
    users: Ids
    items: Ids
    user_count: np.ndarray  # training ratings of each user, 0 for the unknown row
    item_count: np.ndarray
    rated: Rated | None = None  # the training ratings, where they are kept
    source: Source | None = None  # the file that holds all of it, where it is not in memory
    contexts: Ids | None = None  # that ratings were given in

    @classmethod
    def of(
        cls, fit: Fit, encoded: Encoded, keep_ratings: bool = True, source: Source | None = None
    ) -> "Fitted":
        """A fit to these ratings, which are kept with it or only counted."""
        ratings, users, items = encoded.ratings, encoded.users, encoded.items
        counts = count_rows(ratings.user, users.num_rows), count_rows(ratings.item, items.num_rows)
        rated = rated_by_user(ratings, users.num_rows) if keep_ratings else None
        return cls(fit, users, items, *counts, rated, source, encoded.contexts)

    def __repr__(self) -> str:
        return f"Fitted({self.size_in_words}; {draws_in_words(self.fit.run.draws)})"

    @property
    def size_in_words(self) -> str:
        """The numbers of ratings, users and items: for a `repr`."""
        ratings, users, items = int(self.user_count.sum()), len(self.users), len(self.items)
        return f"{ratings:,} ratings of {users:,} users and {items:,} items"


def state_of(fitted: Fitted | None) -> str:
    """Whether a model is fitted, and to how much: for its `repr`."""
    return "not fitted" if fitted is None else f"fitted to {fitted.size_in_words}"
