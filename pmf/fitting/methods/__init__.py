"""The inferences as `PMF` runs them, a file each: settings, layout, prior search, algorithm."""
