"""`python -m tests.robustness.signals`: SIGINT at a random moment of every command's life.

Each command is started again and again, and interrupted once (every third time twice, within a
moment). It must end with one word and 130, or have finished; the model file, where one is written,
is whole or not there, with nothing beside it. What Python says of a signal before it has run the
first line of the program ("early") is not the program's. Exit code 1 for anything else.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pmf.cli.console import run_app

FIT = (
    "pmf fit in.csv --out m.pmf --rank 2 --steps 100000 --set tolerance=0 "
    "--prior tau=1,user_factor=1,item_factor=1,user_bias=1,item_bias=1"
)
COMMANDS = (
    FIT,
    "pmf doctor",
    "pmf data describe ml-small-2016",
    "experiments list",
    "paper_figures --help",
)
RATINGS = "user,item,rating\n" + "".join(
    f"{user},{item},{1 + (user * item) % 5}\n" for user in range(20) for item in range(user % 7 + 1)
)
PATIENCE = 120  # seconds until an interrupted command counts as one that went on
COLUMNS = "interrupted", "finished", "early", "went on", "otherwise"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def life(command: str, folder: Path, moment: float, times: int) -> str:
    """How a command ends that is interrupted after some seconds: one of `COLUMNS`, or what it
    said otherwise.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        pass
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    try:
        _, output = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "went on"
    if process.returncode == 0 and not output:
        return "finished"
    if process.returncode == 130 and output == "interrupted\n":
        return "interrupted"
    ours = any(f"/{name}/" in output for name in ("pmf", "experiments", "paper_figures"))
    return (
        "early"
        if not ours and "KeyboardInterrupt" in output or not output
        else f"otherwise {output}"
    )


def torment(command: str, tries: int, longest: float, seed: int) -> dict[str, int]:
    """Counts of how a command ended."""
    rng, counts = np.random.default_rng(seed), dict.fromkeys(COLUMNS, 0)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "in.csv").write_text(RATINGS)
        for number in range(tries):
            end = life(command, Path(name), rng.uniform(0, longest), 1 + (number % 3 == 2))
            if end not in counts:
                print(f"{command}: {end}", file=sys.stderr)
            if {path.name for path in Path(name).iterdir()} - {"in.csv", "m.pmf"}:
                end = "otherwise"
            counts[end if end in counts else "otherwise"] += 1
    return counts


@app.command()
def main(
    tries: Annotated[int, typer.Option(help="How many of each command.")] = 40,
    longest: Annotated[float, typer.Option(help="Seconds until the latest signal.")] = 2.5,
    seed: Annotated[int, typer.Option(help="Seed of the random moments.")] = 0,
    only: Annotated[str, typer.Option(help="Commands that begin so.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Interrupt commands at random moments, and count how they end."""
    chosen = [command for command in COMMANDS if command.startswith(only)]
    by_command = {command: torment(command, tries, longest, seed) for command in chosen}
    if as_json:
        print(json.dumps(by_command))
    for command, counts in () if as_json else by_command.items():
        print(f"{command[:40]:<40} " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    return int(any(counts["went on"] + counts["otherwise"] for counts in by_command.values()))


if __name__ == "__main__":
    run_app(app)
