"""Reproducible experiments on `pmf`: configurations in, run folders and tidy tables out."""

import sys

from pmf.cli.start import start

if sys.argv[:1] == ["-m"]:  # as a command: signals are heard before anything heavy is imported
    start()

from pmf.cli.compilation_cache import keep_compiled

keep_compiled()  # here, because it must come before JAX is imported
