"""Whether the arrays of a model file could have come from a fit: else it would fail when used."""

import numpy as np

from pmf.data.contexts import BINS
from pmf.data.histories import Rated
from pmf.data.ids import Ids
from pmf.data.values import Coded
from pmf.fitting.fitted import Fitted
from pmf.fitting.settings import AnySettings, HybridSettings, Settings
from pmf.inference.row_features import RATED
from pmf.types import Terms

FLOATS = np.dtype(np.float32), np.dtype(np.float64)
LARGEST = 1e30  # of any number: products of larger ones may be infinite


def check_fitted(kind: str, settings: AnySettings, fitted: Fitted) -> Fitted:
    """The same model. Raises `ValueError` naming an array of a wrong type or shape, NaN or infinity
    in it, a negative variance or count, and ids that are twice there.
    """
    draws, noise = fitted.fit.run.draws, fitted.fit.noise_variance
    # The content model's factors are features, of any width.
    width = draws.item.factor.shape[-1]
    terms = getattr(settings, "terms", Terms(width, user_bias=True, item_bias=False))
    s = noise.size
    for name, side, ids, bias, count in (
        ("user", draws.user, fitted.users, terms.user_bias, fitted.user_count),
        ("item", draws.item, fitted.items, terms.item_bias, fitted.item_count),
    ):
        check_ids(f"{name} ids", ids)
        n = ids.num_rows
        check_floats(f"{name}.factor", side.factor, (s, n, terms.rank))
        check_floats(f"{name}.bias", side.bias, (s, n, int(bias)))
        if side.noise_precision is not None:
            check_floats(f"{name}.noise_precision", side.noise_precision, (s, n))
            if np.any(side.noise_precision <= 0):
                raise ValueError(f"{name}.noise_precision: not above 0")
        _check(f"{name}.count", count, (n,))
        if count.dtype.kind not in "iu" or np.any(count < 0):
            raise ValueError(f"{name}.count: not how often each was rated")
        prior, d = getattr(fitted.fit.run.prior, name), terms.rank + bias
        of_each = name == "item" and isinstance(settings, HybridSettings)  # from its features
        check_floats(f"prior.{name}.mean", prior.mean, (s, n, d) if of_each else (s, d))
        _check_precision(f"prior.{name}.precision", prior.precision, (s, d, d))
        for kind, regression in prior.regressions.items():
            label, q = f"prior.{name}.{kind}", regression.coefficients.shape[1]
            if kind == RATED:
                q = (fitted.items if name == "user" else fitted.users).num_rows
            check_floats(f"{label}.coefficients", regression.coefficients, (s, q, d))
            check_floats(f"{label}.offset", regression.offset, (s, d))
            _check_precision(f"{label}.precision", regression.precision, (s, d, d))
            check_floats(f"{label}.spread", regression.spread, (s, d, d))
    _check_contexts(kind, settings, fitted, (s, terms.rank))
    check_floats("mu", draws.mu, (s,))
    check_floats("noise_variance", noise, (s,))
    check_floats("prior.tau", fitted.fit.run.prior.tau, (s,))
    if np.any(noise < 0) or np.any(fitted.fit.run.prior.tau <= 0):
        raise ValueError("noise_variance, prior.tau: below 0")
    if fitted.rated is not None:
        _check_rated(fitted.rated, fitted.user_count, len(fitted.items))
    return fitted


def _check_contexts(
    kind: str, settings: AnySettings, fitted: Fitted, shape: tuple[int, int]
) -> None:
    context, ids = fitted.fit.run.draws.context, fitted.contexts
    by = settings.inference.context_column if isinstance(settings, Settings) else None
    if (by is None) != (context is None):
        raise ValueError("context: rows and settings do not fit together")
    if by is None or context is None:
        return
    n = 1  # of folded-in users the unknown one alone
    if kind == "PMF":
        assert ids is not None
        check_ids("context ids", ids)
        n, values = ids.num_rows, ids.values
        if not len(values) or not np.all(values[1:] > values[:-1]):
            raise ValueError("context ids: not ascending")
        if by in BINS and values.dtype != np.int64:
            raise ValueError("context ids: not those of times")
    check_floats("context.factor", context.factor, (*shape[:1], n, *shape[1:]))
    check_floats("context.bias", context.bias, (*shape[:1], n, 1))


def _check_precision(name: str, precision: np.ndarray, shape: tuple[int, ...]) -> None:
    check_floats(name, precision, shape)
    if precision.size and np.any(np.linalg.eigvalsh(precision) <= 0):
        raise ValueError(f"{name}: not positive definite")


def _check_rated(rated: Rated, count: np.ndarray, num_items: int) -> None:
    (start, item), value = rated.pairs, rated.value
    table = value.table if isinstance(value, Coded) else value
    code = value.code if isinstance(value, Coded) else value
    n = int(count.sum())
    _check("rated.start", start, (len(count) + 1,))
    _check("rated.item", item, (n,))
    _check("rated.value", code, (n,))
    if start.dtype.kind != "i" or start[0] != 0 or np.any(np.diff(start) != count):
        raise ValueError("rated.start: not where each user's ratings begin")
    if item.dtype.kind != "i" or n and not 0 <= item.min() <= item.max() < num_items:
        raise ValueError("rated.item: not rows of items")
    if table.ndim != 1 or table.dtype.kind != "f" or not np.all(np.isfinite(table)):
        raise ValueError("rated.value: not all of it finite numbers")
    if table is not code and (code.dtype != np.uint8 or n and code.max() >= len(table)):
        raise ValueError("rated.value: not codes of its table")


def check_ids(name: str, ids: Ids) -> None:
    if ids.values.ndim != 1 or ids.values.dtype not in (np.int64, object):
        raise ValueError(f"{name}: {ids.values.dtype} {ids.values.shape}, no list of ids")
    if not ids.index.is_unique:
        raise ValueError(f"{name}: one is there twice")


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name}: its shape is {array.shape}, not {shape}")


def check_floats(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` for another shape or type, and for NaN or infinity."""
    _check(name, array, shape)
    if array.dtype not in FLOATS or not np.all(np.abs(array) <= LARGEST):
        raise ValueError(f"{name}: not all of it finite numbers of a sane size")
