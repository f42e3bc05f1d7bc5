"""The one table of metrics: a new metric is one entry of `METRICS`.

Scores, strata, bootstrap intervals, paired comparisons, users' sums, rankings, tables, the labels
of figures and the checks of configurations all follow from the entries. One more would be

    "pinball_90": Metric("pinball loss at 90 %", LESS, RATINGS, of_rating=pinball, of_variance=True)
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.errors import InputError
from pmf.evaluate import lists, scores
from pmf.evaluate.lists import Lists
from pmf.model.predictive import Prediction

MORE, LESS = np.inf, -np.inf  # the best value is the greatest, or the least
RATINGS = "{unit}"  # the ratings' own unit, whatever it is
PERCENT = "{:.1%}"


class Metric(NamedTuple):
    """One metric: name, direction, label and computation.

    One of ratings has `of_rating`, what each rating adds: it is the mean of that over ratings, or,
    where it is `by_user`, over users of each one's own. One that needs to know which values ratings
    can have has `of_stars` instead. One of lists has `of_list`; it is named
    with the lists' length, as "ndcg@10", where they are `cut`. A cost of a run has neither.
    """

    title: str
    best: float | None = None  # MORE, LESS, or the value that is best; None: there is none
    unit: str = ""
    form: str = "{:.4f}"
    shown: bool = True  # in tables, unasked
    of_rating: Callable[[np.ndarray, Prediction], np.ndarray] | None = None  # (n,)
    of_stars: Callable[[np.ndarray, Prediction, np.ndarray], np.ndarray] | None = None  # (n,)
    of_variance: bool = False  # whether it needs one
    by_user: bool = False
    root: bool = False  # of the mean
    column: str = ""  # of users' lines, their sums or values; without it the metric's own name
    of_list: Callable[[Lists], np.ndarray] | None = None  # (users,), or one number for them all
    cut: bool = True

    def value(self, mean: np.ndarray) -> np.ndarray:
        """The metric from the mean of what ratings add."""
        return np.sqrt(np.maximum(mean, 0)) if self.root else mean

    @property
    def over_ratings(self) -> bool:
        """Whether a user counts by the number of their ratings, or else once."""
        return self.is_of_ratings and not self.by_user

    @property
    def is_of_ratings(self) -> bool:
        """Whether it is a mean of what ratings add."""
        return self.of_rating is not None or self.of_stars is not None

    @property
    def compares(self) -> bool:
        """Whether a difference of it can be better or worse."""
        return self.best in (MORE, LESS)


def _of_intervals(title: str, best: float | None, level: float, shown: bool = False) -> Metric:
    """The share of ratings inside, where some value is the best; else the intervals' width."""
    of = partial(scores.inside if best else scores.width, level)
    unit, form = ("", PERCENT) if best else (RATINGS, "{:.4f}")
    return Metric(title, best, unit, form, shown, of_rating=of, of_variance=True)


def _of_stars(
    title: str,
    best: float,
    of: Callable[[np.ndarray, Prediction, np.ndarray], np.ndarray],
    unit: str,
    form: str = "{:.4f}",
) -> Metric:
    return Metric(title, best, unit, form, shown=False, of_stars=of, of_variance=True)


METRICS: dict[str, Metric] = {
    "rmse": Metric(
        "RMSE", LESS, RATINGS, of_rating=scores.squared_error, root=True, column="squared_error"
    ),
    "mae": Metric("MAE", LESS, RATINGS, of_rating=scores.absolute_error, column="absolute_error"),
    "log_density": Metric(
        "log density", MORE, "nats", of_rating=scores.log_density, of_variance=True
    ),
    "crps": Metric("CRPS", LESS, RATINGS, of_rating=scores.crps, of_variance=True),
    "coverage_50": _of_intervals("50 % coverage", 0.5, 0.5),
    "coverage_90": _of_intervals("90 % coverage", 0.9, 0.9, shown=True),
    "sharpness_90": _of_intervals("width of 90 % intervals", None, 0.9),
    "star_log_score": _of_stars("star log score", MORE, scores.star_log_score, "nats"),
    "rps": _of_stars("RPS", LESS, scores.ranked_probability_score, RATINGS),
    "star_accuracy": _of_stars("most probable star", MORE, scores.star_hit, "", PERCENT),
    "user_rmse": Metric(
        "users' RMSE",
        LESS,
        RATINGS,
        shown=False,
        of_rating=scores.squared_error,
        by_user=True,
        root=True,
        column="squared_error",
    ),
    "user_mae": Metric(
        "users' MAE",
        LESS,
        RATINGS,
        shown=False,
        of_rating=scores.absolute_error,
        by_user=True,
        column="absolute_error",
    ),
    "ndcg": Metric("NDCG", MORE, of_list=lists.ndcg),
    "graded_ndcg": Metric("graded NDCG", MORE, shown=False, of_list=lists.graded_ndcg),
    "recall": Metric("recall", MORE, of_list=lists.recall),
    "precision": Metric("precision", MORE, shown=False, of_list=lists.precision),
    "hit_rate": Metric("hit rate", MORE, shown=False, of_list=lists.hit_rate),
    "map": Metric("mean AP", MORE, shown=False, of_list=lists.average_precision, cut=False),
    "mrr": Metric("MRR", MORE, shown=False, of_list=lists.reciprocal_rank, cut=False),
    "novelty": Metric("novelty", None, "bits", shown=False, of_list=lists.novelty),
    "popularity": Metric("popularity", None, "ratings", shown=False, of_list=lists.popularity),
    "coverage": Metric(
        "coverage of items", None, form=PERCENT, shown=False, of_list=lists.coverage
    ),
    "recovered_user": Metric("user's effect recovered", None, form=PERCENT, shown=False),
    "recovered_item": Metric("item's effect recovered", None, form=PERCENT, shown=False),
    "recovered_interaction": Metric("interaction recovered", None, form=PERCENT, shown=False),
    "fit_seconds": Metric("fit", None, "s", "{:.2f}"),
    "search_seconds": Metric("prior search", None, "s", "{:.1f}"),
    "sweep_seconds": Metric("sweep", None, "s", "{:.4f}"),
    "peak_bytes": Metric("peak memory", None, "bytes", "{:.3g}"),
    "compile_seconds": Metric("compile", None, "s", "{:.1f}"),
}


