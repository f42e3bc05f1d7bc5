"""The command `pmf`: one module a group of commands."""
