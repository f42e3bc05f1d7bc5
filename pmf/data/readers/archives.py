"""Compressed files from anywhere: what they may grow to, and what a zip may hold.

A few kilobytes can unpack to many gigabytes. No file of ratings does: what a file grows to is held
against its size on disk, before it is read or while it is.
"""

import bz2
import gzip
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pmf.errors import InputError

FREE = 256 << 20  # bytes to which any file may grow
TEXT_RATIO = 100  # beyond them, of text to its size packed; ratings take 3 to 10
TABLE_RATIO = 1000  # of columns, in which runs and patterns cost next to nothing
METHODS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
ENCRYPTED = 1  # of an entry's flags

# What a damaged zip makes the libraries raise. `InputError` is a ValueError too: catch it first.
DAMAGE = zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, RuntimeError


def check_growth(source: str, packed: int, unpacked: int, ratio: int = TEXT_RATIO) -> None:
    """Raise `InputError` where `packed` bytes become more than a file of ratings would."""
    if unpacked > FREE + ratio * packed:
        raise InputError(
            f"{source}: {packed:,} bytes that unpack to {unpacked:,} or more, as no ratings do; "
            "unpack it yourself if you trust it"
        )


def _zstandard(path: Path) -> pa.NativeFile:
    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".zst": _zstandard,
    ".zstd": _zstandard,
}
PACKED = (*OPENERS, ".zip")  # suffixes


class Packed:
    """A compressed file of one text: the name that the text has, and how it is opened.

    Raises `InputError` for a zip that does not hold one file.
    """

    def __init__(self, path: Path):
        self.path, suffix = path, path.suffix.lower()
        if suffix == ".zip":
            self.name = _only_entry(path)
        else:
            self.name = path.name[: -len(suffix)]

    def open(self) -> "Inflated":
        """The text as a stream."""
        if self.path.suffix.lower() == ".zip":
            return Inflated(self.path, lambda path: zipfile.ZipFile(path).open(self.name))
        return Inflated(self.path, OPENERS[self.path.suffix.lower()])


class Inflated:
    """A compressed file as a stream that pyarrow reads. Grows too much: `InputError`."""

    def __init__(self, path: Path, opener: Callable[[Path], Any]):
        self.path, self.opener, self.packed = path, opener, path.stat().st_size
        self.stream, self.position = opener(path), 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, or a part of the rest."""
        data: bytes = self.stream.read(size if size >= 0 else FREE)
        self.position += len(data)
        check_growth(str(self.path), self.packed, self.position)
        return data

    def seek(self, begin: int) -> None:
        """Back to the begin, 0: nothing else is asked of it."""
        assert begin == 0
        self.stream.close()
        self.stream, self.position = self.opener(self.path), 0

    @property
    def closed(self) -> bool:
        return bool(self.stream.closed)

    def close(self) -> None:
        """As of any stream."""
        self.stream.close()


def folder_in_zip(path: Path, folder: str) -> zipfile.Path:
    """A folder of a zip, its entries to be read in place.

    Raises `InputError` naming the entry that a zip of data would not have: one above the folder, a
    link, one that is there twice, encrypted, packed by a rare method, or far larger than the file.
    """
    return zipfile.Path(_checked_zip(path), f"{folder}/")


def _only_entry(path: Path) -> str:
    """The name of the one file in a zip; those that a system has added do not count."""
    with _checked_zip(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    names = [name for name in names if not re.search(r"(^|/)(\.|__MACOSX/)", name)]
    if len(names) != 1:
        there = ", ".join(name[:80] for name in names[:9]) or "none"
        raise InputError(f"{path}: one file is needed in it, there are: {there}; unpack it")
    return names[0]


def _checked_zip(path: Path) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(path)
    seen: set[str] = set()
    for info in archive.infolist():
        if wrong := _wrong(info, seen):
            archive.close()
            raise InputError(f"{path}: its entry {info.filename!r:.200} {wrong}; fetch it anew")
        seen.add(info.filename)
    unpacked = sum(info.file_size for info in archive.infolist())
    check_growth(str(path), path.stat().st_size, unpacked)
    return archive


def _wrong(info: zipfile.ZipInfo, seen: set[str]) -> str | None:
    parts = re.split(r"[/\\]", info.filename)
    if parts[0] == "" or ":" in parts[0] or ".." in parts:
        return "lies outside of every folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.filename in seen:
        return "is there twice"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in METHODS:
        return f"is packed by method {info.compress_type}, neither stored nor deflated"
    return None
