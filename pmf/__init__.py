"""Probabilistic matrix factorization: one posterior, several inferences, one evaluation.

    import pmf
    model = pmf.PMF(rank=16, method="gibbs").fit(ratings)
    model.predict(pairs, interval=0.9)

The names below are loaded on first use, so that `import pmf` stays light.
"""

from importlib import import_module

TYPE_CHECKING = False  # that of `typing`, whose import takes longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from pmf.answers import OverlapWarning, UnknownIdWarning
    from pmf.approximate import index_items
    from pmf.checkpoint import Checkpoints
    from pmf.content_model import Content
    from pmf.data.catalogue import load as load_data
    from pmf.data.features import item_features
    from pmf.data.reading import Reading
    from pmf.errors import InputError, Interrupted, NotFiniteError
    from pmf.estimator import PMF, load
    from pmf.evaluate.report import ranked, report
    from pmf.folded import Folded, fold_in
    from pmf.hybrid_model import Hybrid
    from pmf.lists import recommend, similar_items
    from pmf.priors import IsotropicPrior, Ridge, als_wr, from_ridge

_HOME = {
    "PMF": "pmf.estimator",
    "OverlapWarning": "pmf.answers",
    "UnknownIdWarning": "pmf.answers",
    "index_items": "pmf.approximate",
    "load": "pmf.estimator",
    "load_data": "pmf.data.catalogue",
    "ranked": "pmf.evaluate.report",
    "report": "pmf.evaluate.report",
    "Content": "pmf.content_model",
    "Hybrid": "pmf.hybrid_model",
    "Folded": "pmf.folded",
    "fold_in": "pmf.folded",
    "recommend": "pmf.lists",
    "similar_items": "pmf.lists",
    "item_features": "pmf.data.features",
    "Reading": "pmf.data.reading",
    "Checkpoints": "pmf.checkpoint",
    "InputError": "pmf.errors",
    "Interrupted": "pmf.errors",
    "NotFiniteError": "pmf.errors",
    "IsotropicPrior": "pmf.priors",
    "als_wr": "pmf.priors",
    "from_ridge": "pmf.priors",
    "Ridge": "pmf.priors",
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


def __getattr__(name: str) -> "Any":
    if name not in _HOME:
        raise AttributeError(f"module 'pmf' has no attribute {name!r}")
    if name == "load_data":
        return import_module(_HOME[name]).load
    return getattr(import_module(_HOME[name]), name)
