"""Fitted models on disk: one safetensors file with a JSON header. No pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pmf.atomic import replacing
from pmf.data.frames import Ids
from pmf.errors import InputError
from pmf.fit import Fit, Fitted
from pmf.run import Record
from pmf.settings import Settings
from pmf.tuning import Search, Trial
from pmf.types import Params, Side

FORMAT = "pmf-model"
VERSION = 1


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
        "noise_variance": fit.noise_variance,
        "user.count": fitted.user_count,
        "item.count": fitted.item_count,
    }
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    for name, ids in (("user", fitted.users), ("item", fitted.items)):
        match _id_kind(ids):
            case "integer":
                tensors[f"{name}.ids"] = ids.values.astype(np.int64)
            case "string":
                header[f"{name}.ids"] = [str(value) for value in ids.values]
    header["settings"] = _as_json(settings)
    header["log_posterior"] = fit.log_posterior
    header["search"], header["stopped"] = fit.search, fit.stopped
    header["compile_seconds"] = fit.compile_seconds
    header["records"] = [list(record) for record in fit.records]
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(path) as temporary:
        save_file(arrays, temporary, {FORMAT: json.dumps(header)})


def _as_json(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump()
    if not isinstance(values["optimizer"], str):
        values["optimizer"] = "adam"  # an optax object is code; a loaded model only predicts
    return values


def _id_kind(ids: Ids) -> str:
    if ids.values.dtype.kind in "iu":
        return "integer"
    if all(isinstance(value, str) for value in ids.values):
        return "string"
    raise InputError(
        f"ids of type {type(ids.values[0]).__name__} cannot be saved; make them integers or strings"
    )


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
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not one that pmf wrote")
    if header["version"] != VERSION:
        raise InputError(
            f"{path}: written in format version {header['version']}, this pmf reads {VERSION}; "
            "fit it again, or use the pmf that wrote it"
        )
    try:
        return _rebuild(header, tensors)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: damaged header ({type(error).__name__}: {error})") from error


def _rebuild(
    header: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[dict[str, Any], Fitted]:
    def ids(name: str) -> Ids:
        if f"{name}.ids" in tensors:
            return Ids(tensors[f"{name}.ids"])
        return Ids(np.array(header[f"{name}.ids"], dtype=object))

    draws = Params(
        Side(tensors["user.factor"], tensors["user.bias"]),
        Side(tensors["item.factor"], tensors["item.bias"]),
        tensors["mu"],
    )
    fit = Fit(
        draws,
        tensors["noise_variance"],
        [Record(*record) for record in header["records"]],
        None,
        header["log_posterior"],
        Search(header["search"][0], [Trial(*trial) for trial in header["search"][1]]),
        header["compile_seconds"],
        header["stopped"],
    )
    counts = tensors["user.count"], tensors["item.count"]
    return header["settings"], Fitted(fit, ids("user"), ids("item"), *counts)
