"""What the page keeps: models and tables for all visitors, ratings for each one."""

import hashlib
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import platformdirs
import streamlit as st

import pmf
from pmf.app.launch import DATA, MODEL, READING
from pmf.app.person import Filters, Stars, films, fold
from pmf.app.text import plain
from pmf.data.ids import collected
from pmf.data.readers.reading import Reading
from pmf.data.sources.base import BUNDLED, load_data, load_items
from pmf.data.sources.movielens import Dataset
from pmf.errors import InputError
from pmf.estimators.base import Model, known_range, rating_range
from pmf.estimators.new_users import Folded
from pmf.estimators.notices import UnknownIdWarning
from pmf.evaluate.report import Report, report
from pmf.fitting.fit import OnRecord
from pmf.fitting.progress import Watch

DEFAULT = {"rank": 16, "method": "gibbs", "num_steps": 50}
MOST_RATINGS = 1_000_000  # that a model is fitted to while somebody waits
HELD_OUT, SEED = 0.1, 0  # the share of ratings that judges a model, and how it is chosen


class Shown(NamedTuple):
    """A model, the films that it knows, and the lowest and the highest rating."""

    name: str
    model: Model
    table: pd.DataFrame
    scale: tuple[float, float]


def shown(name: str, model: Model) -> Shown:
    """A model with the titles of its films."""
    return Shown(name, model, films(titles(), model), _scale(model))


@st.cache_resource(show_spinner="Reading the titles …")
def titles() -> pd.DataFrame:
    """What is known of the films. A page opened with a model needs no more of the data set."""
    return load_items(os.environ.get(DATA) or BUNDLED)


@st.cache_resource(show_spinner="Reading the ratings …")
def dataset() -> Dataset:
    """The data set that models are fitted to on the spot: of a large one, random users' ratings.

    Somebody waits for those fits, and there may be several at a time.
    """
    reading = Reading(**json.loads(os.environ.get(READING) or "{}"))
    data = load_data(os.environ.get(DATA) or BUNDLED, reading)
    return replace(data, ratings=_of_random_users(data.ratings, MOST_RATINGS))


def say_what_is_learnt_from() -> None:
    """A line below a fit on the page: the number of its ratings."""
    ratings = dataset().ratings
    users = ratings["user_id"].nunique()
    st.caption(
        f"Fitted to {len(ratings):,} ratings of {users:,} users. Of a larger data set, random "
        f"users are taken, with {MOST_RATINGS:,} ratings or so."
    )


def _of_random_users(ratings: pd.DataFrame, most: int) -> pd.DataFrame:
    """All ratings of as many random users as have about `most` together."""
    if len(ratings) <= most:
        return ratings
    users = ratings["user_id"].drop_duplicates().sample(frac=most / len(ratings), random_state=0)
    return ratings[ratings["user_id"].isin(users)].reset_index(drop=True)


def _scale(model: Model) -> tuple[float, float]:
    """The lowest and the highest rating: by the model's settings, its ratings or the data set."""
    scale: tuple[float, float] | None = model.settings.scale
    if scale is not None:
        return scale
    return known_range(model) or rating_range(dataset().ratings["rating"])


@st.cache_resource(show_spinner=False)
def base() -> Shown:
    """The model that the page was opened with: a file's, or one fitted to the data and kept."""
    path = os.environ.get(MODEL)
    if path:
        model = pmf.load(path)
        return shown(Path(path).name, model)
    file = _kept_file()
    saved_model = _saved_model(file)
    model = fitted(DEFAULT, dataset().ratings) if saved_model is None else saved_model
    if saved_model is None:
        _keep(model, file)
    return shown(f"Gibbs, rank {DEFAULT['rank']}", model)


def _kept_file() -> Path:
    """The file of the default model: a different one for other data or another version."""
    ratings = dataset().ratings
    key = f"{pmf.__version__} {DEFAULT} {len(ratings)} {ratings['rating'].sum()} {dataset().name}"
    name = f"{dataset().name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.pmf"
    return platformdirs.user_cache_path("pmf") / "app" / name


def _saved_model(path: Path) -> Model | None:
    try:
        return pmf.load(path)
    except InputError:  # not there yet, or of another version
        return None


def _keep(model: Model, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    except (InputError, OSError):
        pass  # a page on a read-only machine fits again


def fitted(
    settings: dict[str, Any],
    train: pd.DataFrame,
    heldout: pd.DataFrame | None = None,
    on_record: OnRecord = lambda record: None,
) -> pmf.PMF:
    """A model fitted under a progress bar; `on_record` is told of every step."""
    bar, watch = st.progress(0.0, "Fitting the model …"), Watch()

    def on_step(phase: str, step: int, total: int) -> None:
        watch.on_step(phase, step, total)
        bar.progress(step / total, f"Fitting the model: {watch.in_words()}")

    model = pmf.PMF(**settings).fit(train, heldout, on_step, on_record=on_record)
    bar.empty()
    return model


def parts() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ratings to fit to, and those that judge a model."""
    ratings = dataset().ratings.sample(frac=1, random_state=SEED)
    cut = int(len(ratings) * HELD_OUT)
    return ratings[cut:], ratings[:cut]


def judge(model: Model, heldout: pd.DataFrame) -> Report:
    """The report of a model on the ratings that its fit watched."""
    with warnings.catch_warnings(action="ignore", category=UnknownIdWarning):
        return report(model, heldout, heldout=True)


@st.cache_resource(show_spinner=False)
def judged() -> Report:
    """How good a model of the settings of the page's is, fitted to a part of the ratings."""
    model, (train, heldout) = base().model, parts()
    settings = model.settings.flat() if isinstance(model, pmf.PMF) else DEFAULT
    return judge(fitted(settings, train, heldout), heldout)


@st.cache_resource(show_spinner="Reading genres and years …")
def contrasts() -> dict[str, Shown]:
    """The content-based model and the hybrid, fitted to the same ratings."""
    data = dataset()
    features = pmf.item_features(data.items, data.tags if len(data.tags) else None)
    models: dict[str, Model] = {
        "Content": pmf.Content().fit(data.ratings, features),
        "Hybrid": pmf.Hybrid(rank=16).fit(data.ratings, features),
    }
    return {name: shown(name, model) for name, model in models.items()}


def current() -> Shown:
    """The model in use: the one the page was opened with, or one fitted on the page since."""
    return st.session_state.get("model") or base()


def stars() -> Stars:
    """This visitor's ratings, item id to stars."""
    ratings: Stars = st.session_state.setdefault("stars", {})
    return ratings


def dismissed() -> set[Any]:
    """The films that this visitor dismissed."""
    items: set[Any] = st.session_state.setdefault("dismissed", set())
    return items


def person() -> Folded:
    """This visitor as a user of the model in use."""
    return person_of(current())


def person_of(shown: Shown) -> Folded:
    """This visitor as a user of a model. Ratings of films that it does not know teach it nothing,
    and are kept for another.
    """
    items = shown.model.require_fitted().items
    known = ~items.unknown(items.codes(collected(list(stars()), "your ratings")))
    ratings = zip(stars().items(), known, strict=True)
    return fold(shown.model, dict(rating for rating, is_known in ratings if is_known))


def no_filters() -> Filters:
    """Everything but what is dismissed."""
    return Filters(dismissed=frozenset(dismissed()))


def complain(error: Exception) -> None:
    """An error in one line, as text."""
    st.error(plain(str(error)), icon=":material/error:")
