"""Ask a rival library for predictions, in a process of its own; whatever it does, go on.

A rival that cannot be imported, raises, crashes, is killed, runs too long or predicts what is no
number is a result: its `Outcome` says so in `error`. How each is called is in
`experiments.systems.rivals.worker`.
"""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pmf.errors import InputError
from pmf.types import Ratings

WORKER = Path(__file__).parent / "worker.py"
QUIET = {"TQDM_DISABLE": "1", "OPENBLAS_NUM_THREADS": "1"}  # their own threads, not BLAS's besides


class Range(NamedTuple):
    """What a tuner may choose for an option; whole numbers where `low` is one."""

    name: str
    low: float
    high: float
    log: bool = True


class Rival(NamedTuple):
    """A library's method. The number of factors is `rank` everywhere; all other options have their
    library's own names, and `options` its own defaults. `space` is what a tuner may vary besides.
    """

    module: str
    package: str
    options: dict[str, Any]
    space: tuple[Range, ...]
    cold: str  # what it predicts for a user or an item without training ratings
    has_variance: bool = False


GLOBAL_MEAN = "the mean of the training ratings"
RIVALS = {
    "cmfrec": Rival(
        "cmfrec",
        "cmfrec",
        {"rank": 40, "lambda_": 10.0, "lambda_bias": 10.0, "niter": 10, "use_cg": True},
        (Range("lambda_", 1.0, 100.0), Range("lambda_bias", 0.5, 50.0)),
        "the mean and the bias that is known",
    ),
    "smurff": Rival(
        "smurff",
        "smurff",
        {"rank": 32, "burnin": 200, "nsamples": 800, "precision": 5.0},
        (Range("precision", 0.5, 5.0),),
        "a draw from the side's prior in every sweep",
        has_variance=True,
    ),
    "myfm": Rival(
        "myfm",
        "myfm",
        {
            "rank": 10,
            "n_iter": 100,
            "n_kept_samples": 95,
            "init_stdev": 0.1,
            "alpha_0": 1.0,
            "beta_0": 1.0,
            "gamma_0": 1.0,
            "mu_0": 0.0,
            "reg_0": 1.0,
        },  # its rank has no default
        (Range("init_stdev", 0.01, 1.0), Range("gamma_0", 0.1, 100.0), Range("reg_0", 0.1, 100.0)),
        "a draw from the side's prior in every sweep",
        has_variance=True,
    ),
    "surprise_svd": Rival(
        "surprise",
        "scikit-surprise",
        {"rank": 100, "n_epochs": 20, "lr_all": 0.005, "reg_all": 0.02},
        (Range("n_epochs", 10, 100), Range("lr_all", 0.002, 0.02), Range("reg_all", 0.01, 0.3)),
        "the mean and the bias that is known",
    ),
    "surprise_baseline": Rival(
        "surprise",
        "scikit-surprise",
        {"n_epochs": 10, "reg_u": 15.0, "reg_i": 10.0},
        (Range("reg_u", 1.0, 50.0), Range("reg_i", 1.0, 50.0)),
        "the mean and the bias that is known",
    ),
    "implicit_als": Rival(
        "implicit",
        "implicit",
        {"rank": 100, "regularization": 0.01, "alpha": 1.0, "iterations": 15},
        (Range("regularization", 0.001, 100.0), Range("alpha", 0.1, 10.0)),
        "the rating that the line gives a score of zero",
    ),
    "cornac_mf": Rival(
        "cornac",
        "cornac",
        {"rank": 10, "max_iter": 20, "learning_rate": 0.01, "lambda_reg": 0.02},
        (
            Range("max_iter", 10, 100),
            Range("learning_rate", 0.002, 0.05),
            Range("lambda_reg", 0.005, 0.3),
        ),
        f"{GLOBAL_MEAN}; an unknown user's, with the item's bias",
    ),
    "cornac_pmf": Rival(
        "cornac",
        "cornac",
        {
            "rank": 5,
            "max_iter": 100,
            "learning_rate": 0.001,
            "gamma": 0.9,
            "lambda_reg": 0.001,
            "variant": "non_linear",
        },
        (
            Range("max_iter", 20, 300),
            Range("learning_rate", 1e-4, 1e-2),
            Range("lambda_reg", 1e-4, 0.3),
        ),
        GLOBAL_MEAN,
    ),
}


class Outcome(NamedTuple):
    """What a rival predicted for each pair, or why it did not (`error`, else "").

    `mean` is None where there is an error, `variance` also where the rival has none. A pair is cold
    where its user or item has no training rating. There, and only there, a prediction that is not
    finite, or farther outside the scale of the training ratings than the scale is wide, gives way
    to the mean of the training ratings, with their variance: `replaced` counts those among the
    `cold`. Elsewhere one that is not finite is an error, and a wild one stays as it is.

    `seconds` are those of fit and prediction, without imports.
    """

    mean: np.ndarray | None
    variance: np.ndarray | None
    seconds: float
    error: str
    cold: int
    replaced: int
    version: str


