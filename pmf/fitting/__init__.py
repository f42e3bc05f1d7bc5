"""From settings and ratings to a fit: the driver of every algorithm, and what surrounds it."""
