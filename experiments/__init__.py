"""Reproducible experiments on `pmf`: configurations in, run folders and tidy tables out."""
