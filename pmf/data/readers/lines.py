"""Streams of text that are changed on the way to pyarrow: to UTF-8, or line by line.

pyarrow reads one encoding well and takes one byte as separator; what files have beyond that becomes
that, a block at a time, so that no file is in memory as a whole.
"""

import codecs
import io
import re
from collections.abc import Callable
from typing import Any, Protocol

from pmf.errors import InputError

BLOCK = 1 << 20  # bytes read at a time
LONGEST_LINE = 1 << 22  # bytes
UNIT = b"\x1f"  # ASCII's own separator, which no id and no title contains

Change = Callable[[bytes], bytes]  # of whole lines


class Stream(Protocol):
    """What pyarrow and the readers here ask of a file."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, begin: int, /) -> object: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...


class _Filter:
    """A stream made of another one, block by block."""

    def __init__(self, stream: Stream):
        self.stream, self.ready = stream, b""
        self.restart()

    def restart(self) -> None:
        """Forget what was read."""
        raise NotImplementedError

    def more(self) -> bytes | None:
        """The next part; None at the end."""
        raise NotImplementedError

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; without a size, all that are left."""
        while size < 0 or len(self.ready) < size:
            part = self.more()
            if part is None:
                break
            self.ready += part
        size = len(self.ready) if size < 0 else size
        data, self.ready = self.ready[:size], self.ready[size:]
        return data

    def seek(self, begin: int) -> None:
        """Back to the begin, 0: nothing else is asked of it."""
        self.stream.seek(begin)
        self.ready = b""
        self.restart()

    def close(self) -> None:
        """As of any stream."""
        self.stream.close()

    @property
    def closed(self) -> bool:
        return self.stream.closed


class AsUtf8(_Filter):
    """Text of another encoding as UTF-8. Raises `InputError` naming `source` where it is none."""

    def __init__(self, stream: Stream, encoding: str, source: str):
        self.encoding, self.source = encoding, source
        super().__init__(stream)

    def restart(self) -> None:
        """Forget what was read."""
        self.decoder, self.ended = codecs.getincrementaldecoder(self.encoding)(), False

    def more(self) -> bytes | None:
        """The next part; None at the end."""
        if self.ended:
            return None
        data = self.stream.read(BLOCK)
        self.ended = not data
        try:
            return self.decoder.decode(data, final=self.ended).encode()
        except UnicodeError as error:
            raise InputError(
                f"{self.source}: not of the encoding {self.encoding} ({error}); say another"
            ) from error


class Changed(_Filter):
    """Text whose lines a function changes. `make` makes one for each reading: it may remember.

    Raises `InputError` naming `source` where no line ends for long.
    """

    def __init__(self, stream: Stream, make: Callable[[], Change], source: str):
        self.make, self.source = make, source
        super().__init__(stream)

    def restart(self) -> None:
        """Forget what was read."""
        self.change, self.rest, self.ended = self.make(), b"", False

    def more(self) -> bytes | None:
        """The next part; None at the end."""
        if self.ended:
            return None
        data = self.stream.read(BLOCK)
        text = self.rest + data
        if not data:
            self.ended = True
            return self.change(text) if text else b""
        end = text.rfind(b"\n") + 1
        self.rest = text[end:]
        if len(self.rest) > LONGEST_LINE:
            raise InputError(f"{self.source}: no line ends in {LONGEST_LINE:,} bytes")
        return self.change(text[:end]) if end else b""


def split_at(separator: str) -> Change:
    """Lines whose fields `separator` parts, as lines whose fields `UNIT` parts.

    A space stands for any run of blanks and tabs; those at a line's begin and end part nothing.
    """
    if separator != " ":
        word = separator.encode()
        return lambda lines: lines.replace(word, UNIT)
    edges, between = re.compile(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)"), re.compile(rb"[ \t]+")
    return lambda lines: between.sub(UNIT, edges.sub(b"", lines))


def lines_of(stream: Stream) -> io.TextIOWrapper:
    """The lines of UTF-8 text with their ends, as Python's csv module wants them."""
    raw = io.BufferedReader(_Raw(stream), BLOCK)
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")


class _Raw(io.RawIOBase):
    """A stream as Python's own files are made of. Closing it leaves the stream open."""

    def __init__(self, stream: Stream):
        self.stream = stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of any raw file."""
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
