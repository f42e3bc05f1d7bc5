"""What every command line here shares: plain help and messages, JSON, and exit codes.

Exit code 0, or 2 with one line on standard error for bad input.
"""

import json
import math
import os
import signal
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from pmf.cli.compilation_cache import FAULTS, drop_damaged, keep_compiled
from pmf.cli.start import start
from pmf.errors import InputError, Interrupted, NotFiniteError
from pmf.process.signals import raising, say_last

SetOrFile = "A data set's name (see pmf data list), or a file such as a CSV, TSV or Parquet file."
UsageError: Any = typer.BadParameter.__mro__[1]  # every complaint about arguments derives from it


class PlainCommand(TyperCommand):
    """A command whose arguments stand in its usage as MODEL, and whose summary is not cut off."""

    def __init__(self, *args: Any, **named: Any):
        super().__init__(*args, **named)
        for param in self.params:
            if param.param_type_name == "argument" and not param.metavar:
                param.metavar = str(param.name).upper()

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`MODEL` where Typer may write `{MODEL}`; what is optional stays in brackets."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_short_help_str(self, limit: int = 0) -> str:
        """The whole first sentence: the list of commands wraps it."""
        return super().get_short_help_str(sys.maxsize)


class PlainGroup(TyperGroup):
    """A group of commands whose own summary is not cut off."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """The whole first sentence: the list of commands wraps it."""
        return super().get_short_help_str(sys.maxsize)


class PlainApp(typer.Typer):
    """A `Typer` whose commands are `PlainCommand`s."""

    def command(self, name: str | None = None, *, cls: Any = PlainCommand, **named: Any) -> Any:
        """As Typer's."""
        return super().command(name, cls=cls, **named)


def plain_app(text: str, completion: bool = False) -> typer.Typer:
    """A command without boxes and colours: its messages are lines that a program can read.

    With `completion` it offers to teach the shell its names: --install-completion.
    """
    return PlainApp(
        help=text,
        cls=PlainGroup,
        no_args_is_help=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def run_app(command: typer.Typer) -> None:
    """Run a command; turn user errors into one line and exit code 2.

    SIGINT and SIGTERM end it with one line and 128 + the signal, 130 or 143: after a checkpoint,
    where a run writes them.
    """
    start()
    warnings.showwarning = _show_warning
    keep_compiled()
    code = _run(command)
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        # Python's own end takes its time, and an impatient second one would have the last word.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _give_up_output()
    sys.exit(code)


def _run(command: typer.Typer) -> int:
    """The exit code of a command, after its messages."""
    try:
        with raising():
            code = command(standalone_mode=False)
            sys.stdout.flush()  # here a full disk is an error like others
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        return _say(f"error: {error.format_message()}")
    except BrokenPipeError:  # whoever reads what it prints has seen enough
        return 128 + signal.SIGPIPE
    except (InputError, OSError) as error:
        return _say(f"error: {error}")
    except MemoryError as error:
        return _say(f"error: not enough memory: {error or 'nothing is left'}", code=1)
    except RuntimeError as error:  # JAX's, whose class only JAX knows
        if not str(error).startswith("RESOURCE_EXHAUSTED"):
            raise
        return _say(f"error: not enough memory: {error}", code=1)
    except NotFiniteError as error:
        return _say(f"error: {error}", code=1)
    except Interrupted as error:
        return _say(str(error), code=128 + error.signum)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", code=130)
    return code if isinstance(code, int) else 0


def _give_up_output() -> None:
    """Drop unprintable output, or Python reports it again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_json(value: Any) -> str:
    """JSON that every reader takes: a number that is not finite is null, as JSON has no NaN."""
    return json.dumps(_without_nan(value), allow_nan=False)


def _without_nan(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nan(one) for name, one in value.items()}
        case list() | tuple():
            return [_without_nan(one) for one in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _show_warning(message: Warning | str, *rest: object, **named: object) -> None:
    if str(message).startswith(FAULTS):
        drop_damaged()  # the program is compiled, and kept again
        return
    print(" ".join(f"warning: {message}".split()), file=sys.stderr)


def _say(line: str, code: int = 2) -> int:
    say_last(" ".join(line.split()))
    return code
