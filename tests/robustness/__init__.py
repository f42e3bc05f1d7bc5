"""What attacks the project: `python -m tests.robustness.NAME` at length, the suite in short."""

from pmf.compilation import keep_compiled

keep_compiled()  # here, because it must come before JAX is imported
