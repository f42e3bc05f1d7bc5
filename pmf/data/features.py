"""What is known of items beside their ratings, as named numbers: genres, decade, tags.

Each kind of feature has length 1 (tags: at most), so that no item counts for more because more is
written about it, and is centred over the items: what is average says nothing.

Tags are written by users: one may tell what its writer thought of the item, and that its writer has
seen it. So a held-out pair's own tags should be left out, or all that were written after a time.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack

from pmf.data.checks import rows_of, shown
from pmf.data.frames import pairs
from pmf.data.ids import Ids, factorize
from pmf.data.tables import Table, as_frame
from pmf.data.times import moment, to_seconds
from pmf.errors import InputError

TAG_COMPONENTS = 64  # what a model is given of the tags; more predict little better
MOST_TAGS = 5000  # the vocabulary: the most frequent of the tags that two items have
NO_GENRE = "(no genres listed)"


class Kind(NamedTuple):
    """Features of one kind; `loadings` map them to the model's features."""

    names: list[str]
    values: csr_array
    loadings: np.ndarray


class FeatureTable(NamedTuple):
    """Each item's (or user's) p named features x, and the d <= p numbers z that a model is given.

        z = (x - mean) loadings

    Weights v on z are weights `loadings v` on the named features: a profile stays readable. One
    that has none of a kind, as an item without a year, has the mean of that kind.
    """

    ids: Ids
    names: np.ndarray  # (p,) such as "genre: Drama", "decade: 1990s", "tag: surreal"
    values: csr_array  # (n, p)
    mean: np.ndarray  # (p,)
    loadings: np.ndarray  # (p, d)

    def __repr__(self) -> str:
        names, numbers = self.loadings.shape
        return f"FeatureTable({len(self.ids):,} rows, {names:,} features in {numbers} numbers)"

    @property
    def width(self) -> int:
        """d, how many numbers describe each row."""
        return int(self.loadings.shape[1])

    def table(self, ids: Ids) -> np.ndarray:
        """z of these ids, float32, and a last row for an unknown one.

        Without metadata a row has the mean features, z = 0.
        """
        row = self.ids.codes(pd.Series(ids.values, name="id"), "the ratings")
        z = np.zeros((len(ids) + 1, self.width), np.float32)
        known = np.flatnonzero(~self.ids.unknown(row))
        z[known] = self.values[row[known]] @ self.loadings - self.mean @ self.loadings
        return z

    def profile(self, weights: np.ndarray) -> pd.Series:
        """Weights (d,) on z as weights on the named features, the strongest first."""
        return _strongest(pd.Series(self.loadings @ weights, self.names))

    def contributions(self, item: object, weights: np.ndarray) -> pd.Series:
        """What each named feature of an item adds to z . weights; they sum to it.

        Empty for an item without metadata.
        """
        row = self.ids.row(item, "item_id")
        if row == len(self.ids):
            return pd.Series(dtype=float)
        deviation = self.values[[row]].toarray()[0] - self.mean
        return _strongest(pd.Series(deviation * (self.loadings @ weights), self.names))


def _strongest(series: pd.Series) -> pd.Series:
    order = np.argsort(-np.abs(series.to_numpy()), kind="stable")
    return series.iloc[order]


def item_features(
    items: Table,
    tags: Table | None = None,
    tag_components: int = TAG_COMPONENTS,
    tags_before: object = None,
    without: Table | None = None,
) -> FeatureTable:
    """Features from the tables `items` and `tags` of a `pmf.data.sources.movielens.Dataset`.

    Genres are one-hot; the year is a decade, one-hot; tags, each a term whatever its words, are
    TF-IDF weights with sublinear counts (Salton & Buckley 1988), reduced to `tag_components` by a
    truncated singular value decomposition. Left out are tags written at the time `tags_before`
    or later (in any form of `pmf.data.times`), and those of the (user_id, item_id) pairs of
    `without`, such as test ratings.

    Raises `InputError` where an item occurs twice, where nothing is known of any, and for tags
    without scikit-learn.
    """
    items = as_frame(items, "the table of items")
    tags = None if tags is None else as_frame(tags, "the table of tags")
    if "item_id" not in items or not {"genres", "year"} & set(items.columns):
        raise InputError(
            f"no item features: a table with item_id and genres or year is needed, this one has "
            f"{list(items.columns)}"
        )
    code, values = factorize(items["item_id"], "the table of items")
    if len(values) < len(code):
        twice = values[np.argmax(np.bincount(code) > 1)]
        raise InputError(f"the table of items has item {shown(twice)} twice; keep one row of each")
    ids = Ids(values)
    kinds = []
    if "genres" in items:
        kinds.append(_genres(items["genres"]))
    if "year" in items:
        kinds.append(_decades(items["year"]))
    left_out = None if without is None else as_frame(without, "without")
    written = _documents(ids, _allowed(tags, tags_before, left_out))
    if tag_components and any(written):
        kinds.append(_tags(written, tag_components))
    kinds = [kind for kind in kinds if kind.names]
    if not kinds:
        raise InputError("no item features: no item has a genre, a year or a tag")
    return side_by_side(ids, kinds)


