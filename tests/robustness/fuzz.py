"""`python -m tests.robustness.fuzz`: malformed files to every reader, in processes with limits.

A reader must end with a valid result or an `InputError` that names the file, leave nothing behind,
and need neither much memory nor much time. Anything else is a failure: another exception, a
warning, a crash, a hang. It is reported with its number, and `--replay NUMBER` makes it again.
Exit code 1 where there is one. `tests.robustness.malformed` has the readers and their inputs.
"""

import json
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Annotated, NamedTuple

import pyarrow as pa
import typer

from benchmarks.process import peak_bytes
from pmf.cli.main import run_app
from pmf.errors import InputError
from tests.robustness.malformed import READERS, Files, Reader

ROOM = 4 << 30  # bytes of address space for a worker beyond what it has when it starts
GROWTH = 256 << 20  # bytes that one input may add to a worker's memory
SECONDS = 10.0  # for one input; the first ones compile
MEMORY_DISK = "/dev/shm"  # where there is one, files are made and removed three times as fast
SHOWN = 20  # failures of a reader that are told of
COLUMNS = "inputs", "accepted", "refused", "failed"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Count(NamedTuple):
    """What has come of a worker's inputs. `number` is the one that it reads; -1 after the last."""

    number: int
    accepted: int
    refused: int
    failed: int
    seconds: float


def make_input(name: str, reader: Reader, seed: int, number: int) -> Files:
    """Input `number` of a reader: the same bytes from the same seed."""
    return reader.make(Random(f"{name} {seed} {number}"))


def judge(reader: Reader, files: Files, folder: Path) -> str:
    """`accepted`, `refused`, or what is wrong. `folder`, empty, is `input` and `temporary` after.

    Files are read in `folder/input`; a reader's temporary files belong into `folder/temporary`.
    """
    inputs, temporary = folder / "input", folder / "temporary"
    inputs.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    _write(files, inputs)
    usual, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        verdict = _verdict(reader, inputs)
        files_present = {
            str(path.relative_to(inputs)) for path in inputs.rglob("*") if path.is_file()
        }
        left = sorted(files_present ^ set(files)) + os.listdir(temporary)
    finally:
        tempfile.tempdir = usual
        for path in (*inputs.iterdir(), *temporary.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"left behind, or taken away: {left}" if left else verdict


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _verdict(reader: Reader, inputs: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader.read(inputs)
    except InputError as error:
        return "refused" if str(inputs) in str(error) else f"no file is named: {error}"[:500]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of compiled code is no Exception
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return f"{type(error).__name__}: {error} ({place})"[:500]
    return "accepted"


class Ledger:
    """A worker's count in memory that its parent sees, even after the worker crashed."""

    LAYOUT = struct.Struct("qqqqd")

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, self.LAYOUT.size)
        self.write(Count(0, 0, 0, 0, 0.0))

    def write(self, count: Count) -> None:
        """Put a count there."""
        self.LAYOUT.pack_into(self.memory, 0, *count)

    def read(self) -> Count:
        """The last that was put there."""
        return Count(*self.LAYOUT.unpack_from(self.memory))


def work(
    name: str, seed: int, numbers: range, folder: Path, ledger: Ledger, failures: Path
) -> None:
    """What a worker does: judge inputs by their numbers, counting in the ledger as it goes."""
    reader = READERS[name]
    # Compiled loops check every index; kept apart from those that do not.
    os.environ |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder.parent / "compiled")}
    pa.set_cpu_count(1)
    signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS)
    judge(reader, make_input(name, reader, seed, numbers[0]), folder)  # imports, without limits
    _limit_address_space()
    count, memory = ledger.read(), peak_bytes()
    for number in numbers:
        begin = time.perf_counter()
        ledger.write(count._replace(number=number))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)  # its signal ends the process, whatever runs
        verdict = judge(reader, make_input(name, reader, seed, number), folder)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if peak_bytes() > memory + GROWTH:
            verdict = f"memory grew by {(peak_bytes() - memory) >> 20} MB"
        memory = peak_bytes()
        if verdict not in ("accepted", "refused"):
            _report(failures, number, verdict)
            verdict = "failed"
        seconds = count.seconds + time.perf_counter() - begin
        count = count._replace(**{verdict: getattr(count, verdict) + 1, "seconds": seconds})
    ledger.write(count._replace(number=-1))


def _limit_address_space() -> None:
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _report(failures: Path, number: int, verdict: str) -> None:
    with failures.open("a") as file:
        file.write(json.dumps([number, " ".join(verdict.split())]) + "\n")


