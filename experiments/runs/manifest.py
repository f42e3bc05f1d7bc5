"""Where, when and with what a run was made: what another machine needs to repeat it."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.config.identity import Point
from experiments.runs import cores
from pmf.data.splits import Split

PACKAGES = ("pmf", "jax", "jaxlib", "numpy", "scipy", "pandas", "optax", "orbax-checkpoint")


def manifest(point: Point, split: Split | None) -> dict[str, Any]:
    """The facts of a run that its system does not know."""
    model = point.config.model.model_dump(mode="json")
    return {
        "id": point.id,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        **surroundings(),
        "seeds": {
            "model": model.get("seed"),
            "split": point.config.split and point.config.split.seed,
        },
        "data_sha256": point.data,
        "system_sha256": point.code,  # of the file of a system of one's own
        "split_hash": split and split.hash,
    }


def surroundings() -> dict[str, Any]:
    """What may move the last bits of a run's numbers besides its configuration and its data."""
    import jax

    return {
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "cores": len(cores.available()),
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor()


def git_commit() -> str:
    """The commit of the working tree, with `+` where files differ from it; "" outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + "+" * bool(commit and git("status", "--porcelain", "-uno"))
    except OSError:
        return ""
