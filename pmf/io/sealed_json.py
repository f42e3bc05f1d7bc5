"""Sealed results: files by their sha256, JSON by the sha256 of its own content.

A run's `manifest.json` holds the sha256 of every other file of its folder; `sources.json` beside
tables holds theirs, and which runs they are of. Both, the results of searches and the lines of
their journals, hold the sha256 of what they say themselves.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pmf.errors import InputError

SEAL = "sha256"

Facts = dict[str, Any]  # what JSON can hold


def sealed(facts: Facts) -> str:
    """A JSON text in one line with the sha256 of what it says. Floats come back bit for bit."""
    return json.dumps(_with_seal(facts))


def unsealed(text: str | bytes) -> Facts:
    """What `sealed` was given, with the seal. Raises `ValueError` saying what is wrong with it."""
    try:
        facts = json.loads(text)
        seal = _with_seal(facts)[SEAL] if isinstance(facts, dict) else None
    except (ValueError, RecursionError) as error:
        raise ValueError("damaged, no JSON") from error
    if not isinstance(facts, dict) or SEAL not in facts:
        raise ValueError("without a seal, damaged or made by another version")
    if facts[SEAL] != seal:
        raise ValueError("altered since it was written")
    return facts


def _with_seal(facts: Facts) -> Facts:
    """The facts as JSON gives them back, and their sha256 in the place of any other."""
    content: Facts = json.loads(json.dumps(facts))
    content.pop(SEAL, None)
    text = json.dumps(content, sort_keys=True)
    return content | {SEAL: hashlib.sha256(text.encode()).hexdigest()}


def write_json(path: Path, facts: Facts) -> None:
    """Write sealed facts, a line for each, as a person reads them."""
    path.write_text(json.dumps(_with_seal(facts), indent=2))


def read_json(path: Path, remedy: str) -> Facts:
    """Sealed facts. Raises `InputError` naming the file and the remedy."""
    try:
        return unsealed(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}; {remedy}") from error


def digests(files: list[Path]) -> dict[str, str]:
    """The sha256 of each file by its name."""
    return {path.name: sha256_of(path) for path in sorted(files)}


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_files(folder: Path, recorded: dict[str, str], remedy: str) -> None:
    """Raise `InputError` naming the first file of a folder that is not as it was recorded."""
    for name, sha256 in recorded.items():
        path = folder / name
        try:
            digest = sha256_of(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
        if digest != sha256:
            raise InputError(f"{path}: altered since it was written; {remedy}")
