"""Zips that attack whoever opens them: `ATTACKS` by name, and random ones."""

import stat
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from io import BytesIO
from random import Random
from typing import Any

from tests.robustness.mutations import BINARY, TEXT, spoil

FOLDER = "ml-25m"
BOMB = 300 << 20  # bytes that deflate takes to a thousandth
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
CENTRAL_FLAGS, CENTRAL_METHOD, CENTRAL_SIZES = 8, 10, 20  # where they stand in an entry's record
LOCAL_FLAGS, LOCAL_METHOD, LOCAL_SIZES = 6, 8, 18

Entries = list[tuple[str, bytes, dict[str, Any]]]  # name, content, attributes of its ZipInfo
TEXTS = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n1,10,5,100\n2,10,3.5,101\n2,20,1,102\n",
    "movies.csv": b'movieId,title,genres\n10,"A, the (1995)",Action|Comedy\n20,B,Drama\n',
    "tags.csv": b"userId,movieId,tag,timestamp\n2,10,dark,99\n",
    "links.csv": b"movieId,imdbId,tmdbId\n10,1,2\n20,3,\n",
}


def good_entries() -> Entries:
    """A whole MovieLens data set, tiny."""
    return [(f"{FOLDER}/{name}", text, {}) for name, text in TEXTS.items()]


def packed(entries: Entries, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of the entries, names and all as they are given. The same bytes each time."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content, attributes in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive._didModify = True  # a name that is there twice needs no warning here
            archive.NameToInfo.pop(name, None)
            archive.writestr(info, content)
    return stream.getvalue()


def _with(*more: tuple[str, bytes, dict[str, Any]]) -> bytes:
    return packed([*good_entries(), *more])


def patched(data: bytes, central: int, local: int, value: bytes) -> bytes:
    """A zip whose records, both of each entry, have `value` at an offset."""
    spoilt = bytearray(data)
    for signature, offset in ((CENTRAL, central), (LOCAL, local)):
        at = data.find(signature)
        while at >= 0:
            spoilt[at + offset : at + offset + len(value)] = value
            at = data.find(signature, at + 1)
    return bytes(spoilt)


def _replaced(name: str, content: bytes, **attributes: Any) -> bytes:
    others = [entry for entry in good_entries() if entry[0] != f"{FOLDER}/{name}"]
    return packed([*others, (f"{FOLDER}/{name}", content, attributes)])


@cache
def bomb() -> bytes:
    """Valid ratings, then 300 MB of line ends in 300 kB."""
    stream, megabyte = BytesIO(packed(good_entries()[1:])), b"\n" * (1 << 20)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(f"{FOLDER}/ratings.csv")
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w") as entry:
            entry.write(TEXTS["ratings.csv"])
            for _ in range(BOMB >> 20):
                entry.write(megabyte)
    return stream.getvalue()


def _size(claimed: int) -> bytes:
    """Both sizes of each entry, compressed and not, as claimed."""
    sizes = struct.pack("<II", claimed, claimed)
    return patched(packed(good_entries()), CENTRAL_SIZES, LOCAL_SIZES, sizes)


LINK = {"create_system": 3, "external_attr": (stat.S_IFLNK | 0o777) << 16}
ATTACKS: dict[str, Callable[[], bytes]] = {
    "entry above the folder": lambda: _with(("../../evil.csv", b"x", {})),
    "entry above the folder, from within": lambda: _with((f"{FOLDER}/../../evil", b"x", {})),
    "entry with an absolute path": lambda: _with(("/etc/evil", b"x", {})),
    "entry with a drive": lambda: _with(("C:\\evil", b"x", {})),
    "entry above the folder, backslashes": lambda: _with((f"{FOLDER}\\..\\..\\evil", b"x", {})),
    "symbolic link": lambda: _replaced("ratings.csv", b"/etc/passwd", **LINK),
    "symbolic link beside": lambda: _with((f"{FOLDER}/link", b"/", LINK)),
    "decompression bomb": bomb,
    "duplicated entry": lambda: _with((f"{FOLDER}/ratings.csv", b"userId\n", {})),
    "encrypted entries": lambda: patched(
        packed(good_entries()), CENTRAL_FLAGS, LOCAL_FLAGS, b"\x01\x00"
    ),
    "claims 4 GB": lambda: _size(2**32 - 2),
    "claims nothing": lambda: _size(0),
    "method unknown": lambda: patched(
        packed(good_entries()), CENTRAL_METHOD, LOCAL_METHOD, b"\x63\x00"
    ),
    "method bzip2": lambda: packed(good_entries(), zipfile.ZIP_BZIP2),
    "method lzma": lambda: packed(good_entries(), zipfile.ZIP_LZMA),
    "truncated": lambda: packed(good_entries())[:-30],
    "truncated entry": lambda: packed(good_entries())[60:],
    "no ratings": lambda: packed(good_entries()[1:]),
    "ratings are a folder": lambda: packed(
        [*good_entries()[1:], (f"{FOLDER}/ratings.csv/", b"", {})]
    ),
    "empty": lambda: packed([]),
    "no zip": lambda: b"PK\x05\x06 not really",
}


def make(rng: Random) -> dict[str, bytes]:
    """An attack by name, spoilt content in a sound zip, or a good zip's bytes spoilt."""
    kind = rng.random()
    if kind < 0.01:
        return {"ml.zip": bomb()}
    if kind < 0.2:
        names = [name for name in ATTACKS if name != "decompression bomb"]
        data = ATTACKS[rng.choice(names)]()
        return {"ml.zip": data if rng.random() < 0.5 else spoil(rng, data, BINARY)}
    if kind < 0.4:
        name = rng.choice(list(TEXTS))
        return {"ml.zip": _replaced(name, spoil(rng, TEXTS[name], TEXT))}
    methods = zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED
    return {"ml.zip": spoil(rng, packed(good_entries(), rng.choice(methods)), BINARY)}