def fuzz(name: str, seed: int, inputs: int, processes: int, folder: Path) -> tuple[Count, list]:
    """A reader's inputs 0 to `inputs` - 1; what came of them, and the failures by number.

    A worker that dies is replaced, and goes on after the input that it died of.
    """
    failures = folder / f"{name}.failures"
    failures.touch()
    workers = [
        _Worker(name, seed, range(j, inputs, processes), folder / f"{name}-{j}", failures)
        for j in range(processes)
    ]
    while not all([worker.is_done() for worker in workers]):
        time.sleep(0.05)
    counts = [worker.ledger.read() for worker in workers]
    sums = [sum(column) for column in list(zip(*counts, strict=True))[1:4]]
    total = Count(-1, *sums, max(count.seconds for count in counts))
    return total, sorted(map(json.loads, failures.read_text().splitlines()))


class _Worker:
    """A process, and its successors."""

    def __init__(self, name: str, seed: int, numbers: range, folder: Path, failures: Path):
        self.name, self.seed, self.numbers = name, seed, numbers
        self.folder, self.failures, self.ledger = folder, failures, Ledger()
        self._start()

    def _start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.ledger.write(self.ledger.read()._replace(number=self.numbers[0]))
        arguments = self.name, self.seed, self.numbers, self.folder, self.ledger, self.failures
        # A fork has the ledger, and what a test has planted. Nothing has started a thread yet.
        self.process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        self.process.start()

    def is_done(self) -> bool:
        if self.process.is_alive():
            return False
        code, count = self.process.exitcode, self.ledger.read()
        if count.number < 0:
            return True
        signal_name = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
        why = f"hangs: {SECONDS:g} seconds passed" if code == -signal.SIGALRM else "crash"
        _report(self.failures, count.number, f"{why} ({signal_name})")
        self.ledger.write(count._replace(number=-1, failed=count.failed + 1))
        self.numbers = self.numbers[self.numbers.index(count.number) + 1 :]
        if self.numbers:
            self._start()
        return not self.numbers


@app.command()
def main(
    inputs: Annotated[int, typer.Option(help="How many for each reader.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.")] = 0,
    reader: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(READERS)}; default all.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes at a time.")] = 1,
    replay: Annotated[
        int | None, typer.Option(help="Only this input of one reader; its files are kept.")
    ] = None,
) -> int:
    """Give malformed files to the readers, and count what comes of them."""
    names = reader or list(READERS)
    if unknown := set(names) - set(READERS):
        raise InputError(f"--reader {', '.join(unknown)}: say one of {', '.join(READERS)}")
    if replay is not None:
        if len(names) != 1:
            raise InputError("--replay needs one --reader")
        return _replay(names[0], seed, replay)
    print(f"{'reader':<9}" + "".join(f"{key:>10}" for key in (*COLUMNS, "a second")), flush=True)
    total = Count(-1, 0, 0, 0, 0.0)
    place = MEMORY_DISK if os.path.isdir(MEMORY_DISK) else None
    with tempfile.TemporaryDirectory("-fuzz", dir=place, ignore_cleanup_errors=True) as folder:
        for name in names:
            count, failures = fuzz(name, seed, inputs, max(1, min(processes, inputs)), Path(folder))
            print(_line(name, count), flush=True)
            for number, why in failures[:SHOWN]:
                print(f"  --reader {name} --seed {seed} --replay {number}: {why}", flush=True)
            if len(failures) > SHOWN:
                print(f"  and {len(failures) - SHOWN} more", flush=True)
            total = Count(*(a + b for a, b in zip(total, count, strict=True)))
    print(_line("all", total))
    return int(total.failed > 0)


def _line(name: str, count: Count) -> str:
    numbers = count.accepted + count.refused + count.failed, *count[1:4]
    rate = numbers[0] / count.seconds if count.seconds else 0.0
    return f"{name:<9}" + "".join(f"{number:>10,}" for number in numbers) + f"{rate:>10,.0f}"


def _replay(name: str, seed: int, number: int) -> int:
    """Write an input's files to a new folder, tell where, and read them without any limit."""
    folder, files = Path(tempfile.mkdtemp()), make_input(name, READERS[name], seed, number)
    verdict = judge(READERS[name], files, folder)
    _write(files, folder / "input")
    print(f"{folder / 'input'}: {verdict}", flush=True)
    try:
        READERS[name].read(folder / "input")
    except Exception:
        traceback.print_exc()
    return int(verdict not in ("accepted", "refused"))


if __name__ == "__main__":
    run_app(app)
