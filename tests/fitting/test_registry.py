"""Inferences by name. Catches: one that needs more than a class and a line to be fitted, called by
its name and named in words; files that `CONTRIBUTING.md` says to change and that are not there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.errors import InputError
from pmf.fitting import registry
from pmf.fitting.methods.als import ALS
from pmf.fitting.settings import shorthand

ROOT = Path(__file__).resolve().parents[2]
PRIOR = pmf.IsotropicPrior(1.0, 3.0, 3.0, 1.0, 1.0)


class Brief(ALS):
    """ALS that is content with two sweeps."""

    name = "brief"
    num_steps: int = 2


@pytest.fixture
def with_brief(monkeypatch):
    module = ModuleType("brief_inference")
    module.Brief = Brief
    monkeypatch.setitem(sys.modules, "brief_inference", module)
    entry = registry.Entry("Brief", "brief_inference:Brief", "sweeps", 2)
    monkeypatch.setitem(registry.INFERENCES, "brief", entry)
    monkeypatch.setitem(registry.LABELS, "brief", "Brief")  # made of them when it is imported
    shorthand.cache_clear()
    yield
    shorthand.cache_clear()


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pair = rng.permutation(200)[:120]
    rating = rng.integers(1, 6, 120).astype(float)
    return pd.DataFrame({"user": pair // 10, "item": pair % 10, "rating": rating})


def test_a_class_and_a_line_are_an_inference(with_brief):
    model = pmf.PMF(2, method="brief", prior=PRIOR).fit(frame())
    same = pmf.PMF(2, method="als", num_steps=2, prior=PRIOR).fit(frame())
    assert len(model.records) == 2 and model.settings.method == "brief"
    np.testing.assert_array_equal(model.draws.user.factor, same.draws.user.factor)
    assert "method='brief'" in repr(model) and "brief: sweeps" in registry.steps_in_words()


def test_its_settings_are_its_own(with_brief):
    assert "brief" in registry.owners_of("tolerance")
    assert "brief" not in registry.owners_of("burn_in")
    with pytest.raises(InputError, match="burn_in"):
        pmf.PMF(2, method="brief", burn_in=3)


def test_files_to_change_are_there():
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a")[2].partition("## ")[0]
    files = re.findall(r"`([\w/]+\.py)`", table)
    assert len(files) > 10 and not [file for file in files if not (ROOT / file).is_file()]
