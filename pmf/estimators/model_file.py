"""Fitted models on disk: what they are made of, as the arrays and the header of one file."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from pmf.data.histories import Pairs, Rated
from pmf.data.ids import Ids
from pmf.data.values import Coded, arrays_of
from pmf.errors import InputError, one_line
from pmf.estimators.plausible import check_fitted
from pmf.fitting.driver import Run
from pmf.fitting.fitted import Fit, Fitted
from pmf.fitting.schedule import Record
from pmf.fitting.search import Search, Trial
from pmf.fitting.settings import (
    AnySettings,
    ContentSettings,
    HybridSettings,
    Settings,
    make_settings,
    of_method,
)
from pmf.fitting.settings_base import settings_of
from pmf.inference.optimizers import LostOptimizer, is_spec
from pmf.inference.row_features import GIVEN, RATED
from pmf.io import tensor_file
from pmf.model.priors import AnyPrior, NoisePrecision, prior_of
from pmf.types import Gaussian, Params, Prior, Regression, Side

VERSION = 2
SIDES = "user", "item"
FEATURED: dict[str, type[ContentSettings | HybridSettings]] = {
    kind.__name__: kind for kind in (ContentSettings, HybridSettings)
}


class Header(BaseModel):
    """What a model file says in words: the JSON beside its arrays."""

    kind: str = "PMF"  # earlier files hold no other
    kind_of_settings: str = Field("Settings", alias="kind of settings")
    settings: dict[str, Any]
    log_posterior: float
    prior: dict[str, Any] | None = None
    search: tuple[dict[str, float], list[Trial]]
    stopped: str
    compile_seconds: float
    phases: dict[str, float] = {}  # earlier files do not say them
    records: list[tuple[int, float, float, float]]


class Saved(NamedTuple):
    """What a model file holds."""

    kind: str  # the name of the model's class
    settings: AnySettings
    fitted: Fitted
    parts: dict[str, np.ndarray]  # what a kind has beside its fit


def save(saved: Saved, path: Path) -> None:
    """Write a fitted model of any kind, whole or not at all.

    Raises `InputError` where the folder cannot be written.
    """
    kind, settings, fitted, parts = saved
    fit = fitted.fit
    tensors = {f"part.{name}": array for name, array in parts.items()} | {
        "user.factor": fit.run.draws.user.factor,
        "user.bias": fit.run.draws.user.bias,
        "item.factor": fit.run.draws.item.factor,
        "item.bias": fit.run.draws.item.bias,
        "mu": fit.run.draws.mu,
        "prior.tau": fit.run.prior.tau,
        "prior.user.mean": fit.run.prior.user.mean,
        "prior.user.precision": fit.run.prior.user.precision,
        "prior.item.mean": fit.run.prior.item.mean,
        "prior.item.precision": fit.run.prior.item.precision,
        "noise_variance": fit.noise_variance,
        "user.count": fitted.user_count,
        "item.count": fitted.item_count,
    }
    if fit.run.draws.context is not None:
        tensors["context.factor"] = fit.run.draws.context.factor
        tensors["context.bias"] = fit.run.draws.context.bias
    for side in SIDES:
        noise_precision = getattr(fit.run.draws, side).noise_precision
        if noise_precision is not None:
            tensors[f"{side}.noise_precision"] = noise_precision
        tensors |= {
            f"prior.{side}.{features}.{name}": np.asarray(array)
            for features, regression in getattr(fit.run.prior, side).regressions.items()
            for name, array in regression._asdict().items()
        }
    if fitted.rated is not None:
        tensors |= _pack_rated(fitted.rated)
    header: dict[str, Any] = {}
    all_ids = {"user": fitted.users, "item": fitted.items, "context": fitted.contexts}
    for name, ids in all_ids.items():
        if ids is None:
            continue
        tensors |= {f"{name}.{part}": array for part, array in pack_ids(ids).items()}
    header["kind"], header["kind of settings"] = kind, type(settings).__name__
    header["settings"] = _as_json(settings)
    header["prior"] = asdict(fit.prior)
    header["log_posterior"] = fit.run.log_posterior
    header["search"], header["stopped"] = fit.search, fit.run.stopped
    header["compile_seconds"] = fit.compile_seconds
    header["phases"] = fit.phases
    header["records"] = [list(record) for record in fit.run.records]
    tensor_file.write(path, VERSION, header, tensors)


def _as_json(settings: AnySettings) -> dict[str, Any]:
    if not isinstance(settings, Settings):
        return settings.model_dump(mode="json")
    values: dict[str, Any] = to_jsonable_python(settings.flat(), serialize_unknown=True)
    optimizer = getattr(settings.inference, "optimizer", "")
    if not is_spec(optimizer):  # code, which no file holds
        values["optimizer"] = {"optax transformation": _name_of(optimizer)}
    return values


def _name_of(optimizer: Any) -> str:
    """What made an optax transformation: the update of optax.sgd's is one of optax's `chain`."""
    if isinstance(optimizer, LostOptimizer):
        return optimizer.name
    update = optimizer.update
    return f"{getattr(update, '__module__', '')}.{getattr(update, '__qualname__', type(update))}"


def _as_settings(kind: str, values: dict[str, Any]) -> AnySettings:
    """The inverse of `_as_json`. Raises `InputError` for invalid settings."""
    if kind in FEATURED:
        return settings_of(FEATURED[kind], values)
    if kind != Settings.__name__:
        raise ValueError(f"{kind!r:.99}: no kind of settings")
    match values.get("optimizer"):
        case {"optax transformation": str(name)}:
            values = values | {"optimizer": LostOptimizer(name)}
    return make_settings(of_method(values))  # earlier files hold other methods' settings too


def pack_ids(ids: Ids) -> dict[str, np.ndarray]:
    """Ids as tensors: integers as they are, words as their bytes and lengths."""
    if ids.values.dtype.kind in "iu":
        return {"ids": ids.values}
    words = [value.encode() for value in ids.values]
    letters = np.frombuffer(b"".join(words), np.uint8)
    return {"letters": letters, "lengths": np.array([len(word) for word in words], np.int64)}


def unpack_ids(tensors: Mapping[str, np.ndarray], name: str) -> Ids:
    """The inverse. Raises `ValueError` for invalid lengths and letters, and
    for ids of other types.
    """
    if f"{name}.ids" in tensors:
        ids = tensors[f"{name}.ids"]
        if ids.dtype.kind not in "iu" or ids.ndim != 1:
            raise ValueError(f"{name} ids: {ids.dtype} {ids.shape}, no list of whole numbers")
        # Of another width, as earlier models have them, they are no more left on disk.
        return Ids(ids) if ids.dtype == np.int64 else Ids.of(pd.Series(ids), f"{name} ids")
    letters, lengths = tensors[f"{name}.letters"], tensors[f"{name}.lengths"]
    if letters.dtype != np.uint8 or lengths.dtype != np.int64 or lengths.ndim != 1:
        raise ValueError(f"{name} ids: words of other types than were written")
    # Each length alone, too: a sum may wrap around.
    if np.any((lengths < 0) | (lengths > letters.size)) or lengths.sum() != letters.size:
        raise ValueError(f"{name} ids: words that are longer or shorter than their letters")
    ends, text = np.cumsum(lengths), letters.tobytes()
    words = [text[end - length : end].decode() for end, length in zip(ends, lengths, strict=True)]
    return Ids(np.array(words, dtype=object))


def _pack_rated(rated: Rated) -> dict[str, np.ndarray]:
    """Training ratings as tensors: values as the bytes, and perhaps the table, that hold them."""
    values = dict(zip(("value", "values"), arrays_of(rated.value), strict=False))
    return {f"rated.{name}": x for name, x in (rated.pairs._asdict() | values).items()}


def _unpack_rated(tensors: dict[str, np.ndarray]) -> Rated | None:
    if "rated.item" not in tensors:
        return None
    start, item, value = (tensors[f"rated.{name}"] for name in ("start", "item", "value"))
    table = tensors.get("rated.values")
    return Rated(Pairs(start, item), value if table is None else Coded(value, table))


def load(path: Path) -> Saved:
    """What `save` wrote: its arrays read, or mapped where the file is large
    (`pmf.io.tensor_file`). A mapped file must not be written into while the model is in use (`save`
    does not, it puts another in its place); the model then refuses to answer.

    Raises `InputError` naming the file where it is missing, damaged, of another format or version,
    or holds what no fit could have written: arrays that are not finite or do not fit together.
    """
    written, tensors, source = tensor_file.read(path, VERSION)
    try:
        header = Header.model_validate(written)
        settings = _as_settings(header.kind_of_settings, header.settings)
        fitted = check_fitted(header.kind, settings, _rebuild(header, tensors, settings))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: damaged content ({one_line(error)})") from error
    fitted.source = source
    parts = {n.removeprefix("part."): x for n, x in tensors.items() if n.startswith("part.")}
    return Saved(header.kind, settings, fitted, parts)


def _regressions(tensors: Mapping[str, np.ndarray], side: str) -> dict[str, Regression]:
    """A side's coefficients for each kind of features that it has."""
    kinds = [x for x in (RATED, GIVEN) if f"prior.{side}.{x}.coefficients" in tensors]
    return {
        kind: Regression(*(tensors[f"prior.{side}.{kind}.{x}"] for x in Regression._fields))
        for kind in kinds
    }


