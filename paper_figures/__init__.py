"""Figures of a report. They read results tables and nothing else."""
