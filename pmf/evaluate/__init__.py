"""The one evaluation that every method goes through."""
