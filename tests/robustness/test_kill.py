"""The judge of the kill test. Catches: one that calls different models the same."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pmf import PMF
from pmf.data.synthetic import movielens_shaped
from pmf.estimators import model_file
from tests.io.test_atomic import killed_parts
from tests.robustness.kill import in_a_write, same


@pytest.fixture(scope="module")
def model():
    ratings = movielens_shaped(0, n=600, users=40, items=100)
    frame = pd.DataFrame(dict(zip(["user", "item", "rating"], ratings, strict=True)))
    return PMF(0, mu=3.0, num_steps=2, method="gibbs", burn_in=1, thin=1, tau=1.0).fit(frame)


def next_float(x: np.ndarray) -> np.ndarray:
    changed = x.copy()
    changed.flat[-1] = np.nextafter(changed.flat[-1], np.inf)
    return changed


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        (lambda fit: {"compile_seconds": 99.0}, True),
        (lambda fit: {"records": [r._replace(seconds=9.0) for r in fit.run.records]}, True),
        (lambda fit: {"draws": fit.run.draws._replace(mu=next_float(fit.run.draws.mu))}, False),
        (lambda fit: {"noise_variance": next_float(fit.noise_variance)}, False),
        (lambda fit: {"records": fit.run.records[:-1]}, False),
        (lambda fit: {"log_posterior": np.nextafter(fit.run.log_posterior, 0)}, False),
    ],
)
def test_only_times_may_differ(change, is_same, model, tmp_path):
    fitted = model.require_fitted()
    fit = fitted.fit.with_run(heldout=None)
    changes = change(fit)
    noise = {name: changes.pop(name) for name in ("noise_variance",) if name in changes}
    for name, fit_kept in (("one", fit), ("two", replace(fit.with_run(**changes), **noise))):
        (tmp_path / name).mkdir()
        changed = type(fitted)(fit_kept, *list(vars(fitted).values())[1:])
        saved = model_file.Saved("PMF", model.settings, changed, {})
        model_file.save(saved, tmp_path / name / "model.pmf")
    assert same(tmp_path / "one", tmp_path / "two") is is_same


def test_unfinished_writes_are_seen(tmp_path):
    assert not in_a_write(tmp_path)
    (tmp_path / "kept").mkdir()
    killed_parts(tmp_path / "kept")
