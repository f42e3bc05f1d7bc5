"""Files in, frames or arrays out: one module a kind of file."""
