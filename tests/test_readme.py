"""The README's example runs as it stands there. Catches: a name or an argument that has moved."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pmf

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf8"), re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf8")
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert pmf.load(tmp_path / "model.pmf").settings.method == "gibbs"
