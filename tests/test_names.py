"""The public names. Catches: a name that is not there, one that tab completion hides or adds, an
`import pmf` that loads what nobody asked for.
"""

import subprocess
import sys

import pmf

HEAVY = ("jax", "numpy", "pandas", "optax", "pyarrow", "pydantic", "scipy", "rich")


def test_completion_shows_the_public_names_alone():
    assert dir(pmf) == sorted(pmf.__all__)
    assert {"PMF", "load", "load_data", "recommend", "report"} <= set(dir(pmf))
    assert "import_module" not in dir(pmf)


def test_every_public_name_is_there_and_says_what_it_is():
    for name in pmf.__all__:
        assert getattr(pmf, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(pmf, "no_such_name")


def test_importing_is_light():
    code = f"import sys, pmf; print([x for x in {HEAVY} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