def resolved_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """A rival's own defaults with `options` over them.

    Raises `InputError` naming the option: no such rival or option, another type than the default's.
    """
    if name not in RIVALS:
        raise InputError(f"peer {name!r}: not one of {', '.join(RIVALS)}")
    defaults = RIVALS[name].options
    for key, value in options.items():
        if key not in defaults:
            raise InputError(f"{key}: no option of {name}; it has {', '.join(defaults)}")
        kind = type(defaults[key])
        if not (type(value) is kind or (kind is float and type(value) is int)):
            raise InputError(f"{key}={value!r}: {name} takes a {kind.__name__}")
    return {**defaults, **options}


def predict_by_rival(
    name: str,
    train: Ratings,
    user: np.ndarray,
    item: np.ndarray,
    options: dict[str, Any],
    seed: int,
    python: str,
    timeout: float,
) -> Outcome:
    """Fit a rival on row numbers and ratings; predict the pairs (`user`, `item`), `(n,)` each.

    `python` is an interpreter that has the rival; `timeout` is in seconds, for all it does. Only a
    wrong request raises, `InputError`: see `resolved_options`.
    """
    pairs = {"test_user": np.asarray(user), "test_item": np.asarray(item)}
    arrays = {key: np.asarray(x) for key, x in train._asdict().items()} | pairs
    for key, rows in arrays.items():
        if key != "value" and (rows.size == 0 or rows.min() < 0):
            raise InputError(f"{key}: row numbers are 0 or more, and there is at least one")
    request = {
        "rival": name,
        "options": resolved_options(name, options),
        "module": RIVALS[name].module,
        "package": RIVALS[name].package,
        "seed": seed,
        "users": 1 + int(max(arrays["user"].max(), arrays["test_user"].max())),
        "items": 1 + int(max(arrays["item"].max(), arrays["test_item"].max())),
    }
    with tempfile.TemporaryDirectory(prefix="pmf-rival-") as folder:
        np.savez(Path(folder, "ratings.npz"), **arrays)
        Path(folder, "request.json").write_text(json.dumps(request))
        failure = _run(python, Path(folder), timeout)
        return failed(failure) if failure else _read(Path(folder), arrays)


def failed(error: str, seconds: float = 0.0, version: str = "") -> Outcome:
    """The outcome of a rival that gave no predictions."""
    return Outcome(None, None, seconds, " ".join(error.split())[-500:], 0, 0, version)


def _run(python: str, folder: Path, timeout: float) -> str:
    """Run the worker; "" or why it left no outcome."""
    with (folder / "stderr").open("wb") as stderr:
        try:
            process = subprocess.Popen(
                [python, str(WORKER), str(folder)],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                env=os.environ | QUIET,
                start_new_session=True,  # a group of its own, which can be killed whole
            )
        except OSError as error:
            return f"{python} cannot be run: {error.strerror}"
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"stopped after {timeout:g} s"
        finally:
            if process.poll() is None:  # it runs too long, or we are being stopped
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if (folder / "outcome.json").is_file():
        return ""
    last_words = (folder / "stderr").read_text(errors="replace")[-400:]
    how = "signal" if process.returncode < 0 else "exit code"
    return f"died by {how} {abs(process.returncode)}: {last_words}"


def _read(folder: Path, arrays: dict[str, np.ndarray]) -> Outcome:
    outcome = json.loads((folder / "outcome.json").read_text())
    if outcome["error"]:
        return failed(outcome["error"], outcome["seconds"], outcome["version"])
    with np.load(folder / "predictions.npz") as columns:
        predictions = {key: np.asarray(x, np.float64) for key, x in columns.items()}
    return _checked(predictions, arrays, outcome["seconds"], outcome["version"])


def _checked(
    predictions: dict[str, np.ndarray], arrays: dict[str, np.ndarray], seconds: float, version: str
) -> Outcome:
    value = arrays["value"].astype(np.float64)
    known = [np.isin(arrays[f"test_{side}"], arrays[side]) for side in ("user", "item")]
    cold = ~(known[0] & known[1])
    mean, variance = predictions["mean"], predictions.get("variance", np.ones(len(cold)))
    for what, x in (("predictions", mean), ("variances", variance)):
        if x.shape != cold.shape:
            return failed(f"{what} of shape {x.shape} for {len(cold)} pairs", seconds, version)
    unusable = ~(np.isfinite(mean) & np.isfinite(variance) & (variance > 0))
    if bad := int(np.sum(unusable & ~cold)):
        message = f"{bad} of {np.sum(~cold)} predictions of known users and items are no numbers"
        return failed(message, seconds, version)
    width = np.ptp(value)
    wild = (mean < value.min() - width) | (mean > value.max() + width)
    replaced = cold & (unusable | wild)
    mean = np.where(replaced, value.mean(), mean)
    variance = np.where(replaced, value.var(), variance)
    has_variance = "variance" in predictions
    counts = int(cold.sum()), int(replaced.sum())
    return Outcome(mean, variance if has_variance else None, seconds, "", *counts, version)
