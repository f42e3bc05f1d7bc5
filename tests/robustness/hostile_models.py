"""Malformed model files: damaged bytes, or wrong content under a right checksum."""

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from tests.robustness.mutations import BINARY, TEXT, spoil

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "nan",
    -1,
    0,
    10**30,
    10**400,
    2**63,
    1.5,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [1],
    [1, 2, 3, 4],
    {"x": 1},
    [{"a": "b"}, []],
    ["a", "b", "c", "d"],
)
DEEP = 200_000  # brackets that Python's JSON reader would recurse into
TYPES = "f4", "f8", "f2", "i1", "i4", "i8", "u1", "u8", "?"

Tensors = dict[str, np.ndarray]


class Content(NamedTuple):
    """What a model file holds."""

    header: dict[str, Any]
    tensors: Tensors


@cache
def good_files() -> tuple[bytes, ...]:
    """Three models of unlike shapes and ids, made without fitting: the same bytes everywhere."""
    return _model(2, True, True, 1, "i8"), _model(1, True, False, 3, None), _model(0, True, True, 1)


def _model(
    rank: int, user_bias: bool, item_bias: bool, draws: int, ids: str | None = "i4"
) -> bytes:
    from pmf.data.histories import rated_by_user
    from pmf.data.ids import Ids
    from pmf.estimators import model_file
    from pmf.fitting.driver import Run
    from pmf.fitting.fitted import Fit, Fitted
    from pmf.fitting.schedule import Record
    from pmf.fitting.search import Search, Trial
    from pmf.fitting.settings import make_settings
    from pmf.model.priors import NoisePrecision
    from pmf.types import Gaussian, Params, Prior, Ratings, Side

    rng, sizes = np.random.default_rng(rank), (6, 5)  # a row more than ids: the unknown one
    sides = [
        Side(
            rng.normal(size=(draws, n, rank)).astype("f4"),
            rng.normal(size=(draws, n, int(bias))).astype("f4"),
        )
        for n, bias in zip(sizes, (user_bias, item_bias), strict=True)
    ]
    noise = rng.uniform(0.5, 1, draws).astype("f4")
    params = Params(*sides, np.full(draws, 3.5, "f4"))
    search = Search({"tau": 1.5}, [Trial({"tau": 1.5}, 0.9, 0.1, 0.2)])
    records = [Record(1, 0.1, -9.5, float("nan")), Record(2, 0.2, -9.0, 0.9)]
    one = np.ones(draws, "f4")
    units = (np.stack([np.eye(rank + bias, dtype="f4")] * draws) for bias in (user_bias, item_bias))
    prior = Prior(one, *(Gaussian(np.zeros(x.shape[:2], "f4"), x, one) for x in units))
    run = Run(params, prior, records, -9.0, None, 0.3, "all 2 steps taken")
    fit = Fit(run, NoisePrecision(1.5), noise, search)
    values = [
        np.arange(1, n, dtype=ids) if ids else np.array([f"é{j}" for j in range(1, n)], object)
        for n in sizes
    ]
    counts = [np.arange(n)[::-1].copy() for n in sizes]
    user = np.repeat(np.arange(sizes[0]), counts[0])
    rated = rated_by_user(Ratings(user, user % (sizes[1] - 1), 0.5 + user % 4), sizes[0])
    fitted = Fitted(fit, *map(Ids, values), *counts, rated)
    settings = {"rank": rank, "user_bias": user_bias, "item_bias": item_bias}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pmf"
        named = make_settings(settings | {"scale": (0.5, 5.0), "clip": True})
        model_file.save(model_file.Saved("PMF", named, fitted, {}), path)
        return path.read_bytes()


@cache
def _content(which: int) -> Content:
    from safetensors.numpy import load

    data = good_files()[which]
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    header = json.loads(metadata["pmf-model"])
    return Content(header | {"sha256": ""}, load(data))  # a place for another checksum


def written(text: str, tensors: Tensors, seal: bool = True) -> bytes:
    """A model file of any header text and tensors, its checksum right, or missing."""
    from safetensors.numpy import save

    from pmf.io.tensor_file import FORMAT, sealed

    tensors = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    return save(tensors, {FORMAT: sealed(text, tensors) if seal else text})


def changed(
    which: int,
    header: Callable[[dict[str, Any]], Any] = lambda header: None,
    tensors: Callable[[Tensors], Any] = lambda tensors: None,
) -> bytes:
    """A good model file after changes to its header and tensors in place, its checksum right."""
    content = deepcopy(_content(which))
    header(content.header)
    tensors(content.tensors)
    return written(json.dumps(content.header), content.tensors)