def metric_named(name: str) -> Metric:
    """The entry of a metric, with its own column; that of "ndcg@10" has "@10" in its title too.

    Raises `InputError` for a name that there is not.
    """
    base, at, cutoff = name.partition("@")
    if base not in METRICS:
        raise InputError(f"metric {name!r}: not one of {', '.join(METRICS)}")
    metric = METRICS[base]
    if at and not metric.of_list:
        raise InputError(f"metric {name!r}: a score of ratings has no @{cutoff}")
    column = (metric.column or base) + at + cutoff
    return metric._replace(title=metric.title + at + cutoff, column=column)


def compared_metric(name: str) -> Metric:
    """The entry of a metric by which systems can be compared, or `InputError`."""
    metric = metric_named(name)
    if not metric.compares:
        known = ", ".join(other for other, one in METRICS.items() if one.compares)
        raise InputError(f"metric {name!r}: more of it is neither better nor worse; not of {known}")
    return metric


def of_ratings(has_variance: bool, has_stars: bool) -> Iterator[tuple[str, Metric]]:
    """The metrics of ratings, without those that need a variance or stars where there are none."""
    for name, metric in METRICS.items():
        has_all = (has_variance or not metric.of_variance) and (has_stars or not metric.of_stars)
        if metric.is_of_ratings and has_all:
            yield name, metric_named(name)


def added(
    metric: Metric,
    rating: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
    stars: np.ndarray | None,
) -> np.ndarray:
    """What each of `n` ratings adds to a metric of ratings."""
    prediction = Prediction(mean, variance)  # type: ignore[arg-type]
    if metric.of_stars is not None:
        assert stars is not None
        return metric.of_stars(rating, prediction, stars)
    assert metric.of_rating is not None
    return metric.of_rating(rating, prediction)


def all_scores(
    user: np.ndarray,
    rating: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
    stars: np.ndarray | None = None,
) -> dict[str, float]:
    """Every score that there is of `n` ratings, and their number `n`.

    `user (n,)` numbers the users; where there is no variance, or ratings are no `stars`
    (`pmf.model.stars`), nor are there scores that need them.
    """
    rating, mean = (np.asarray(x, np.float64) for x in (rating, mean))
    order = np.argsort(user, kind="stable")
    edges = np.flatnonzero(np.diff(user[order])) + 1
    scores: dict[str, float] = {"n": len(rating)}
    for name, metric in of_ratings(variance is not None, stars is not None):
        each = added(metric, rating, mean, variance, stars)
        parts = np.split(each[order], edges) if metric.by_user else [each]
        scores[name] = float(np.mean([metric.value(np.mean(part)) for part in parts]))
    return scores


def summed(has_variance: bool, has_stars: bool) -> dict[str, Metric]:
    """The columns of users' lines that hold sums over ratings, and a metric of each."""
    return {one.column: one for _, one in of_ratings(has_variance, has_stars) if one.compares}


def user_sums(
    user: np.ndarray,
    rating: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
    stars: np.ndarray | None = None,
) -> pd.DataFrame:
    """Each user's number of ratings and sums of what they add, by user: what comparisons need.

    Columns `user_id, n, squared_error, absolute_error` and, with a variance, `log_density, crps`,
    and of stars `star_log_score, rps, star_accuracy`: those of `METRICS` that compare.
    """
    columns = {"n": np.ones(len(rating), int)}
    for column, metric in summed(variance is not None, stars is not None).items():
        columns[column] = added(metric, rating, mean, variance, stars)
    return pd.DataFrame(columns).groupby(pd.Series(user, name="user_id")).sum().reset_index()


def shown_of(names: Iterable[str]) -> list[str]:
    """Those of the names that are metrics which tables show unasked, in the order of `METRICS`."""
    base = {name: name.partition("@")[0] for name in names}
    known = [name for name in base if base[name] in METRICS and METRICS[base[name]].shown]
    return sorted(known, key=order_of)


def order_of(name: str) -> int:
    """The place of a metric in `METRICS`."""
    return list(METRICS).index(name.partition("@")[0])


def heading(name: str) -> str:
    """A metric over a column of a table: costs say their unit, scores need none."""
    metric = metric_named(name)
    judges = metric.is_of_ratings or metric.of_list
    return metric.title if judges or not metric.unit else f"{metric.title} ({metric.unit})"


def label(name: str, unit: str) -> str:
    """A metric along an axis, with its unit; `unit` is the ratings'."""
    metric = metric_named(name)
    return f"{metric.title} ({metric.unit})".replace(RATINGS, unit) if metric.unit else metric.title
