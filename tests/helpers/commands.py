"""The console script in this process: what it prints, and its exit code, without the two seconds
that a new process takes to import JAX."""

import io
import os
import sys
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from pmf.cli import console, main
from pmf.estimators import notices

LITTLE_OPTIMISED = "JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"  # set by `conftest`
SILENT = DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning


class Done(NamedTuple):
    """What `subprocess.run` would tell."""

    returncode: int
    stdout: str
    stderr: str


def as_a_user() -> dict[str, str]:
    """The environment of a process whose programs are compiled with all optimisations."""
    return {x: value for x, value in os.environ.items() if x not in LITTLE_OPTIMISED}


def pmf(*arguments: object, **environment: str) -> Done:
    """Run `pmf ARGUMENTS`, with warnings shown as a fresh interpreter shows them.

    Signals and file descriptors stay the tests' own.
    """
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        for change in (
            redirect_stdout(out),
            redirect_stderr(err),
            warnings.catch_warnings(),
            patch.dict(os.environ, environment),
            patch.object(sys, "argv", ["pmf", *map(str, arguments)]),
            patch.object(notices, "_shown", set()),  # a process says each warning once
            patch.object(console, "start"),
            patch.object(console, "say_last", lambda line: print(line, file=sys.stderr)),
        ):
            stack.enter_context(change)
        warnings.resetwarnings()
        for category in SILENT:
            warnings.simplefilter("ignore", category)
        try:
            code = main.main()
        except SystemExit as end:
            code = end.code
    return Done(int(code or 0), out.getvalue(), err.getvalue())
