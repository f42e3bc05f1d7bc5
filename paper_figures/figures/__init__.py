"""One module a figure, and what figures share."""
