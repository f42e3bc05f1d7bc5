"""Runs to the tables that a person reads."""
