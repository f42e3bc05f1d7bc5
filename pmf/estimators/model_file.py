"""Fitted models on disk: one safetensors file with a JSON header. No pickle."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python
from safetensors import SafetensorError
from safetensors.numpy import save_file

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
from pmf.io.atomic import replacing
from pmf.io.pytrees import digest, digest_of
from pmf.io.source import Source
from pmf.model.priors import AnyPrior, NoisePrecision, prior_of
from pmf.types import Gaussian, Params, Prior, Regression, Side

FORMAT = "pmf-model"
CHECKSUM = "sha256"
VERSION = 2
SMALL = 1 << 26  # bytes up to which a file is read, not mapped
SIDES = "user", "item"
FEATURED: dict[str, type[ContentSettings | HybridSettings]] = {
    kind.__name__: kind for kind in (ContentSettings, HybridSettings)
}
TYPES = {"BOOL": "?"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)
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
    if fit.run.draws.context is not None and fitted.contexts is not None:
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
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION, CHECKSUM: ""}
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
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, {FORMAT: sealed(json.dumps(header), arrays)})
        except SafetensorError as error:  # a full disk, a limit on file size
            raise InputError(f"cannot write {path}: {error}") from error


def sealed(text: str, tensors: dict[str, np.ndarray]) -> str:
    """A header's text with the checksum in the place that it leaves for it.

    It is the sha256 of the text with that place empty, and of every tensor with its name, type and
    shape.
    """
    empty = f'"{CHECKSUM}": ""'
    return text.replace(empty, f'{empty[:-1]}{_checksum(text, tensors)}"', 1)


def _is_whole(text: str, digest: object, tensors: dict[str, np.ndarray]) -> bool:
    """Whether the checksum `digest` in a header's text is right."""
    return isinstance(digest, str) and digest == _checksum(text.replace(digest, "", 1), tensors)


def _checksum(text: str, tensors: dict[str, np.ndarray]) -> str:
    parts = [f"{name} {digest(tensors[name])}" for name in sorted(tensors)]
    return digest_of("\n".join([text, *parts]).encode())


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
    """What `save` wrote: its arrays read, or mapped where the file is not `SMALL`. A mapped file
    must not be written into while the model is in use (`save` does not, it puts another in its
    place); the model then refuses to answer.

    Raises `InputError` naming the file where it is missing, damaged, of another format or version,
    or holds what no fit could have written: arrays that are not finite or do not fit together.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such model file")
    try:
        with open(path, "rb") as file:  # once: another file may take its place at any time
            data, source = _bytes_of(file, path)
        text, tensors = _tensors(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a model file, or a damaged one ({error})") from error
    written = _parsed(text)
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not one that pmf wrote")
    if written.get("version") != VERSION:
        raise InputError(
            f"{path}: written in format version {written.get('version')!r:.99}, this pmf reads "
            f"{VERSION}; fit it again, or use the pmf that wrote it"
        )
    if not _is_whole(text, written.get(CHECKSUM), tensors):
        raise InputError(f"{path}: damaged: its sha256 does not match")
    try:
        header = Header.model_validate(written)
        settings = _as_settings(header.kind_of_settings, header.settings)
        fitted = check_fitted(settings, _rebuild(header, tensors, settings))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: damaged content ({one_line(error)})") from error
    fitted.source = source
    parts = {n.removeprefix("part."): x for n, x in tensors.items() if n.startswith("part.")}
    return Saved(header.kind, settings, fitted, parts)


def _bytes_of(file: IO[bytes], path: Path) -> tuple[np.ndarray, Source | None]:
    """What a file holds; of a large one it is left on disk: what is read comes to memory, and the
    system may take it back.
    """
    if os.fstat(file.fileno()).st_size <= SMALL:
        return np.frombuffer(file.read(), np.uint8), None
    source = Source(file.fileno(), path)
    return np.asarray(np.memmap(file, np.uint8, "r")), source


def _tensors(data: np.ndarray) -> tuple[str, dict[str, np.ndarray]]:
    """Our text in a safetensors file, and the tensors, each where it lies in `data`.

    Raises `ValueError`, `KeyError` or `TypeError` for what is no such file: tensors follow one
    another up to the file's end.
    """
    size = int.from_bytes(data[:8].tobytes(), "little")
    header, rest = _parsed(data[8 : 8 + size].tobytes()), data[8 + size :]
    if len(data) < 8 + size or not isinstance(header, dict):
        raise ValueError("no header of safetensors")
    text = header.pop("__metadata__", {}).get(FORMAT, "{}")
    tensors, last = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != last or not begin <= end <= len(rest):
            raise ValueError(f"{name:.99} does not lie behind the one before")
        tensors[name] = rest[begin:end].view(TYPES[entry["dtype"]]).reshape(entry["shape"])
        last = end
    if last != len(rest):
        raise ValueError("it goes on behind the last tensor")
    return text, tensors


def _parsed(text: str | bytes) -> Any:
    """The value of a JSON text; None if it is invalid or nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
