"""Compiled programs kept on disk for the next process: JAX's persistent cache, for our commands.

The library itself leaves JAX's configuration alone; a notebook sets `JAX_COMPILATION_CACHE_DIR`.
"""

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

import platformdirs

LEAST_SECONDS = 0.1  # programs that compile faster are not worth a file


def keep_compiled() -> None:
    """Let JAX keep what it compiles, unless the user has told it where to (or "" for nowhere)."""
    # XLA takes two of LLVM's tuning hints for missing instructions whenever it reads a program back
    # and says so in screens of text on standard error; what really fails raises.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options: dict[str, Any] = {
        "jax_compilation_cache_dir": str(cache_dir()),
        "jax_persistent_cache_min_compile_time_secs": LEAST_SECONDS,
    }
    for name, value in options.items():
        if name.upper() in os.environ:
            continue
        os.environ[name.upper()] = str(value)  # for a JAX yet to be imported
        if "jax" in sys.modules:
            import jax

            jax.config.update(name, value)


def cache_dir() -> Path:
    """A folder for this kind of machine: a program for one processor may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        flags = platform.processor()
    kind = f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
    return platformdirs.user_cache_path("pmf") / "compiled" / kind
