"""What attacks the project: `python -m tests.robustness.NAME` at length, the suite in short."""

from pmf.cli.compilation_cache import keep_compiled

keep_compiled()  # here, because it must come before JAX is imported
