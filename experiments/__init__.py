"""Reproducible experiments on `pmf`: configurations in, run folders and tidy tables out."""

from pmf.cli.compilation_cache import keep_compiled

keep_compiled()  # here, because it must come before JAX is imported
