"""Compiled programs kept on disk for the next process: JAX's persistent cache, for our commands.

The library itself leaves JAX's configuration alone; a notebook sets `JAX_COMPILATION_CACHE_DIR`.
"""

import hashlib
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

LEAST_SECONDS = 0.1  # programs that compile faster are not worth a file
FOLDER = "JAX_COMPILATION_CACHE_DIR"
FAULTS = ("Error reading persistent compilation", "Error writing persistent compilation")


def keep_compiled() -> None:
    """Let JAX cache its programs if possible, unless the user has chosen a folder
    (or "" for nowhere).
    """
    # XLA takes two of LLVM's tuning hints for missing instructions whenever it reads a program back
    # and says so in screens of text on standard error; what really fails raises.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options: dict[str, Any] = {"jax_persistent_cache_min_compile_time_secs": LEAST_SECONDS}
    folder = cache_dir()
    if is_writable(folder):
        options["jax_compilation_cache_dir"] = str(folder)
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


def is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder, once it is made.

    Not where a user without a home has none: its path then begins with "~".
    """
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return folder.is_absolute() and nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def kept_in() -> str | None:
    """The folder that `keep_compiled` uses; None without one."""
    return os.environ.get(FOLDER) or None


def drop_damaged() -> None:
    """Remove programs that a full disk truncated: JAX ignores them, but does not replace them."""
    for path in Path(kept_in() or os.devnull).glob("*-cache"):
        if not _is_whole(path):
            with suppress(OSError):
                path.unlink()


def _is_whole(path: Path) -> bool:
    from jax._src.compilation_cache import decompress_executable

    try:
        decompress_executable(path.read_bytes())
    except OSError:  # gone, or another user's
        return True
    except Exception:  # of one of three libraries
        return False
    return True
