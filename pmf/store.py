"""Fitted models on disk: one safetensors file with a JSON header. No pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pmf.atomic import replacing
from pmf.data.compact import Coded, stored
from pmf.data.frames import Ids
from pmf.data.pairs import Pairs, Rated
from pmf.errors import InputError
from pmf.fit import Fit, Fitted
from pmf.settings import Settings
from pmf.tuning import Search, Trial
from pmf.types import Gaussian, Params, Prior, Side
from pmf.watch import Record

FORMAT = "pmf-model"
VERSION = 2


def save(settings: Settings, fitted: Fitted, path: Path) -> None:
    """Write a fitted model, whole or not at all.

    Raises `InputError` where its ids are neither integers nor strings, or the folder cannot be
    written.
    """
    fit = fitted.fit
    tensors = {
        "user.factor": fit.draws.user.factor,
        "user.bias": fit.draws.user.bias,
        "item.factor": fit.draws.item.factor,
        "item.bias": fit.draws.item.bias,
        "mu": fit.draws.mu,
        "prior.tau": fit.prior.tau,
        "prior.user.mean": fit.prior.user.mean,
        "prior.user.precision": fit.prior.user.precision,
        "prior.item.mean": fit.prior.item.mean,
        "prior.item.precision": fit.prior.item.precision,
        "noise_variance": fit.noise_variance,
        "user.count": fitted.user_count,
        "item.count": fitted.item_count,
    }
    if fitted.rated is not None:
        tensors |= _pack_rated(fitted.rated)
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    for name, ids in (("user", fitted.users), ("item", fitted.items)):
        tensors |= {f"{name}.{part}": array for part, array in _pack(ids).items()}
    header["settings"] = _as_json(settings)
    header["log_posterior"] = fit.log_posterior
    header["search"], header["stopped"] = fit.search, fit.stopped
    header["compile_seconds"] = fit.compile_seconds
    header["records"] = [list(record) for record in fit.records]
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, {FORMAT: json.dumps(header)})
        except SafetensorError as error:  # a full disk, a limit on file size
            raise InputError(f"cannot write {path}: {error}") from error


def _as_json(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump()
    if not isinstance(values["optimizer"], str):
        values["optimizer"] = "adam"  # an optax object is code; a loaded model only predicts
    return values


def _pack(ids: Ids) -> dict[str, np.ndarray]:
    """Ids as tensors: integers as they are, words as their bytes and lengths."""
    if ids.values.dtype.kind in "iu":
        return {"ids": ids.values}
    if not all(isinstance(value, str) for value in ids.values):
        raise InputError(
            f"ids of type {type(ids.values[0]).__name__} cannot be saved; "
            "make them integers or strings"
        )
    words = [value.encode() for value in ids.values]
    letters = np.frombuffer(b"".join(words), np.uint8)
    return {"letters": letters, "lengths": np.array([len(word) for word in words], np.int64)}


def _unpack(tensors: dict[str, np.ndarray], name: str) -> Ids:
    if f"{name}.ids" in tensors:
        return Ids(tensors[f"{name}.ids"])
    letters, ends = tensors[f"{name}.letters"].tobytes(), np.cumsum(tensors[f"{name}.lengths"])
    begins = np.concatenate([[0], ends[:-1]])
    words = [letters[a:b].decode() for a, b in zip(begins, ends, strict=True)]
    return Ids(np.array(words, dtype=object))


def _pack_rated(rated: Rated) -> dict[str, np.ndarray]:
    """Training ratings as tensors: values as the bytes, and perhaps the table, that hold them."""
    values = dict(zip(("value", "values"), stored(rated.value), strict=False))
    return {f"rated.{name}": x for name, x in (rated.pairs._asdict() | values).items()}


def _unpack_rated(tensors: dict[str, np.ndarray], num_users: int, num_items: int) -> Rated | None:
    if "rated.item" not in tensors:
        return None
    start, item, value = (tensors[f"rated.{name}"] for name in ("start", "item", "value"))
    table = tensors.get("rated.values")
    ends = len(start) == num_users + 1 and start[0] == 0 and start[-1] == len(item) == len(value)
    inside = not len(item) or 0 <= item.min() <= item.max() < num_items
    coded = table is None or not len(value) or value.max() < len(table)
    if not (ends and np.all(np.diff(start) >= 0) and inside and coded):
        raise ValueError("its training ratings do not fit together")
    return Rated(Pairs(start, item), value if table is None else Coded(value, table))


def load(path: Path) -> tuple[dict[str, Any], Fitted]:
    """The settings and the fitted arrays that `save` wrote.

    Raises `InputError` where the file is missing, damaged, or of another format or version.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such model file")
    try:
        with safe_open(path, "numpy") as file:
            header = json.loads((file.metadata() or {}).get(FORMAT, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a model file, or a damaged one ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not one that pmf wrote")
    if header.get("version") != VERSION:
        raise InputError(
            f"{path}: written in format version {header.get('version')}, this pmf reads {VERSION}; "
            "fit it again, or use the pmf that wrote it"
        )
    try:
        return _rebuild(header, tensors)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged content ({type(error).__name__}: {error})") from error


def _rebuild(
    header: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[dict[str, Any], Fitted]:
    draws = Params(
        Side(tensors["user.factor"], tensors["user.bias"]),
        Side(tensors["item.factor"], tensors["item.bias"]),
        tensors["mu"],
    )
    tau = tensors["prior.tau"]
    one = np.ones_like(tau)
    sides = (
        Gaussian(tensors[f"prior.{side}.mean"], tensors[f"prior.{side}.precision"], one)
        for side in ("user", "item")
    )
    fit = Fit(
        draws,
        Prior(tau, *sides),
        tensors["noise_variance"],
        [Record(*record) for record in header["records"]],
        None,
        header["log_posterior"],
        Search(header["search"][0], [Trial(*trial) for trial in header["search"][1]]),
        header["compile_seconds"],
        header["stopped"],
    )
    counts = tensors["user.count"], tensors["item.count"]
    users, items = _unpack(tensors, "user"), _unpack(tensors, "item")
    for ids, side, count in zip((users, items), draws[:2], counts, strict=True):
        rows = {len(ids) + 1, len(count), side.factor.shape[1], side.bias.shape[1]}
        if len(rows) != 1 or side.factor.shape[0] != len(fit.noise_variance):
            raise ValueError("its tables differ in length")
    rated = _unpack_rated(tensors, len(counts[0]), len(counts[1]))
    return header["settings"], Fitted(fit, users, items, *counts, rated)
