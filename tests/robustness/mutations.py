"""Ways to spoil bytes: pure functions of a generator and good bytes. `fuzz` uses them.

Half know nothing of the format; the others know that it is text, or binary with sizes in it.
"""

import re
from collections.abc import Callable
from random import Random

LONG = 6_000  # bytes of a very long field: more than a line of `pmf.data.readers.numeric.LONGEST`
ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\x1a",
    b"\x1b[2J",
    b"\x7f",
    b"\x80",
    b"\xc3",
    b"\xed\xa0\x80",
    "\u2028".encode(),
    "\u202e".encode(),
    "\u0663".encode(),
    b"\x1f",
    b"%s%n",
)
ODD_WORDS = (
    b"nan",
    b"inf",
    b"-inf",
    b"-0",
    b"",
    b" ",
    b"null",
    b"NA",
    b"None",
    b"true",
    b"1e400",
    b"1e-400",
    b"3.5e38",
    b"0x10",
    b"1_000",
    b"+1",
    b"007",
    b".5",
    b"5.",
    b"--1",
    b"9" * 19,
    b"9" * 25,
    b"9" * 400,
    b"-9223372036854775808",
    b"9223372036854775808",
    b"2147483648",
    b"4294967296",
    b"2009-01-01",
    b"1;2",
    b"x" * LONG,
    b'"',
    b"[1]",
    b"{}",
)
TEXT_BITS = (
    b'"',
    b'""',
    b"'",
    b",",
    b"\t",
    b"::",
    b":",
    b"|",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b",,,,",
    b'"\n"',
    b"\\",
    b"user,item,rating\n",
    b"\xef\xbb\xbf",
)
ODD_SIZES = (
    0,
    1,
    2**7,
    2**8 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)

Mutation = Callable[[Random, bytes], bytes]


def truncate(rng: Random, data: bytes) -> bytes:
    """The beginning, or what is left without it."""
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.8 else data[at:]


def flip_bits(rng: Random, data: bytes) -> bytes:
    """One bit to eight, anywhere."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def cut_out(rng: Random, data: bytes) -> bytes:
    """Without a run of bytes."""
    begin, end = _run(rng, data)
    return data[:begin] + data[end:]


def repeat(rng: Random, data: bytes) -> bytes:
    """A run of bytes several times."""
    begin, end = _run(rng, data)
    return data[:end] + data[begin:end] * rng.choice((1, 2, 30)) + data[end:]


def splice(rng: Random, data: bytes) -> bytes:
    """A run of bytes in another place too."""
    begin, end = _run(rng, data)
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[begin:end] + data[at:]


def insert_odd_bytes(rng: Random, data: bytes) -> bytes:
    """NUL, a byte order mark, half a character, ..."""
    at = rng.choice((0, rng.randrange(len(data) + 1), len(data)))
    return data[:at] + rng.choice(ODD_BYTES) * rng.choice((1, 1, 9)) + data[at:]


def overwrite_size(rng: Random, data: bytes) -> bytes:
    """Some bytes as a number at the edge of what a size can be, little-endian."""
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(data) + 1)
    size = rng.choice(ODD_SIZES) % (1 << 8 * width)
    return data[:at] + size.to_bytes(width, "little") + data[at + width :]


def replace_word(rng: Random, data: bytes) -> bytes:
    """A field, or a part of one, as no number, a number too large, or a very long one."""
    words = list(re.finditer(rb"[\w.+-]+", data))
    if not words:
        return data
    begin, end = rng.choice(words).span()
    return data[:begin] + rng.choice(ODD_WORDS) + data[end:]


def insert_text(rng: Random, data: bytes) -> bytes:
    """A quote, a separator, a line end."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TEXT_BITS) + data[at:]


def end_lines_otherwise(rng: Random, data: bytes) -> bytes:
    """CRLF, CR, or empty lines, everywhere or once."""
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\n\r")), rng.choice((1, -1)))


def move_line(rng: Random, data: bytes) -> bytes:
    """A line gone, doubled, or at the top."""
    lines = data.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    return b"\n".join(rng.choice((lines, [line, *lines], [*lines, line, line])))


ANY: tuple[Mutation, ...] = truncate, flip_bits, cut_out, repeat, splice, insert_odd_bytes
BINARY: tuple[Mutation, ...] = *ANY, flip_bits, flip_bits, overwrite_size, overwrite_size
TEXT: tuple[Mutation, ...] = (
    *ANY,
    replace_word,
    replace_word,
    replace_word,
    insert_text,
    insert_text,
    end_lines_otherwise,
    move_line,
)


def spoil(rng: Random, data: bytes, mutations: tuple[Mutation, ...]) -> bytes:
    """The data after a few mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(mutations)(rng, data)
    return data


def _run(rng: Random, data: bytes) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice((1, 2, 4, 8, 32, 256)))
