"""Malformed files. Catches: an error that is no `InputError` or names no file, files left behind, a
bomb that is unpacked, a hostile zip, a model that loads and then fails, loops out of bounds, and a
fuzzer that sees none of these."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import pmf
from pmf.data import encoding, kernels
from pmf.data.readers import archives, numeric
from pmf.data.sources import movielens
from pmf.data.sources.base import encoded
from pmf.data.sources.base import load_data as load
from pmf.errors import InputError
from tests.robustness.fuzz import judge, make_input
from tests.robustness.hostile_models import changed, good_files, written
from tests.robustness.hostile_zips import ATTACKS, good_entries
from tests.robustness.hostile_zips import packed as zipped
from tests.robustness.malformed import READERS, Reader

SEED, INPUTS = 0, 200
GOOD = b"user,item,rating\n1,7,1\n2,8,2.5\n"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", READERS)
def test_readers_end_with_a_result_or_an_input_error(name, tmp_path):
    """The same as `python -m tests.robustness.fuzz`, in this process."""
    verdicts = {
        number: judge(READERS[name], make_input(name, READERS[name], SEED, number), tmp_path)
        for number in range(INPUTS)
    }
    wrong = {n: v for n, v in verdicts.items() if v not in ("accepted", "refused")}
    assert not wrong
    assert set(verdicts.values()) == {"accepted", "refused"}  # else it tests one path only


@pytest.mark.parametrize("name", READERS)
def test_inputs_are_the_same_from_the_same_seed(name):
    some, again, other = (
        [make_input(name, READERS[name], seed, n) for n in range(9)] for seed in (1, 1, 2)
    )
    assert some == again != other


# --- the fuzzer -----------------------------------------------------------------------------------


def spoilt(failure) -> Reader:
    def read(folder: Path) -> None:
        failure(next(folder.iterdir()))

    return Reader(lambda rng: {"x.csv": b"x"}, read)


def key_error(path):
    raise KeyError("user_id")


def without_the_file(path):
    raise InputError("row 3: no rating")


def panic(path):
    raise BaseException("a panic of compiled code")


def half_written(path):
    path.with_suffix(".half").touch()


def deletes(path):
    path.unlink()


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (key_error, r"KeyError: 'user_id' \(test_fuzz"),
        (without_the_file, "no file is named"),
        (panic, "BaseException"),
        (lambda path: np.float32(1e39), "RuntimeWarning: overflow"),
        (half_written, "left behind.*x.half"),
        (deletes, "taken away.*x.csv"),
    ],
)
def test_planted_bugs_are_failures(failure, verdict, tmp_path):
    failures = judge(spoilt(failure), {"x.csv": b"x"}, tmp_path)
    assert pd.Series([failures]).str.contains(verdict).all(), failures
    assert judge(spoilt(lambda path: None), {"x.csv": b"x"}, tmp_path) == "accepted"


PLANTED = """
import os, time
from tests.robustness import fuzz
from tests.robustness.malformed import READERS, Reader

def read(folder):
    match int((folder / "number").read_bytes()):
        case 3: raise KeyError("planted")
        case 5: os.abort()
        case 7: time.sleep(15)
        case 9: ballast.append(b"x" * (300 << 20))
        case 11: bytearray(8 << 30)
        case 0 | 12: os.abort()

