"""Strict settings for every test: 64-bit JAX, eight CPU devices, shapes checked at run time."""

import atexit
import gc
import os
import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version


def remove_left_behind() -> None:
    """The folders of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("pmf-tests-*-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)  # asks whether the process is there
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):  # another's
            continue


def programs() -> str:
    """A folder for what this run of the tests compiles, shared by its workers and their children.

    Most of a test's time is compilation, and many tests need the same programs. JAX finds one by
    its text, its options and the versions, so another program is never taken for it. The folder
    ends with the run, unless `PMF_TEST_PROGRAMS` names one to be kept.
    """
    if "PMF_TEST_PROGRAMS" not in os.environ:
        remove_left_behind()
        folder = tempfile.mkdtemp(prefix=f"pmf-tests-{os.getpid()}-")
        os.environ["PMF_TEST_PROGRAMS"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return os.environ["PMF_TEST_PROGRAMS"]


def hear_signals() -> None:
    """What starts the tests in the background may ignore these, and so would all their children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(
                number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            )


hear_signals()
os.environ["JAX_COMPILATION_CACHE_DIR"] = programs()
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # see pmf/cli/compilation_cache.py
# Compiling costs more than running what is this small; the processes that tests start inherit it.
# The README's example is compiled as its readers compile it: `as_a_user`.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # no program says where it was written
# XLA's own generator of loops is simple, and done in half the time of the one that follows it; the
# newest XLA has it no more, and ends a process that asks for it. The machine's flags, such as a
# number of devices, are not for the tests.
os.environ["XLA_FLAGS"] = "--xla_cpu_parallel_codegen_split_count=1"
if Version(version("jaxlib")) < Version("0.10"):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import jax  # noqa: E402

from tests.helpers.shapes import check_calls  # noqa: E402

jax.config.update("jax_enable_x64", True)  # a stray float32 or float64 then shows as a wrong dtype
jax.config.update("jax_num_cpu_devices", 8)  # one processor as eight devices: meshes are tested

check_calls()


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not look through it again."""
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    """Mistakes are planted on demand only: not by the ordinary run, nor by -m "not slow".

    What starts processes comes first: of the last tests each is short, and no worker waits long.
    """
    items.sort(key=lambda item: item.path.parent.name not in ("tests", "robustness"))
    if "mistakes" in config.getoption("markexpr"):
        return
    planted = [item for item in items if "mistakes" in item.keywords]
    items[:] = [item for item in items if "mistakes" not in item.keywords]
    config.hook.pytest_deselected(items=planted)
