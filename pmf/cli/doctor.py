"""The command `pmf doctor`: the hardware and software, and the leftovers of killed processes."""

import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from pmf.process.limits import check_memory

PACKAGES = ("pmf", "jax", "jaxlib", "numpy", "scipy", "pandas", "pyarrow", "optax")


def doctor(
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Look for half-written files there too. May be repeated.",
        ),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed processes left.")
    ] = False,
) -> None:
    """Versions, devices, the data sets found, and what killed processes left behind.

    That is half-written files in the current folder and the data folder, and ratings that a fit
    kept on disk: older than a day, and held by no living process.
    """
    check_memory()
    from pmf.data.sources.movielens import data_dir

    _say_what_computes()
    _say_what_is_kept()
    _say_what_is_found(data_dir())
    _say_what_was_left([Path(), data_dir(), *(folder or [])], clean)


def _say_what_computes() -> None:
    import jax

    print(f"python           {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        print(f"{package:<16} {metadata.version(package)}")
    if jax.__version__.startswith("0.10."):
        print("warning: jax 0.10 can dead-lock in batched Cholesky solves; install another version")
    print(f"devices          {', '.join(str(device) for device in jax.devices())}")


def _say_what_is_kept() -> None:
    from pmf.cli.compilation_cache import kept_in
    from pmf.inference import fused
    from pmf.process.compiler import fault

    reason = fused.why_not()
    print(f"fused kernel     {'in use' if reason is None else f'not in use: {reason}'}")
    places = {"programs": kept_in()}
    if fault() is None:
        from pmf.process.numba_cache import folder

        places["loops"] = folder()
    for name, place in places.items():
        place_in_words = (
            f"kept in {place}" if place else "compiled by each process: no folder can be written"
        )
        print(f"{name:<16} {place_in_words}")


def _say_what_is_found(folder: Path) -> None:
    from pmf.data.sources.base import BUNDLED
    from pmf.data.sources.movielens import ARCHIVES, find

    print(f"data folder      {folder} (set PMF_DATA_DIR to change it)")
    names = [name for name in ARCHIVES if find(name)]
    print(f"data found       {', '.join([BUNDLED + ' (bundled)', *names])}")


def _say_what_was_left(folders: list[Path], clean: bool) -> None:
    leftovers = left_behind(folders)
    for path in leftovers:
        size = sum(file.lstat().st_size for file in path.rglob("*"))
        if clean:
            shutil.rmtree(path, ignore_errors=True)
        print(f"left behind      {path}, {size / 1e6:,.1f} MB{_fate(path, clean)}")
    if not leftovers:
        print("left behind      nothing")
    elif not clean:
        print("                 pmf doctor --clean removes that")


def _fate(path: Path, clean: bool) -> str:
    if not clean:
        return ""
    return ": could not be removed" if path.exists() else ": removed"


def left_behind(folders: list[Path]) -> list[Path]:
    """What killed processes left in these folders and, of ratings on disk, in the temporary one."""
    from pmf.io import workspace
    from pmf.io.atomic import left_in

    places = dict.fromkeys(folder.resolve() for folder in folders)
    halves = [path for place in places for path in left_in(place)]
    return halves + workspace.left_in(Path(tempfile.gettempdir()))