def side_by_side(ids: Ids, kinds: list[Kind]) -> FeatureTable:
    """Features of several kinds, at least one, of the same rows."""
    width = np.cumsum([0, *(kind.loadings.shape[1] for kind in kinds)])
    loadings = [
        np.pad(kind.loadings, ((0, 0), (begin, width[-1] - end)))
        for kind, begin, end in zip(kinds, width[:-1], width[1:], strict=True)
    ]
    values = csr_array(hstack([kind.values for kind in kinds], format="csr"))
    names = np.array([name for kind in kinds for name in kind.names], dtype=object)
    return FeatureTable(ids, names, values, values.mean(axis=0), np.concatenate(loadings))


def one_hot(prefix: str, table: pd.DataFrame) -> Kind:
    """Rows of length 1; where a row has none, the mean of those that have one."""
    values = table.to_numpy(np.float64)
    length = np.sqrt(values.sum(axis=1, keepdims=True))
    values = values / np.maximum(length, 1)
    has = length[:, 0] > 0
    if has.any():
        values[~has] = values[has].mean(axis=0)
    names = [f"{prefix}: {name}" for name in table.columns]
    return Kind(names, csr_array(values), np.eye(len(names)))


def _genres(genres: pd.Series) -> Kind:
    table = genres.fillna("").astype(str).str.get_dummies("|")
    return one_hot("genre", table.drop(columns=[NO_GENRE, ""], errors="ignore"))


def _decades(year: pd.Series) -> Kind:
    decade = year.astype("Int32") // 10 * 10
    return one_hot("decade", pd.get_dummies(decade.astype("string") + "s"))


def _allowed(
    tags: pd.DataFrame | None, before: object, without: pd.DataFrame | None
) -> pd.DataFrame:
    if tags is None or tags.empty:
        return pd.DataFrame({"item_id": [], "tag": []})
    needed = {"item_id", "tag"} | ({"timestamp"} if before is not None else set())
    needed |= {"user_id"} if without is not None else set()
    if missing := needed - set(tags.columns):
        raise InputError(f"the tags have no column {', '.join(sorted(missing))}")
    if before is not None:
        written = to_seconds(tags["timestamp"], rows_of("the tags"))
        tags = tags[written < moment(before, "tags_before")]
    if without is not None:
        tags = tags[~_among(tags, pairs(without, "the pairs to leave out"))]
    return tags.dropna(subset="tag")


def _among(tags: pd.DataFrame, left_out: pd.DataFrame) -> np.ndarray:
    """Which tags are of one of these (user, item) pairs."""
    (user, users), (item, items) = (
        factorize(left_out[name], "the pairs to leave out") for name in ("user_id", "item_id")
    )
    user_of, item_of = (
        Ids(known).codes(tags[name], "the tags")
        for known, name in ((users, "user_id"), (items, "item_id"))
    )
    width = np.int64(len(items) + 1)  # codes of unknown ones make pairs that are left out by nobody
    return np.isin(user_of * width + item_of, user * width + item)


def _documents(ids: Ids, tags: pd.DataFrame) -> list[list[str]]:
    """The tags that were given to each item, as often as they were given."""
    written: list[list[str]] = [[] for _ in range(len(ids))]
    for row, tag in zip(ids.codes(tags["item_id"], "the tags"), tags["tag"], strict=True):
        if row < len(ids):
            written[row].append(str(tag).strip().lower())
    return written


def _tags(written: list[list[str]], components: int) -> Kind:
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise InputError(
            "tags as features need scikit-learn: pip install 'pmf[content]', or say "
            "tag_components=0"
        ) from error
    shared = pd.Series([tag for tags in written for tag in sorted(set(tags))]).value_counts()
    vocabulary = sorted(shared[shared > 1].index[:MOST_TAGS])
    if not vocabulary:
        return Kind([], csr_array((len(written), 0)), np.zeros((0, 0)))
    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=vocabulary, sublinear_tf=True)
    values = csr_array(vectorizer.fit_transform(written))
    loadings = np.eye(len(vocabulary))
    if components < len(vocabulary):
        svd = TruncatedSVD(components, random_state=0, n_iter=10)
        loadings = svd.fit(values).components_.T
    return Kind([f"tag: {tag}" for tag in vocabulary], values, loadings)
