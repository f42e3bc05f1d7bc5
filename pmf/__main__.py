"""`python -m pmf` is the command `pmf`."""

from pmf.cli import main

main()
