"""Ratings in: files and frames, MovieLens, splits, synthetic ratings."""
