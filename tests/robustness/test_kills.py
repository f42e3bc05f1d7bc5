"""Saves that are killed, in short: `tests.robustness.kills`. Catches: a model that is not whole,
and hidden files that stay for ever."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

import pmf


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_one_save_after_many_kills_leaves_nothing(tmp_path):
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "rating": [1.0, 2, 3, 5]})
    prior = pmf.IsotropicPrior(1, 1, 1, 1, 1)
    pmf.PMF(1, prior=prior, num_steps=2).fit(frame).save(tmp_path / "m.pmf")
    command = [sys.executable, "-m", "tests.robustness.kills", "--kills", "25", "--json"]
    done = subprocess.run([*command, "--model", tmp_path / "m.pmf"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["left"], counts  # else nothing was tried
    assert counts == {
        "kills": 25,
        "left": counts["left"],
        "broken": 0,
        "left after a save": 0,
        "lost": 0,
    }
