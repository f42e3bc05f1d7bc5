"""Strict settings for every test: 64-bit JAX, eight CPU devices, shapes checked at run time."""

import os

os.environ["JAX_COMPILATION_CACHE_DIR"] = ""  # tests compile afresh, and leave nothing behind

import jax  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

jax.config.update("jax_enable_x64", True)  # a stray float32 or float64 then shows as a wrong dtype
jax.config.update("jax_num_cpu_devices", 8)  # one processor as eight devices: meshes are tested

# Before any of these is imported: each call's array shapes are checked against its signature.
LEAVES = ["pmf.model", "pmf.conditionals", "pmf.wishart", "pmf.predictive", "pmf.candidates"]
install_import_hook(LEAVES, "beartype.beartype")


def pytest_collection_modifyitems(config, items):
    """Mistakes are planted on demand only: not by the ordinary run, nor by -m "not slow"."""
    if "mistakes" in config.getoption("markexpr"):
        return
    planted = [item for item in items if "mistakes" in item.keywords]
    items[:] = [item for item in items if "mistakes" not in item.keywords]
    config.hook.pytest_deselected(items=planted)