def _rebuild(header: Header, tensors: dict[str, np.ndarray], settings: AnySettings) -> Fitted:
    user, item = (
        Side(
            tensors[f"{side}.factor"],
            tensors[f"{side}.bias"],
            tensors.get(f"{side}.noise_precision"),
        )
        for side in SIDES
    )
    context, contexts = None, None
    if "context.factor" in tensors:
        context = Side(tensors["context.factor"], tensors["context.bias"])
        if header.kind == "PMF":
            contexts = unpack_ids(tensors, "context")
    tau = tensors["prior.tau"]
    one = np.ones_like(tau)
    priors = (
        Gaussian(
            tensors[f"prior.{side}.mean"],
            tensors[f"prior.{side}.precision"],
            one,
            _regressions(tensors, side),
        )
        for side in SIDES
    )
    chosen, trials = header.search
    search = Search(chosen, trials)
    run = Run(
        Params(user, item, tensors["mu"], context),
        Prior(tau, *priors),
        [Record(*record) for record in header.records],
        header.log_posterior,
        None,
        header.compile_seconds - search.compile_seconds,
        header.stopped,
    )
    prior = prior_of(header.prior) if header.prior else _earlier_prior(chosen, settings)
    fit = Fit(run, prior, tensors["noise_variance"], search, header.phases)
    users, items = (unpack_ids(tensors, side) for side in SIDES)
    counts = tensors["user.count"], tensors["item.count"]
    return Fitted(fit, users, items, *counts, _unpack_rated(tensors), contexts=contexts)


def _earlier_prior(chosen: dict[str, float], settings: AnySettings) -> AnyPrior:
    """The prior of a file from before it said so: what its search chose, or was given."""
    setting = settings.inference.given_prior if isinstance(settings, Settings) else None
    return prior_of(chosen) if chosen else setting or NoisePrecision(None)
