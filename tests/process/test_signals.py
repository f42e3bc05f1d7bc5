"""How a command ends at a signal. Catches: a traceback, a signal that a callback swallows, a second
one that leaves a half-written file, standard streams that were closed."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.robustness import signals

BEGIN = """
import gc, os, signal, sys
from pathlib import Path
from pmf.process.signals import passing, raising, say_last
from pmf.cli.start import start

def kill(name="SIGINT"):
    os.kill(os.getpid(), getattr(signal, name))

def work(body):
    start()
    try:
        with raising():
            body()
    except SystemExit as error:
        say_last(str(error))
        sys.exit(error.code)
    print("went on")
"""
SCRIPTS = {
    "before the work": "start()\nkill()\nprint('went on')",
    "in the work": "work(kill)",
    "swallowed by a callback": """
def callback(phase, info):
    gc.callbacks.clear()
    kill()
gc.callbacks.append(callback)
def body():
    gc.collect()
    for _ in range(10**9): pass
work(body)""",
    "swallowed by a destructor": """
class Dies:
    def __del__(self): kill()
def body():
    Dies()
    for _ in range(10**9): pass
work(body)""",
    "taken for a broken import": """
def body():
    try: kill(); (lambda: None)()
    except BaseException: raise ImportError("numpy.core.multiarray failed to import")
work(body)""",
    "in an import that prints what it catches": """
def body():
    Path("printing.py").write_text(
        "import os, signal, sys, traceback\\ntry: os.kill(os.getpid(), signal.SIGINT); len('')\\n"
        "except BaseException: traceback.print_exc()")
    sys.path.insert(0, os.getcwd())
    with passing(Path("printing.py")), passing(Path("__pycache__")):
        import printing
work(body)""",
    "again while cleaning up": """
def body():
    with passing(Path("half")):
        Path("half").touch()
        try: kill()
        finally: kill()
work(body)""",
    "as the interpreter ends": """
import atexit
def late():
    try: kill()
    finally: kill()
atexit.register(late)
work(lambda: None)""",
    "with a half-written file": """
def body():
    with passing(Path("half")), passing(Path("folder")):
        Path("half").touch()
        Path("folder").mkdir()
        Path("folder/file").touch()
        kill()
work(body)""",
}


def run(script: str, folder, by: Sequence[str] = ()) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*by, sys.executable, "-S", "-c", BEGIN + script],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_one_word_and_130(name, tmp_path):
    done = run(SCRIPTS[name], tmp_path)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert done.stdout in ("", "went on\n") if "interpreter" in name else done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_second_one_after_the_interpreters_end_changes_nothing(tmp_path):
    script = """
from pmf.cli.console import plain_app, run_app
app = plain_app("")
app.command()(kill)
class Late:
    def __del__(self): kill()
late = Late()  # modules are cleared when handlers have gone
sys.argv = ["kill"]
run_app(app)"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_sigterm_is_143(tmp_path):
    done = run(SCRIPTS["with a half-written file"].replace("kill()", "kill('SIGTERM')"), tmp_path)
    assert (done.returncode, done.stderr) == (143, "terminated\n")
    assert not list(tmp_path.iterdir())


def test_what_is_ignored_stays_so(tmp_path):
    script = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwork(kill)"
    done = run(script, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_closed_stream_does_not_lead_into_the_next_file(tmp_path):
    script = "start()\nfile = open('m', 'w')\nos.write({0}, b'x')\nprint('y', file=sys.{1})"
    for number, name in ((1, "stdout"), (2, "stderr")):
        # By a shell: Python would fork to close it, and JAX's threads do not survive that.
        closing = ["sh", "-c", f'exec "$0" "$@" {number}>&-']
        done = run(script.format(number, name), tmp_path, closing)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (tmp_path / "m").read_text() == ""


def test_what_the_encoding_has_not_is_written_as_an_escape(tmp_path):
    environment = {"PYTHONIOENCODING": "ascii:strict"}
    script = BEGIN + "start()\nprint('caf\\xe9 \\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=os.environ | environment
    )
    assert (done.returncode, done.stdout) == (0, b"caf\\xe9 \\udcff\n"), done.stderr


@pytest.mark.slow
def test_a_signal_at_any_moment_ends_a_command_with_a_word():
    counts = signals.torment("pmf doctor", 6, 1.5, seed=1)
    assert not counts["went on"] + counts["otherwise"], counts
    assert counts["interrupted"], counts
