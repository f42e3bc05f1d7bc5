"""Who may predict in an experiment."""
