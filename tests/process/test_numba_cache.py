"""What is compiled is kept for the next process. Catches: damaged code that is run, a cache that
nobody can write to, a cut program that is never replaced, a broken numba that breaks a fit."""

import importlib.util
import itertools
import sys

import pytest

from pmf.cli import compilation_cache, console
from pmf.data import encoding
from pmf.inference import fused
from pmf.process import compiler

numba_cache = pytest.importorskip("pmf.process.numba_cache", reason="needs the extra fast")
LOOP = """
from pmf.process.numba_cache import callback, compiled
from numba import types

@compiled(nogil=True)
def total(n):
    found = 0
    for k in range(n):
        found += k
    return found

@callback(types.int64(types.int64))
def handler(n):
    return total(n)
"""
DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "another": lambda content: b"mine",
    "one bit": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    "the seal": lambda content: bytes([content[0] ^ 1]) + content[1:],
}
numbers = itertools.count()


def imported(path):
    """The module anew, as another process has it."""
    spec = importlib.util.spec_from_file_location(f"loop{next(numbers)}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    assert module.total(5) == 10 and module.handler.ctypes(5) == 10
    return module


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    path = tmp_path_factory.mktemp("loop") / "loop.py"
    path.write_text(LOOP)
    imported(path)
    return path


def sealed(path):
    return {file.name: file.read_bytes() for file in path.parent.rglob("*.sealed.*nb?")}


def test_the_next_process_compiles_nothing(loop):
    module = imported(loop)
    assert len(sealed(loop)) == 4  # an index, and the code, of each
    assert not module.total.stats.cache_misses and module.handler.cache_hits == 1


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_written_again(kind, how, loop):
    for file in loop.parent.rglob(f"*.{kind}"):
        file.write_bytes(DAMAGE[how](file.read_bytes()))
    module = imported(loop)
    assert module.total.stats.cache_misses and module.handler.cache_hits == 0
    module = imported(loop)
    assert not module.total.stats.cache_misses and module.handler.cache_hits == 1


def test_without_a_folder_that_can_be_written_each_process_compiles(tmp_path, monkeypatch):
    monkeypatch.setattr(numba_cache._Places, "_locator_classes", [])
    (tmp_path / "loop.py").write_text(LOOP)
    imported(tmp_path / "loop.py")
    assert numba_cache.folder() is None and not sealed(tmp_path / "loop.py")


def test_a_full_disk_keeps_nothing_and_says_nothing(tmp_path, monkeypatch):
    def write(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numba_cache._Files, "_write", write)
    (tmp_path / "loop.py").write_text(LOOP)
    imported(tmp_path / "loop.py")
    assert not sealed(tmp_path / "loop.py")


def test_a_numba_that_is_broken_is_as_good_as_none(monkeypatch):
    def broken(name):
        raise AttributeError(f"{name}\nhas no such thing")

    monkeypatch.setattr(compiler, "import_module", broken)
    for answer in (fused.fault, fused.available):
        answer.cache_clear()
    try:
        message = "numba cannot be used: AttributeError: pmf.process.numba_cache has no such thing"
        assert fused.fault() == fused.why_not() == message
        assert not fused.available() and not encoding.is_worthwhile(encoding.LARGE)
    finally:
        for answer in (fused.fault, fused.available):
            answer.cache_clear()


def test_a_cut_program_is_dropped_and_nothing_else(tmp_path, monkeypatch, capsys):
    from jax._src.compilation_cache import compress_executable

    monkeypatch.setenv(compilation_cache.FOLDER, str(tmp_path))
    whole = compress_executable(bytes(range(256)) * 99)
    (tmp_path / "a-cache").write_bytes(whole)
    (tmp_path / "b-cache").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "mine.txt").write_text("mine")
    console._show_warning(UserWarning("another warning"))
    assert len(list(tmp_path.iterdir())) == 3
    message = "Error reading persistent compilation cache entry for 'jit__call': zlib.error: cut"
    console._show_warning(UserWarning(message))
    assert {path.name for path in tmp_path.iterdir()} == {"a-cache", "mine.txt"}
    assert capsys.readouterr().err == "warning: another warning\n"


def test_a_folder_for_programs_is_one_that_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert compilation_cache.is_writable(tmp_path / "a" / "b")
    assert not compilation_cache.is_writable(tmp_path.relative_to("/") / "~" / ".cache")
    (tmp_path / "file").write_text("mine")
    assert not compilation_cache.is_writable(tmp_path / "file" / "pmf")
    monkeypatch.setattr(
        compilation_cache.os, "access", lambda *what: False
    )  # a read-only file system
    assert not compilation_cache.is_writable(tmp_path / "a")
    monkeypatch.setattr(compilation_cache, "cache_dir", lambda: tmp_path / "a")
    monkeypatch.delenv(compilation_cache.FOLDER)
    monkeypatch.setitem(sys.modules, "jax", None)
    compilation_cache.keep_compiled()
    assert compilation_cache.kept_in() is None and not (tmp_path / "a").exists()
