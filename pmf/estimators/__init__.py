"""The public models: they fit, predict, save and load, in raw ids."""
