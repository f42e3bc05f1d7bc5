"""A worker whose rivals misbehave on purpose. Run by its path, like the real one."""

import ctypes
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "experiments/systems/rivals/worker.py"
spec = importlib.util.spec_from_file_location("peers", PEERS)
assert spec and spec.loader
peers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peers)


def mean_of_item(task):
    """Known items by their mean, unknown ones by `unknown`; its variance grows by one per pair."""
    total = np.bincount(task.item, task.value, task.items)
    count = np.bincount(task.item, minlength=task.items)
    mean = np.where(count, total / np.maximum(count, 1), task.options["unknown"])[task.test_item]
    return mean, 1.0 + np.arange(len(mean))


def no_variance(task):
    return mean_of_item(task)[0], None


def echoes(task):
    """What came through the folder, in what is returned."""
    numbers = [task.users, task.items, task.seed, task.value.sum(), task.options["unknown"]]
    return np.resize(np.array(numbers, float), len(task.test_user)), None


def not_a_number(task):
    return np.full(len(task.test_user), np.nan), None


def no_spread(task):
    return np.ones(len(task.test_user)), np.zeros(len(task.test_user))


def too_few(task):
    return np.ones(1), None


def raises(task):
    raise ArithmeticError("the 7th\nsweep diverged")


def dies(task):
    print("a last word", file=sys.stderr, flush=True)
    ctypes.string_at(0)


def exits(task):
    os._exit(3)


def dawdles(task):
    """It and its child would both live for a minute."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(os.environ["CHILD"]).write_text(str(child.pid))
    time.sleep(60)


FAKES = [
    mean_of_item,
    no_variance,
    echoes,
    not_a_number,
    no_spread,
    too_few,
    raises,
    dies,
    exits,
    dawdles,
]

if __name__ == "__main__":
    peers.PREDICT.update({fake.__name__: fake for fake in FAKES})
    peers.answer(Path(sys.argv[1]))
