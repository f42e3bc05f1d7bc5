"""What a process is given and must heed: signals, forks, limits, compiled programs."""
