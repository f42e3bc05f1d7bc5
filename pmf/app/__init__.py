"""The movie recommender as a page: `pmf app`. Needs the extra `app`."""
