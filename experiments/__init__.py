"""Reproducible experiments: a TOML turned into runs, tables and figures."""
