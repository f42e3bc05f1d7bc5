"""`python -m pmf` is the command `pmf`."""

from pmf.cli.main import main

main()
