"""Files of ratings in every form of text that is read, packed or not, spoilt."""

import bz2
import gzip
from functools import cache
from random import Random
from typing import Any

import pyarrow as pa

from tests.robustness import hostile_zips
from tests.robustness.hostile_parquet import ROWS
from tests.robustness.mutations import BINARY, TEXT, spoil

Options = dict[str, Any]  # of a `pmf.Reading`


@cache
def texts() -> dict[str, tuple[bytes, Options]]:
    """Good files by their names, and the options that read them."""
    pairs = [(f"u{user}", item, rating, time) for user, item, rating, time in ROWS]

    def joined(mark: str, head: str = "", rows: list = pairs) -> bytes:
        lines = [head.replace(",", mark)] * bool(head) + [mark.join(map(str, r)) for r in rows]
        return ("\n".join(lines) + "\n").encode()

    header = "User ID,item,rating,timestamp"
    json = "".join(
        f'{{"user": "{user}", "note": ["a", {{}}], "item": {item}, "rating": {rating}}}\n'
        for user, item, rating, _ in pairs
    )
    reviews = "".join(
        f'{user},{item},"a\nlong, ""long"" text",{rating}\n' for user, item, rating, _ in pairs
    )
    entries = "".join(f"{user} {item % 999 + 1} {rating}\n" for user, item, rating, _ in ROWS)
    matrix = f"%%MatrixMarket matrix coordinate real general\n%\n9 999 {len(ROWS)}\n" + entries
    netflix = "".join(
        f"{item % 99}:\n{user},{rating},2005-09-0{user}\n" for user, item, rating, _ in ROWS
    )
    return {
        "r.dat": (joined("::"), {}),
        "r.inter": (joined("\t", "user_id:token,item_id:token,rating:float,ts:float"), {}),
        "r.jsonl": (json.encode(), {}),
        "r.mtx": (matrix.encode(), {}),
        "combined_data_1.txt": (netflix.encode(), {}),
        "reviews.csv": (f"user,item,text,rating\n{reviews}".encode(), {}),
        "spaces.txt": (joined("  ", header.replace("User ID", "user")), {"separator": "space"}),
        "u.data": (joined("\t"), {"separator": "tab", "header": False}),
        "wide.csv": (
            joined(";", header).decode().encode("utf16"),
            {"separator": ";", "encoding": "utf16"},
        ),
        "latin.csv": (joined(",", header).replace(b"u1", b"\xe9"), {"encoding": "latin-1"}),
    }


PACKERS = {
    ".gz": lambda name, text: gzip.compress(text, 1, mtime=0),
    ".bz2": lambda name, text: bz2.compress(text, 1),
    ".zst": lambda name, text: pa.compress(text, "zstd", asbytes=True),
    ".zip": lambda name, text: hostile_zips.packed([(name, text, {})]),
}


def make(rng: Random) -> dict[str, bytes]:
    """One file, packed in one case of three, spoilt before, after or both."""
    name = rng.choice(list(texts()))
    text, suffix = texts()[name][0], rng.choice([*PACKERS, *[""] * 8])
    if not suffix or rng.random() < 0.5:
        text = spoil(rng, text, TEXT)
    if not suffix:
        return {name: text}
    packed = PACKERS[suffix](name, text)
    return {name + suffix: spoil(rng, packed, BINARY) if rng.random() < 0.5 else packed}


def options_of(name: str) -> Options:
    """The options that read a file that `make` made."""
    for suffix in PACKERS:
        name = name.removesuffix(suffix)
    return texts()[name][1]
