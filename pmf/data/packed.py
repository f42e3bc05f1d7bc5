"""Compressed files from anywhere: what they may grow to, and what a zip may hold.

A few kilobytes can unpack to many gigabytes. No file of ratings does: what a file grows to is held
against its size on disk, before it is read or while it is.
"""

import gzip
import re
import stat
import zipfile
import zlib
from pathlib import Path
from types import TracebackType

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


class Inflated:
    """A gzipped file as a stream that pyarrow reads. Grows too much: `InputError`."""

    def __init__(self, path: Path):
        self.source, self.packed = str(path), path.stat().st_size
        self.stream = gzip.open(path, "rb")

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, or a part of the rest."""
        data = self.stream.read(size if size >= 0 else FREE)
        check_growth(self.source, self.packed, self.stream.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any stream."""
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        """As of any stream."""
        return self.stream.tell()

    @property
    def closed(self) -> bool:
        return self.stream.closed

    def close(self) -> None:
        """As of any stream."""
        self.stream.close()

    def __enter__(self) -> "Inflated":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def folder_in_zip(path: Path, folder: str) -> zipfile.Path:
    """A folder of a zip, its entries to be read in place.

    Raises `InputError` naming the entry that a zip of data would not have: one above the folder, a
    link, one that is there twice, encrypted, packed by a rare method, or far larger than the file.
    """
    archive = zipfile.ZipFile(path)
    seen: set[str] = set()
    for info in archive.infolist():
        if wrong := _wrong(info, seen):
            raise InputError(f"{path}: its entry {info.filename!r:.200} {wrong}; fetch it anew")
        seen.add(info.filename)
    unpacked = sum(info.file_size for info in archive.infolist())
    check_growth(str(path), path.stat().st_size, unpacked)
    return zipfile.Path(archive, f"{folder}/")


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
