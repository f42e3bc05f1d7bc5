"""One run and its folder: made, read, made again."""
