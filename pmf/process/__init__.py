"""The environment of a process: signals, forks, limits, compiled programs."""