ballast = []
READERS["planted"] = Reader(lambda rng: {}, read)
fuzz.make_input = lambda name, reader, seed, number: {"number": str(number).encode()}
fuzz.SECONDS = 4.0
fuzz.run_app(fuzz.app)
"""


def test_the_fuzzer_survives_crashes_hangs_and_floods(tmp_path):
    """And names each, goes on after it, and ends with exit code 1."""
    command = [sys.executable, "-c", PLANTED, "--reader", "planted", "--inputs", "13"]
    command += ["--processes", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:5] == ["planted", "13", "6", "0", "7"]
    replays = [line.split("--replay ")[1] for line in lines if "--replay" in line]
    replays = [line.split(":") for line in replays]
    assert [int(number) for number, *_ in replays] == [0, 3, 5, 7, 9, 11, 12]
    crash = "crash (SIGABRT)"
    causes = crash, "KeyError", crash, "hangs", "memory grew by", "MemoryError", crash
    for (_, *words), cause in zip(replays, causes, strict=True):
        assert cause in ":".join(words)


# --- zips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_zips_are_refused(name, tmp_path):
    path = tmp_path / "ml.zip"
    path.write_bytes(ATTACKS[name]())
    with pytest.raises(InputError, match=r"ml\.zip"):
        movielens.read(path, "ml-25m")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("entry above the folder", "'../../evil.csv' lies outside"),
        ("entry with a drive", "lies outside"),
        ("symbolic link", "ratings.csv' is a link"),
        ("decompression bomb", "unpack to"),
        ("duplicated entry", "is there twice"),
        ("encrypted entries", "is encrypted"),
        ("claims 4 GB", "unpack to"),
        ("method lzma", "packed by method 14"),
    ],
)
def test_the_attack_is_named(name, message, tmp_path):
    path = tmp_path / "ml.zip"
    path.write_bytes(ATTACKS[name]())
    with pytest.raises(InputError, match=message):
        movielens.read(path, "ml-25m")


def test_a_good_zip_is_read(tmp_path):
    """Else the tests above prove nothing."""
    path = tmp_path / "ml.zip"
    path.write_bytes(zipped(good_entries()))
    assert len(movielens.read(path, "ml-25m").ratings) == 3


# --- delimited text -------------------------------------------------------------------------------


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress(GOOD + b"\n" * (8 << 20)))
    with pytest.raises(InputError, match=r"r\.csv\.gz: .* bytes that unpack to"):
        load(path)
    path.write_bytes(gzip.compress(GOOD))
    assert len(load(path).ratings) == 2


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"user,item,rating" + b",a" * 20_000, "20,003 columns or more"),
        (b"\n\nuser,item,rating" + b",a" * 20_000, "20,003 columns or more"),
        (b'"us\ner",item,rating' + b",a" * 20_000, "20,003 columns or more"),
        (b"user,item,rating" + b",a" * 1_000_000, "no line ends"),
    ],
)
def test_a_table_too_wide_is_refused_before_its_columns_are_made(header, message, tmp_path):
    """A million of them, 2 MB of text, once took 8 GB."""
    path = tmp_path / "r.csv"
    path.write_bytes(header + b"\n" + b",".join([b"1"] * (1 + header.count(b","))) + b"\n")
    with pytest.raises(InputError, match=message):
        load(path)


def test_compiled_loops_stay_within_their_text(tmp_path, monkeypatch):
    """A line longer than what is read past a block's end: loops once ran on behind the text."""
    pytest.importorskip("numba")
    true = kernels.parse_lines

    def parse_lines(text, size, *arguments):
        assert 0 <= size <= len(text) and (size == 0 or text[size - 1] == ord("\n"))
        return true(text, size, *arguments)

    monkeypatch.setattr(kernels, "parse_lines", parse_lines)
    monkeypatch.setattr(encoding, "LARGE", 0)
    monkeypatch.setattr(numeric, "BLOCK", 64)
    monkeypatch.setattr(numeric, "LONGEST", 32)
    path = tmp_path / "r.csv"
    rows = [f"{'note' * (j % 50)},{j},{j % 7},3.5" for j in range(99)]
    path.write_text("note,user,item,rating\n" + "\n".join(rows) + "\n")
    assert encoded(path).ratings.value.tolist() == [3.5] * 99


def test_lines_that_appear_while_a_file_is_read_are_not_written(tmp_path):
    text = np.frombuffer(b"1,2,3\n4,5,6\n7,8,9\n", np.uint8)
    integers, decimals = np.zeros((2, 2), np.int64), np.zeros(2, np.float32)
    kinds = np.array([kernels.INTEGER, kernels.INTEGER, kernels.DECIMAL])
    count = kernels.parse_lines(text, len(text), ord(","), kinds, integers, decimals, kernels.TENS)
    assert count == kernels.NOT_PLAIN


@pytest.mark.parametrize(
    ("genres", "flags", "message"),
    [
        (b"unknown|0\nunknown|1\n", b"1|0", "u.genre: a genre is there twice"),
        (b"unknown|0\ntitle|1\n", b"1|0", "u.genre: a genre is there twice, or called"),
        (b"7.5|0\n8|1\n", b"1|2", "u.item: a genre is neither 0 nor 1"),
    ],
)
def test_genres_that_are_none(genres, flags, message, tmp_path):
    (tmp_path / "u.data").write_bytes(b"1\t10\t5\t100\n2\t10\t3\t101\n")
    (tmp_path / "u.item").write_bytes(b"10|A (1995)|||http://a|" + flags + b"\n")
    (tmp_path / "u.genre").write_bytes(genres)
    with pytest.raises(InputError, match=message):
        movielens.read(tmp_path, "ml-100k")


