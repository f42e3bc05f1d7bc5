"""Lists for users, from any fitted model."""
