"""The mapped file of a model in use: changed bytes must not answer for it."""

import os
import weakref
from pathlib import Path

from pmf.errors import InputError


class Source:
    """An open file as it was found. A copy of a model is in memory, and has None in its place."""

    def __init__(self, number: int, path: Path):
        """Of an open file, by its number."""
        self.path, self.number = path, os.dup(number)
        weakref.finalize(self, os.close, self.number)
        self.found = self._stamp()

    def _stamp(self) -> tuple[int, int]:
        """Size and time of the last change. A file put in its place leaves this one as it is."""
        facts = os.fstat(self.number)
        return facts.st_size, facts.st_mtime_ns

    def check(self) -> None:
        """Raises `InputError` where the file has been written into."""
        if self._stamp() != self.found:
            raise InputError(
                f"{self.path}: overwritten while its model was in use; load it again, and put a "
                "model file in its place (mv) instead of overwriting it"
            )

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()
