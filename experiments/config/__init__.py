"""Configurations: TOML in, a grid of resolved and named runs out."""
