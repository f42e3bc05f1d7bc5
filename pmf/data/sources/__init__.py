"""Data sets by name: one module a source."""
