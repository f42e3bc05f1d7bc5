"""What a person holds: models that fit, predict, save and load, in raw ids."""
