"""What every command line here shares: plain messages, and exit codes.

Exit code 0, or 2 with one line on standard error for bad input.
"""

import sys
import warnings
from typing import Any

import typer

from pmf.compilation import keep_compiled
from pmf.errors import InputError, Interrupted, NotFiniteError

SetOrFile = "a data set's name (pmf data list) or a CSV, TSV or Parquet file"
UsageError: Any = typer.BadParameter.__mro__[1]  # every complaint about arguments derives from it


def plain_app(text: str) -> typer.Typer:
    """A command without boxes and colours: its messages are lines that a program can read."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def run_app(command: typer.Typer) -> None:
    """Run a command; turn what users can mend into one line and exit code 2.

    A run that wrote a checkpoint at a signal exits with 128 + the signal: 130 or 143.
    """
    warnings.showwarning = _show_warning
    keep_compiled()
    try:
        code = command(standalone_mode=False)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        code = _say(f"error: {error.format_message()}")
    except (InputError, OSError) as error:
        code = _say(f"error: {error}")
    except NotFiniteError as error:
        code = _say(f"error: {error}", code=1)
    except Interrupted as error:
        code = _say(str(error), code=128 + error.signum)
    except (KeyboardInterrupt, typer.Abort):
        code = _say("interrupted", code=130)
    sys.exit(code if isinstance(code, int) else 0)


def _show_warning(message: Warning | str, *rest: object, **named: object) -> None:
    _say(f"warning: {message}")


def _say(line: str, code: int = 2) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return code