# --- Parquet --------------------------------------------------------------------------------------


def table(**columns) -> pa.Table:
    return pa.table({"user": [1, 2], "item": [7, 8], "rating": [1.0, 2.5]} | columns)


def both(path: Path):
    """A table read at once, and in two passes; where both refuse it, the first's error."""
    frame = load(path).ratings
    assert len(encoded(path.parent).ratings.value) == len(frame)
    return frame


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": [[1], [2]]}, "column user_id: its type list.*convert it"),
        ({"item": [{"a": 1}, {"a": 2}]}, "column item_id: its type struct"),
        ({"rating": pa.array([1, 2], pa.timestamp("s"))}, "column rating: its type timestamp"),
        ({"user": [b"x", b"\xff"]}, r"row 2, column user_id: b'\\xff' are bytes, and no UTF-8"),
        ({"rating": [b"1", b"2"]}, "column rating: its type binary"),
        ({"rating": [1.0, 1e300]}, "row 2, column rating: 1e.300 is not a finite number"),
    ],
)
def test_parquet_of_odd_types_is_refused(columns, message, tmp_path):
    pa.parquet.write_table(table(**columns), tmp_path / "r.parquet")
    for read in (load, lambda path: encoded(path.parent)):
        with pytest.raises(InputError, match=message):
            read(tmp_path / "r.parquet")


@pytest.mark.parametrize("note", [b"{", b"[]", b'{"index_columns": ["user"], "columns": []}'])
def test_what_pandas_noted_is_not_believed(note, tmp_path):
    path = tmp_path / "r.parquet"
    pa.parquet.write_table(table().replace_schema_metadata({"pandas": note}), path)
    assert both(path)["user_id"].tolist() == [1, 2]


def test_words_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "r.parquet"
    pa.parquet.write_table(table(user=["abcd", "efgh"]), path, compression="none")
    path.write_bytes(path.read_bytes().replace(b"abcd", b"ab\xffd"))
    for read in (load, lambda path: encoded(path.parent)):
        with pytest.raises(InputError, match="cannot be read .*UTF8"):
            read(path)


def test_numbers_of_rows_are_not_believed(tmp_path):
    """A footer that says 1,001 of 1,000 rows, in one place or in all: arrays of that length would
    have numbers in them that are in no file."""
    path, rows = tmp_path / "r.parquet", np.arange(1000)
    pa.parquet.write_table(
        pa.table({"user": rows, "item": rows, "rating": rows / 200}), path, use_dictionary=False
    )
    whole, count, false = path.read_bytes(), b"\x16\xd0\x0f", b"\x16\xd2\x0f"  # 64-bit, zigzag
    truth = encoded(path).ratings.value.tolist()
    places = [j for j in range(len(whole)) if whole.startswith(count, j)]
    assert len(places) >= 2  # of the file, of its row group
    messages = []
    for data in (
        *(whole[:j] + false + whole[j + 3 :] for j in places),
        whole.replace(count, false),
    ):
        path.write_bytes(data)
        for where in (path, tmp_path):
            try:
                assert encoded(where).ratings.value.tolist() == truth
            except InputError as error:
                messages.append(str(error))
    for message in ("1,001 rows in groups of [1000]", "1,000 rows in groups of [1001]"):
        assert sum(message in error for error in messages) == 2
    assert all("not as many rows as it says" in error for error in messages[-2:])


def test_a_parquet_bomb_is_refused(tmp_path, monkeypatch):
    """Runs cost nothing: a million equal rows are a few hundred bytes."""
    monkeypatch.setattr(archives, "FREE", 1 << 20)
    path, rows = tmp_path / "r.parquet", np.ones(1_000_000, np.int64)
    pa.parquet.write_table(pa.table({"user": rows, "item": rows, "rating": rows}), path)
    for read in (load, lambda path: encoded(path.parent)):
        with pytest.raises(InputError, match="unpack to 20,000,000 or more"):
            read(path)


# --- models ---------------------------------------------------------------------------------------


def put(name: str, change):
    def on(tensors):
        tensors[name] = change(tensors[name].copy())

    return on


