"""What times things: `python -m benchmarks.NAME`. No other package's results depend on it.

It imports nothing: rivals' interpreters, which run its workers, have no `pmf`.
"""
