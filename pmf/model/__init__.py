"""The posterior and nothing else: densities, priors, hyperpriors and the predictive."""
