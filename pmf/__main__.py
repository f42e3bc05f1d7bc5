"""The command `pmf`, also as `python -m pmf`."""

from pmf.cli.start import start


def main() -> None:
    """Signals are heard before anything heavy is imported."""
    start()
    from pmf.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
