"""The command `pmf`: one module per group of commands."""
