"""What times things: `python -m benchmarks.NAME`. No other package's results depend on it."""

from pmf.cli.compilation_cache import keep_compiled

keep_compiled()  # here, because it must come before JAX is imported
