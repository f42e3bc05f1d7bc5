"""Rows on several devices and processes."""
