"""What `benchmarks.time_to_rmse` races: ratings, our inferences and the rivals."""
