"""Reproducible experiments on `pmf`: configurations in, run folders and tidy tables out."""

from pmf.compilation import keep_compiled

keep_compiled()  # here, because it must come before JAX is imported
