"""Many runs: searches, tasks, worker processes and clusters."""