def make(rng: Random) -> dict[str, bytes]:
    """Spoilt bytes, a spoilt header text, or values, types and shapes that are wrong."""
    which, kind = rng.randrange(3), rng.random()
    if kind < 0.4:
        return {"model.pmf": spoil(rng, good_files()[which], BINARY)}
    if kind < 0.5:
        content = _content(which)
        text = spoil(rng, json.dumps(content.header).encode(), TEXT).decode("latin-1")
        return {"model.pmf": written(text, content.tensors)}
    if kind < 0.505:
        deep = "[" * DEEP + "]" * DEEP
        return {"model.pmf": written(deep, _content(which).tensors)}
    if kind < 0.75:
        return {"model.pmf": changed(which, lambda header: spoil_json(rng, header))}
    return {"model.pmf": changed(which, tensors=lambda tensors: spoil_tensors(rng, tensors))}


def spoil_json(rng: Random, tree: Any) -> None:
    """Another value somewhere in a tree of lists and objects; at times a key more or less."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = rng.choice(keys)
        if not isinstance(tree[key], (dict, list)) or not tree[key] or rng.random() < 0.3:
            break
        tree = tree[key]
    match rng.randrange(6):
        case 0 if isinstance(tree, dict):
            tree[rng.choice(("self", "optimizer", "x", "settings", "rank", "\0"))] = rng.choice(
                ODD_VALUES
            )
        case 1:
            del tree[key]
        case _:
            tree[key] = deepcopy(rng.choice(ODD_VALUES))


@np.errstate(all="ignore")
def spoil_tensors(rng: Random, tensors: Tensors) -> None:
    """One array or two gone, of another type or shape, or with a number that cannot be."""
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(tensors))
        x = tensors[name].copy()
        match rng.randrange(7):
            case 0:
                del tensors[name]
                return
            case 1:
                tensors[name] = x.astype(rng.choice(TYPES))
            case 2:
                shapes = x[..., None], x[None], x.T, x[:-1], x[..., :-1], x.ravel(), x[:0]
                tensors[name] = rng.choice(shapes)
            case 3:
                other = rng.choice(list(tensors))
                tensors[name], tensors[other] = tensors[other], tensors[name]
            case 4:
                tensors[rng.choice(("x", "user.ids", "item.letters", "item.lengths"))] = x
            case _ if x.size:
                odd = (np.nan, np.inf, -np.inf, 1e38, -1.0) if x.dtype.kind == "f" else (-1, 0, 200)
                x.flat[rng.randrange(x.size)] = np.array(rng.choice(odd)).astype(x.dtype)
                tensors[name] = x


def read(folder: Path) -> None:
    """Load, and use all that a loaded model offers."""
    import warnings

    import pandas as pd

    import pmf
    from pmf.estimators.notices import UnknownIdWarning

    model = pmf.load(folder / "model.pmf")
    fitted = model.require_fitted()
    known = [ids.values[[0, -1, 0]] for ids in (fitted.users, fitted.items)]
    strangers = ["?" if isinstance(x[0], str) else -5 for x in known]
    pairs = pd.DataFrame(
        {
            name: [*x.tolist(), stranger]
            for name, x, stranger in zip(("user", "item"), known, strangers, strict=True)
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownIdWarning)
        predicted = model.predict(pairs, interval=0.9)
        lists = pmf.recommend(model, n=2, filter_seen=fitted.rated is not None)
        one = pairs[:1].assign(rating=np.clip(3.0, *(model.settings.scale or (1, 5))))
        parts = pmf.fold_in(model, one).explain(*one.iloc[0, :2])
    if len(predicted) != 4 or predicted["mean"].isna().any():
        raise AssertionError(f"predicts {predicted.to_dict('list')}")
    if lists["score"].isna().any() or parts["contribution"].isna().any():
        raise AssertionError(f"recommends {lists.to_dict('list')}")
    if fitted.fit.run.draws.item.factor.shape[-1]:
        pmf.similar_items(model, known[1][0], n=2)
    [f"{record.step:d} {record.seconds:g} {record.log_posterior:g}" for record in model.records]
    f"{model.log_posterior():g} {fitted.fit.search.seconds:g} {fitted.fit.compile_seconds:g}"
    f"{sum(model.phases.values()):g}"
    f"{fitted.user_count.sum():d} {fitted.fit.run.stopped.strip()} {model.noise_source}"
