"""Data sets by name: one module per source."""
