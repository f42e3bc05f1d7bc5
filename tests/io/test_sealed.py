"""Sealed files. Catches: a bit that comes back otherwise, a damaged, renamed or foreign file
that is read, one of somebody else's that is removed."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from pmf.errors import InputError
from pmf.io import sealed
from pmf.io.pytrees import digest, digest_of
from tests.io.test_atomic import killed_parts

KIND = ".pmf-state"
FACTS = {"x": [0.1 + 0.2, float("inf"), 5e-324], "text": "\u00e9\n"}
ARRAYS = {
    "odd": np.arange(3, dtype=np.int8),  # the next one begins at no multiple of its size
    "last": np.array([[0.1, np.nan], [-0.0, 5e-324]]).T,
    "none": np.zeros((4, 0), np.float32),
    "one": np.array(7, np.uint32),
    "half": np.asarray(jnp.asarray([1.5, -2], jnp.bfloat16)),
}


def test_facts_and_arrays_come_back_bit_for_bit(tmp_path):
    path = sealed.write(tmp_path, 12, KIND, FACTS, ARRAYS)
    facts, arrays = sealed.read(path)
    assert facts == FACTS and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert digest(arrays[name]) == digest(array)
    assert [sealed.step_of(path), path.suffix, list(tmp_path.iterdir())] == [12, KIND, [path]]
    empty = sealed.write(tmp_path, 0, KIND, {}, {})
    assert sealed.read(empty) == ({}, {})


def test_a_flipped_bit_anywhere_and_every_length_is_noticed(tmp_path):
    path = sealed.write(tmp_path, 3, KIND, {"a": 1}, {"x": np.ones(2, np.int8)})
    content = path.read_bytes()
    wrong = [content[:size] for size in range(len(content))] + [content + b"\0"]
    for at in range(len(content)):
        one = bytearray(content)
        one[at] ^= 1 << at % 8
        wrong.append(bytes(one))
    for damaged in wrong:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="was altered since it was written"):
            sealed.read(path)


def test_a_renamed_file_and_a_whole_one_in_its_place_are_noticed(tmp_path):
    one, two = (sealed.write(tmp_path, 3, KIND, {"a": a}, {}) for a in (1, 1))
    assert one != two
    for new in (two.name, one.name.replace("3-", "4-"), one.name.replace("state", "draws")):
        renamed = one.replace(tmp_path / new)
        with pytest.raises(ValueError, match="is another file, renamed"):
            sealed.read(renamed)
        one = sealed.write(tmp_path, 3, KIND, {"a": 1}, {})


@pytest.mark.parametrize(
    "text", ["null", "[" * 99_999, '[0, 3, "", {}, {"x": ["int8", [9]]}]', "[3, {}]"]
)
def test_a_seal_by_somebody_else_is_damage_too(text, tmp_path):
    body = text.encode() + b"\n"
    sha256 = digest_of(body)
    path = tmp_path / f"00000003-{sha256[:16]}{KIND}"
    path.write_bytes(sealed.MARK + f"{sha256}\n".encode() + body)
    with pytest.raises(sealed.DAMAGE):
        sealed.read(path)


def test_what_is_no_file_is_damage(tmp_path):
    for name, make in (("dir", os.mkdir), ("pipe", os.mkfifo), ("gone", lambda path: None)):
        make(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} is not a file|no {name}"):
            sealed.read(tmp_path / name)


def test_the_newest_comes_first(tmp_path):
    for step in (9, 123_456_789, 10):
        sealed.write(tmp_path, step, KIND, {}, {})
    sealed.write(tmp_path, 11, ".pmf-draws", {}, {})
    (tmp_path / f"12{KIND}").touch()
    paths = sealed.named(tmp_path, KIND)
    assert [sealed.step_of(path) for path in paths] == [123_456_789, 10, 9]


def test_only_what_is_ours_by_name_and_content_is_removed(tmp_path):
    ours = sealed.write(tmp_path, 3, KIND, {}, {})
    foreign = [tmp_path / name for name in (".env", "mine.csv", f".{ours.name}.part")]
    foreign += [tmp_path / ours.name.replace("3-", step) for step in ("5-", "6-", "7-", "8-")]
    for path in foreign[:4]:
        path.write_text("mine")
    foreign[4].symlink_to(ours)
    foreign[5].mkdir()
    os.mkfifo(foreign[6])
    damaged = tmp_path / ours.name.replace("3-", "4-")
    damaged.write_bytes(ours.read_bytes()[:-1])
    begun = killed_parts(tmp_path)
    model = tmp_path / "m.pmf"  # which it was to be
    everything = sealed.named(tmp_path)
    assert {ours, damaged, *foreign[3:]} == set(everything) and begun.exists()
    sealed.remove(everything)
    sealed.remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, model])


def test_a_write_that_fails_leaves_nothing_and_says_why(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="cannot write .*00000003.*: No space left on device"):
        sealed.write(tmp_path, 3, KIND, FACTS, ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_synced_after_its_file_has_its_name(tmp_path, monkeypatch):
    """Or a power cut could take the file back that a caller was told is there."""
    synced, fsync = [], os.fsync

    def note(handle):
        synced.append((os.readlink(f"/proc/self/fd/{handle}"), sorted(os.listdir(tmp_path))))
        fsync(handle)

    monkeypatch.setattr("os.fsync", note)
    path = sealed.write(tmp_path, 3, KIND, {}, {})
    assert path.name not in synced[0][1] and synced[-1][0] == str(tmp_path)
    assert path.name in synced[-1][1]


def test_the_text_is_one_line_of_json(tmp_path):
    lines = sealed.write(tmp_path, 3, KIND, FACTS, {}).read_bytes().split(b"\n")
    assert len(lines) == 4 and json.loads(lines[2])[1:4] == [3, KIND, FACTS]
