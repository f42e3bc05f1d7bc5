"""Probabilistic matrix factorization: one posterior, several inferences, one evaluation.

    import pmf
    model = pmf.PMF(rank=16, method="gibbs").fit(ratings)
    model.predict(pairs, interval=0.9)

The names below are loaded on first use, so that `import pmf` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmf.data.features import item_features
    from pmf.data.readers.reading import Reading
    from pmf.data.sources.base import load as load_data
    from pmf.errors import InputError, Interrupted, NotFiniteError
    from pmf.estimators.base import OverlapWarning, UnknownIdWarning
    from pmf.estimators.content import Content
    from pmf.estimators.hybrid import Hybrid
    from pmf.estimators.new_users import Folded, fold_in
    from pmf.estimators.pmf import PMF, load
    from pmf.evaluate.report import ranked, report
    from pmf.fitting.checkpoint import Checkpoints
    from pmf.model.priors import IsotropicPrior, Ridge, als_wr, from_ridge
    from pmf.recommendation.ann import index_items
    from pmf.recommendation.lists import recommend, similar_items

_HOME = {
    "PMF": "pmf.estimators.pmf",
    "OverlapWarning": "pmf.estimators.base",
    "UnknownIdWarning": "pmf.estimators.base",
    "index_items": "pmf.recommendation.ann",
    "load": "pmf.estimators.pmf",
    "load_data": "pmf.data.sources.base",
    "ranked": "pmf.evaluate.report",
    "report": "pmf.evaluate.report",
    "Content": "pmf.estimators.content",
    "Hybrid": "pmf.estimators.hybrid",
    "Folded": "pmf.estimators.new_users",
    "fold_in": "pmf.estimators.new_users",
    "recommend": "pmf.recommendation.lists",
    "similar_items": "pmf.recommendation.lists",
    "item_features": "pmf.data.features",
    "Reading": "pmf.data.readers.reading",
    "Checkpoints": "pmf.fitting.checkpoint",
    "InputError": "pmf.errors",
    "Interrupted": "pmf.errors",
    "NotFiniteError": "pmf.errors",
    "IsotropicPrior": "pmf.model.priors",
    "als_wr": "pmf.model.priors",
    "from_ridge": "pmf.model.priors",
    "Ridge": "pmf.model.priors",
}

__all__ = [
    "PMF",
    "Checkpoints",
    "Content",
    "Folded",
    "Hybrid",
    "InputError",
    "Interrupted",
    "IsotropicPrior",
    "NotFiniteError",
    "OverlapWarning",
    "Reading",
    "Ridge",
    "UnknownIdWarning",
    "als_wr",
    "fold_in",
    "from_ridge",
    "index_items",
    "item_features",
    "load",
    "load_data",
    "ranked",
    "recommend",
    "report",
    "similar_items",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pmf' has no attribute {name!r}")
    if name == "load_data":
        return import_module(_HOME[name]).load
    return getattr(import_module(_HOME[name]), name)
