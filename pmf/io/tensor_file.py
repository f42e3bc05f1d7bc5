"""Arrays and a header on disk, sealed: one safetensors file with our JSON in it. No pickle."""

import json
import os
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from pmf.errors import InputError
from pmf.io.atomic import replacing
from pmf.io.pytrees import digest, digest_of
from pmf.io.source import Source

FORMAT = "pmf-model"
CHECKSUM = "sha256"
SMALL = 1 << 26  # bytes up to which a file is read, not mapped
TYPES = {"BOOL": "?"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)
}


class Contents(NamedTuple):
    """What a file holds; its arrays lie in a file that `source` watches, if it is not small."""

    header: dict[str, Any]
    tensors: dict[str, np.ndarray]
    source: Source | None


def write(path: Path, version: int, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Write a file whole or not at all. Raises `InputError` where the folder cannot be written."""
    text = json.dumps({"format": FORMAT, "version": version, CHECKSUM: "", **header})
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, {FORMAT: sealed(text, arrays)})
        except SafetensorError as error:  # a full disk, a limit on file size
            raise InputError(f"cannot write {path}: {error}") from error


def read(path: Path, version: int) -> Contents:
    """What `write` wrote: its arrays read, or mapped where the file is not `SMALL`.

    Raises `InputError` naming the file where it is missing, damaged, or of another format or
    version.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such model file")
    try:
        with open(path, "rb") as file:  # once: another file may take its place at any time
            data, source = _bytes_of(file, path)
        text, tensors = _tensors(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a model file, or a damaged one ({error})") from error
    header = _parsed(text)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not one that pmf wrote")
    if header.get("version") != version:
        raise InputError(
            f"{path}: written in format version {header.get('version')!r:.99}, this pmf reads "
            f"{version}; fit it again, or use the pmf that wrote it"
        )
    if not _is_whole(text, header.get(CHECKSUM), tensors):
        raise InputError(f"{path}: damaged: its sha256 does not match")
    return Contents(header, tensors, source)


def sealed(text: str, tensors: dict[str, np.ndarray]) -> str:
    """A header's text with the checksum in the place that it leaves for it.

    It is the sha256 of the text with that place empty, and of every tensor with its name, type and
    shape.
    """
    empty = f'"{CHECKSUM}": ""'
    return text.replace(empty, f'{empty[:-1]}{_checksum(text, tensors)}"', 1)


def _is_whole(text: str, digest: object, tensors: dict[str, np.ndarray]) -> bool:
    """Whether the checksum `digest` in a header's text is right."""
    return isinstance(digest, str) and digest == _checksum(text.replace(digest, "", 1), tensors)


def _checksum(text: str, tensors: dict[str, np.ndarray]) -> str:
    parts = [f"{name} {digest(tensors[name])}" for name in sorted(tensors)]
    return digest_of("\n".join([text, *parts]).encode())


def _bytes_of(file: IO[bytes], path: Path) -> tuple[np.ndarray, Source | None]:
    """What a file holds; of a large one it is left on disk: what is read comes to memory, and the
    system may take it back.
    """
    if os.fstat(file.fileno()).st_size <= SMALL:
        return np.frombuffer(file.read(), np.uint8), None
    source = Source(file.fileno(), path)
    return np.asarray(np.memmap(file, np.uint8, "r")), source


def _tensors(data: np.ndarray) -> tuple[str, dict[str, np.ndarray]]:
    """Our text in a safetensors file, and the tensors, each where it lies in `data`.

    Raises `ValueError`, `KeyError` or `TypeError` for what is no such file: tensors follow one
    another up to the file's end.
    """
    size = int.from_bytes(data[:8].tobytes(), "little")
    header, rest = _parsed(data[8 : 8 + size].tobytes()), data[8 + size :]
    if len(data) < 8 + size or not isinstance(header, dict):
        raise ValueError("no header of safetensors")
    text = header.pop("__metadata__", {}).get(FORMAT, "{}")
    tensors, last = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != last or not begin <= end <= len(rest):
            raise ValueError(f"{name:.99} does not lie behind the one before")
        tensors[name] = rest[begin:end].view(TYPES[entry["dtype"]]).reshape(entry["shape"])
        last = end
    if last != len(rest):
        raise ValueError("it goes on behind the last tensor")
    return text, tensors


def _parsed(text: str | bytes) -> Any:
    """The value of a JSON text; None if it is invalid or nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