def first(value):
    def change(x):
        x.flat[0] = value
        return x

    return change


BAD_ARRAYS = {
    "NaN in the factors": put("user.factor", first(np.nan)),
    "infinity in a bias": put("item.bias", first(np.inf)),
    "NaN in mu": put("mu", first(np.nan)),
    "negative variance": put("noise_variance", first(-1.0)),
    "negative count": put("user.count", first(-1)),
    "counts that are no numbers": put("user.count", lambda x: x.astype("f4")),
    "factors of half precision": put("user.factor", lambda x: x.astype("f2")),
    "a rank that the settings have not": put("item.factor", lambda x: x[..., :1]),
    "a draw less": put("mu", lambda x: x[:0]),
    "an axis more": put("noise_variance", lambda x: x[None]),
    "a row less": put("user.factor", lambda x: x[:, 1:]),
    "the same id twice": put("user.ids", first(2)),
    "ids in a table": put("user.ids", lambda x: x[None]),
    "no ids": lambda tensors: tensors.pop("user.ids"),
}
BAD_HEADERS = {
    "unknown setting": lambda header: header["settings"].update(rnk=3),
    "a setting called self": lambda header: header["settings"].update(self=3),
    "settings of another type": lambda header: header.update(settings=[]),
    "rank of another type": lambda header: header["settings"].update(rank="many"),
    "log posterior of another type": lambda header: header.update(log_posterior=[1]),
    "invalid records": lambda header: header.update(records=[[1, 2]]),
    "a number beyond floats": lambda header: header.update(compile_seconds=10**400),
    "no search": lambda header: header.pop("search"),
    "invalid trials": lambda header: header["search"].__setitem__(1, [["x"]]),
}


@pytest.mark.parametrize("name", [*BAD_ARRAYS, *BAD_HEADERS])
def test_models_that_no_fit_wrote_are_refused(name, tmp_path):
    """Their checksum is right: what is wrong is found in the content."""
    path = tmp_path / "model.pmf"
    if name in BAD_ARRAYS:
        path.write_bytes(changed(0, tensors=BAD_ARRAYS[name]))
    else:
        path.write_bytes(changed(0, header=BAD_HEADERS[name]))
    with pytest.raises(InputError, match=r"model\.pmf: damaged content"):
        pmf.load(path)


@pytest.mark.parametrize("lengths", [[-1, 11, 0, 0, 0], [2**62] * 4 + [10], [2, 2, 2, 2, 3]])
def test_words_with_wrong_lengths_are_refused(lengths, tmp_path):
    path = tmp_path / "model.pmf"
    spoil = put("user.lengths", lambda x: np.array(lengths))
    path.write_bytes(changed(1, tensors=spoil))
    with pytest.raises(InputError, match="words that are longer or shorter"):
        pmf.load(path)


def test_every_flipped_bit_is_noticed(tmp_path):
    """Of a good file: a model that loads is the model that was saved."""
    path, whole = tmp_path / "model.pmf", good_files()[0]
    path.write_bytes(whole)
    pmf.load(path)
    for bit in np.random.default_rng(0).choice(8 * len(whole), 600, replace=False):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"model\.pmf"):
            pmf.load(path)


def test_every_truncated_model_is_refused(tmp_path):
    path, whole = tmp_path / "model.pmf", good_files()[1]
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a model file, or a damaged one"):
            pmf.load(path)


def model_text(**changes) -> tuple[str, dict]:
    content = {}
    changed(0, content.update, lambda tensors: content.update(tensors=dict(tensors)))
    tensors = content.pop("tensors")
    return json.dumps(content | changes), tensors


def test_headers_too_large_too_deep_or_of_another_version(tmp_path):
    path = tmp_path / "model.pmf"
    for data, message in (
        ((1 << 62).to_bytes(8, "little") + b"{}", "damaged one"),
        ((1 << 20).to_bytes(8, "little") + b"{}" * 99, "damaged one"),
        (written("[" * 200_000, model_text()[1]), "not one that pmf wrote"),
        (written(*model_text(format="x")), "not one that pmf wrote"),
        (written(*model_text(version=3)), "format version 3, this pmf reads 2"),
        (written(*model_text(version=[1])), "format version"),
        (written(*model_text(), seal=False), "damaged: its sha256"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            pmf.load(path)
