"""Probabilistic matrix factorization: one posterior, several inferences, one evaluation.

    import pmf
    model = pmf.PMF(rank=16, method="gibbs").fit(ratings)
    model.predict(pairs, interval=0.9)

The public names are those of `__init__.pyi`, each loaded on first use: `import pmf` stays light.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
