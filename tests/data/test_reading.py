"""Text as files have it. Catches: a quote that swallows ratings or is dropped from an id, a word
taken for a missing value, a format misread, an option that a fast path does not hear of, a bomb."""

import bz2
import gzip
import io
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import mmwrite

import pmf
from pmf.data import encoding
from pmf.data.readers import archives, lines, numeric, text
from pmf.data.readers.files import read_ratings, read_whole
from pmf.data.readers.quotes import Watched
from pmf.data.readers.reading import Reading
from pmf.data.sources.base import encoded
from pmf.data.sources.base import load_data as load

ROWS = [(1, "007", 3.5, 99), (2, "weird al", 4.0, 100), (1, "NA", 0.5, 101)]
FRAME = pd.DataFrame(ROWS, columns=["user_id", "item_id", "rating", "timestamp"])


def joined(separator: str, *head: str) -> str:
    return "\n".join([*head, *(separator.join(map(str, row)) for row in ROWS)]) + "\n"


def read(folder, name: str, content: str | bytes, **options) -> pd.DataFrame:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_ratings(path, reading=Reading(**options))


def zipped(**files: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


JSON = "".join(
    f'{{"User ID": {u}, "text": "x\\ny", "item": "{i}", "score": {r}, "time": {t}, "z": [{{}}]}}\n'
    for u, i, r, t in ROWS
)
HEADER = "user,item,rating,timestamp"
FORMATS = {
    "csv": ("r.csv", joined(",", HEADER), {}),
    "tsv": ("r.tsv", joined("\t", HEADER.replace(",", "\t")), {}),
    "dat": ("r.dat", joined("::"), {}),
    "dat with tabs": ("r.dat", joined("\t", HEADER.replace(",", "\t")), {}),
    "inter": ("r.inter", joined("\t", "user_id:token\titem_id:token\trating:float\tts:float"), {}),
    "json lines": ("r.jsonl", JSON, {}),
    "json lines, blank ones": ("r.json", JSON.replace("\n", "\n\n"), {}),
    "no header": ("u.data", joined("\t"), {"separator": "tab", "header": False}),
    "any suffix": ("ratings", joined("|", HEADER.replace(",", "|")), {"separator": "pipe"}),
    "semicolons": ("r.csv", joined(";", '"User-ID";"ISBN";"Book-Rating";"ts"'), {"separator": ";"}),
    "latin": ("r.csv", joined(",", HEADER), {"encoding": "latin-1"}),
    "utf16": (
        "r.tsv",
        joined("\t", HEADER.replace(",", "\t")).encode("utf16"),
        {"encoding": "utf16"},
    ),
    "wide sign": ("r.txt", joined("¦", HEADER.replace(",", "¦")), {"separator": "¦"}),
    "told": (
        "r.csv",
        joined(",", "who,user,plays,when"),
        {"columns": {"user": "who", "item": "user", "rating": "PLAYS", "timestamp": "when"}},
    ),
    "told by number": (
        "r.dat",
        "\n".join(f"{t}::{r}::{u}::{i}" for u, i, r, t in ROWS),
        {"columns": {"user": 3, "item": 4, "rating": 2, "timestamp": 1}},
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_the_same_table(tmp_path, name):
    file, content, options = FORMATS[name]
    table = read(tmp_path, file, content, **options)
    pd.testing.assert_frame_equal(
        table[[*FRAME.columns]], FRAME, check_dtype=False, check_column_type=False
    )
    assert table["user_id"].dtype == np.int64


PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
    ".zip": lambda content: zipped(**{"in/r.csv": content, "__MACOSX/in/._r.csv": b"?"}),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_files_are_read_and_damage_is_named(tmp_path, suffix):
    whole = PACKERS[suffix](joined(",", HEADER).encode())
    pd.testing.assert_frame_equal(read(tmp_path, f"r.csv{suffix}", whole), FRAME, check_dtype=False)
    for damaged in (b"nonsense", whole[: len(whole) // 2], b""):
        with pytest.raises(pmf.InputError, match=r"r\.csv\.\w+: ") as raised:
            read(tmp_path, f"r.csv{suffix}", damaged)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf8", "utf16", "ascii", "cp1252", "utf32"])
def test_text_of_another_encoding_than_was_said_is_named(tmp_path, encoding):
    content = b"user,item,rating\n1,\xff\xfe\x81,3\n2,a,3\n"
    with pytest.raises(pmf.InputError, match=r"r.csv: .*encoding") as raised:
        read(tmp_path, "r.csv", content, encoding=encoding)
    assert "\n" not in str(raised.value)


def test_packed_json_lines(tmp_path):
    table = read(tmp_path, "r.jsonl.bz2", bz2.compress(JSON.encode()))
    assert table["item_id"].tolist() == FRAME["item_id"].tolist()


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_bomb_is_refused(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(archives, "FREE", 1 << 16)
    bomb = joined(",", HEADER).encode() + b"1,2,3,4\n" * 300_000
    with pytest.raises(pmf.InputError, match="that unpack to .* as no ratings do"):
        read(tmp_path, f"r.csv{suffix}", PACKERS[suffix](bomb))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": b"", "b.csv": b""}, "one file is needed in it, there are: a.csv, b.csv"),
        ({}, "there are: none"),
        ({"../a.csv": b""}, "lies outside of every folder"),
        ({"a.parquet": b""}, "a Parquet file packed once more"),
    ],
)
def test_a_zip_holds_one_text(tmp_path, files, message):
    with pytest.raises(pmf.InputError, match=message):
        read(tmp_path, "r.zip", zipped(**files))


# --- quotes ---------------------------------------------------------------------------------------


def test_tsv_has_no_quotes_unless_asked(tmp_path):
    content = 'user\titem\trating\n1\t"weird al" yankovic\t3\n2\tweird al yankovic\t4\n3\t"x\t5\n'
    ids = read(tmp_path, "r.tsv", content)["item_id"].tolist()
    assert ids == ['"weird al" yankovic', "weird al yankovic", '"x']
    unquoted = read(tmp_path, "r.tsv", 'user\titem\trating\n1\t"a\tb"\t3\n', quoting=True)
    assert unquoted["item_id"].tolist() == ["a\tb"]


LONE = {
    "amid a field": ('1,2,3,x\n2,"weird al" yankovic,4,y\n3,4,5,z\n', "line 3"),
    "never closed": ('1,2,3,x\n2,"b,4,y\n3,4,5,z\n4,5,1,z\n', "line 3"),
    "closed in another row": ('1,2,3,x\n2,"b,4,y\n3,"c,5,z\n4,5,1,z\n', "line 3"),
    "at two ends of a last column": ('1,2,3,"x\n2,3,4,y\n3,4,5,"\n4,5,1,z\n', "line 2"),
    "at the next row's end": ('1,2,3,"x\n2,3,4,"\n4,5,1,z\n', "line 2"),
    "in an id": ('1,"a\nb",3,x\n2,3,4,y\n', "line 2.* is an id"),
    "in the last field": ('1,2,3,x\n2,3,4,"y', "line 3"),
    "Windows": ('1,2,3,x\r\n2,3,4,"y\r\n3,4,5,z\r\n4,5,1,"\r\n5,6,1,\r\n', "line 3"),
    "old Macintosh": ('1,2,3,x\r2,3,4,"y\r3,4,5,z\r4,5,1,"\r5,6,1,\r', "line 3"),
}


@pytest.mark.parametrize("block", [7, 1 << 20])
@pytest.mark.parametrize("name", LONE)
def test_a_lone_quote_swallows_nothing(tmp_path, name, block, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", block)
    content, place = LONE[name]
    end = "\r\n" if "\r\n" in content else "\r" if "\r" in content else "\n"
    with pytest.raises(pmf.InputError, match=f"r.csv, {place}.*quoting=False") as raised:
        read(tmp_path, "r.csv", f"user,item,rating,title{end}{content}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("content", [content for content, _ in LONE.values()])
def test_counts_do_not_depend_on_how_much_is_read_at_a_time(content, size):
    whole, parts = (Watched(io.BytesIO(content.encode()), ",") for _ in range(2))
    whole.read()
    while parts.read(size):
        pass
    counts = [(one.lines, one.quotes, one.amid) for one in (whole, parts)]
    assert counts[0] == counts[1] and counts[0][1] == content.count('"')


FINE = {
    "a long text": ('1,2,3,"two\nlines, or\n\nthree, 4"\n2,3,4,x\n', 2),
    "quotes in quotes": ('1,2,3,"say ""hi"" there"\n2,3,4,"""x"""\n', 2),
    "inches": ('1,2,3,a 6" nail\n2,3,4,x\n', 2),
    "empty": ('1,2,3,""\n2,3,4,\n\n', 2),
    "no line end": ('1,2,3,"a\nb"\n2,3,4,"x"', 2),
}


@pytest.mark.parametrize("name", FINE)
def test_quotes_that_are_right_stay_right(tmp_path, name):
    content, rows = FINE[name]
    table = read(tmp_path, "r.csv", "user,item,rating,title\n" + content)
    assert table["user_id"].tolist() == [1, 2] and table["rating"].tolist() == [3, 4]
    assert len(table) == rows


def test_a_first_column_of_several_lines_is_no_row(tmp_path):
    table = read(tmp_path, "r.csv", 'text,user,item,rating\n"two\nlines",1,2,3\nx,2,3,4\n')
    assert table["item_id"].tolist() == [2, 3]


def test_long_texts_across_blocks(tmp_path, monkeypatch):
    """pyarrow cuts blocks at any line end, unless told that quotes may hold one."""
    monkeypatch.setattr(text, "BLOCK", 1000)
    rows = "".join(f'{j},{j % 7},{j % 5},"line\nof {j}\nwords"\n' for j in range(500))
    table = read(tmp_path, "r.csv", "user,item,rating,text\n" + rows)
    assert table["user_id"].tolist() == list(range(500))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["a", 'b"c', '"d"', "e,f", "g\nh", ""])),
        min_size=1,
        max_size=8,
    ),
    st.integers(3, 40),
)
def test_well_written_quotes_are_never_refused(tmp_path_factory, rows, block):
    """What pandas writes is read back, wherever reads cut it."""
    frame = pd.DataFrame(rows, columns=["rating", "text"]).assign(user=1, item=7)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    frame[["user", "item", "rating", "text"]].to_csv(path, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        assert read_ratings(path)["rating"].tolist() == frame["rating"].tolist()


# --- missing values -------------------------------------------------------------------------------

WORDS = ["NA", "null", "None", "nan", "NaN", "N/A", "NULL", "#N/A", "n/a", "-", "inf"]


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.jsonl"])
def test_only_an_empty_field_is_missing(tmp_path, name):
    mark = "," if name == "r.csv" else "\t"
    content = mark.join(["user", "item", "rating"]) + "\n"
    content += "".join(f"{word}{mark}{word}{mark}3\n" for word in WORDS)
    if name == "r.jsonl":
        content = "".join(f'{{"user": "{w}", "item": "{w}", "rating": 3}}\n' for w in WORDS)
    (tmp_path / name).write_text(content)
    assert load(tmp_path / name).ratings["user_id"].tolist() == WORDS
    empty = content.replace("None", "")
    (tmp_path / name).write_text(empty)
    if name != "r.jsonl":
        with pytest.raises(pmf.InputError, match="row 3, column user_id: .* is missing"):
            load(tmp_path / name)


@pytest.mark.parametrize("word", ["NA", "3,5", "true", "five", "2004-12-31"])
def test_a_rating_that_is_none_is_named_with_its_row(tmp_path, word):
    """In the first block, and long after the type of the column is settled."""
    for rows in (3, 900_000):
        values = ["4.5"] * rows
        values[-2] = word
        content = "user\titem\trating\n" + "".join(f"1\t{j}\t{x}\n" for j, x in enumerate(values))
        (tmp_path / "r.tsv").write_text(content)
        with pytest.raises(pmf.InputError, match=f"row {rows - 1}, column rating: '{word}' is not"):
            load(tmp_path / "r.tsv")


# --- spaces, matrices, the Netflix prize ----------------------------------------------------------


@pytest.mark.parametrize("block", [3, 10, 1 << 20])
def test_any_run_of_blanks_parts_fields(tmp_path, block, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", block)
    content = " user  item\trating \r\n1 7  3.5\r\n\r\n  2 \t 8 4  \r\n3 9 5"
    table = read(tmp_path, "r.txt", content, separator="space")
    assert table.to_numpy().tolist() == [[1, 7, 3.5], [2, 8, 4], [3, 9, 5]]


@pytest.mark.parametrize("block", [3, 10, 1 << 20])
def test_the_netflix_prize(tmp_path, block, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", block)
    content = "1:\n14,3,2005-09-06\n82,5,2005-05-13\n2:\n20,4,2005-09-05\n17:\n3:\n14,1,2001-01-01"
    for end in ("\n", "\r\n"):
        table = read(tmp_path, "combined_data_1.txt", content.replace("\n", end))
        assert table["user_id"].tolist() == [14, 82, 20, 14]
        assert table["item_id"].tolist() == [1, 1, 2, 3]
        assert table["rating"].tolist() == [3, 5, 4, 1]
        assert pd.to_datetime(table["timestamp"]).dt.year.tolist() == [2005, 2005, 2005, 2001]


@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
def test_matrix_market_is_as_scipy_writes_it(tmp_path, field):
    rng = np.random.default_rng(0)
    value = np.array([0, 1, 2, 3, 4, 5]) if field == "integer" else np.array([0, 1, 2.5, 3, 4, 5])
    place = rng.permutation(20)[:6]
    matrix = sparse.coo_array((value, (place // 5, place % 5)), (4, 5))
    mmwrite(tmp_path / "r.mtx", matrix, field=field, symmetry="general", comment="a\nb")
    table = read_ratings(tmp_path / "r.mtx")
    assert table["user_id"].tolist() == (place // 5 + 1).tolist()
    assert table["item_id"].tolist() == (place % 5 + 1).tolist()
    assert table["rating"].tolist() == ([1.0] * 6 if field == "pattern" else value.tolist())


GOOD = "%%MatrixMarket matrix coordinate real general\n3 4 2\n1 2 3.5\n3 4 0\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace("coordinate", "array"), "a dense matrix"),
        (GOOD.replace("real", "complex"), "a matrix of complex numbers"),
        (GOOD.replace("general", "symmetric"), "a symmetric matrix"),
        (GOOD.replace("4 2\n", "4 3\n"), "2 entries, and 3 by its head"),
        (GOOD.replace("3 4 0", "3 5 0"), "a number of item_id is not from 1 to 4"),
        (GOOD.replace("3 4 0", "3 4 x"), "row 2, column rating: 'x'"),
        (GOOD.replace("3 4 2\n", ""), "no line says how many|by its head"),
        ("1 2 3\n", "not that of a Matrix Market file"),
        (GOOD.replace("3 4 2", "9" * 5000 + " 4 2"), "its size cannot be read"),
        ("", "not that of a Matrix Market file"),
    ],
)
def test_matrices_that_are_no_ratings_are_named(tmp_path, content, message):
    (tmp_path / "r.mtx").write_text(content)
    with pytest.raises(pmf.InputError, match=message):
        load(tmp_path / "r.mtx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"user": 1}]', "one array; an object a line is read, as pandas.read_json"),
        ("nope\n", "its first line is no object"),
        ("3\n", "its first line is no object"),
        ("", "its first line is no object"),
        ("[" * 100_000, "one array"),
        ('{"a":' * 100_000, "its first line is no object"),
        ('{"who": 1, "item": 2, "rating": 3}\n', r"no column user_id; the table has \['who'"),
        ('{"user": null, "item": 2, "rating": 3}\n', "'user': null in the first line"),
        ('{"user": [1], "item": 2, "rating": 3}\n', "'user': a number or a word is needed"),
        (
            '{"user": 1, "item": 2, "rating": 3}\n{"user": [1], "item": 2, "rating": 3}\n',
            r"row 2, column user_id: \[1\] is of type list",
        ),
        ('{"user": 1, "item": 2, "rating": 3}\n{"item": 2, "rating": 3}\n', "row 2.*is missing"),
        ('{"user": 1, "item": 2, "rating": 3}\n{"user": 1', "JSON parse error"),
    ],
)
def test_json_that_is_no_table_is_named(tmp_path, content, message):
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(pmf.InputError, match=message) as raised:
        load(tmp_path / "r.jsonl")
    assert "r.jsonl" in str(raised.value)


def test_ids_of_json_are_never_floats(tmp_path):
    big = 2**53 + 1
    content = "".join(f'{{"user": {big + j}, "item": "0{j}", "rating": 4}}\n' for j in range(3))
    table = read(tmp_path, "r.jsonl", content)
    assert table["user_id"].tolist() == [big, big + 1, big + 2]
    assert table["item_id"].tolist() == ["00", "01", "02"]


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": "x"}, "say comma, tab"),
        ({"separator": ""}, "say comma, tab"),
        ({"separator": 3}, "say comma, tab"),
        ({"separator": '"'}, "say comma, tab"),
        ({"encoding": "klingon"}, "no encoding of that name"),
        ({"encoding": None}, "no encoding of that name"),
        ({"encoding": "rot13"}, "no encoding of that name"),
        ({"columns": {"who": "x"}}, "'who' is none of user, item, rating, timestamp"),
        ({"columns": {"user": "a", "item": "a"}}, "each column can be one thing only"),
        ({"columns": {"user": ""}}, "the name of a column is needed"),
        ({"columns": ["a"]}, "say columns="),
        ({"header": "no"}, "say True or False"),
        ({"separator": "::", "quoting": True}, "fields are quoted where one character parts them"),
        ({"header": False, "columns": {"user": "who"}}, "without a header say their numbers"),
    ],
)
def test_a_reading_that_cannot_be_is_refused(options, message):
    with pytest.raises(pmf.InputError, match=message):
        Reading(**options)


def test_a_first_line_without_names_is_told_of(tmp_path):
    with pytest.raises(pmf.InputError, match="one column only, '1;7;3'; say how its fields are"):
        read(tmp_path, "r.txt", "1;7;3\n1;8;4\n")
    with pytest.raises(pmf.InputError, match=r"no names of columns but \['1', '7', '3.5'\];"):
        read(tmp_path, "r.txt", "1;7;3.5\n1;8;4\n", separator=";")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ml-small-2016", {"separator": ";"}),
        ("ml-small-2016", {"columns": {"user": "x"}}),
        ("r.parquet", {"encoding": "latin-1"}),
        ("r.jsonl", {"header": False}),
        ("r.mtx", {"columns": {"user": "x"}}),
        (".", {"header": False}),
    ],
)
def test_what_a_file_has_not_is_refused(tmp_path, name, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_parquet("r.parquet")
    (tmp_path / "r.jsonl").write_text(JSON)
    (tmp_path / "r.mtx").write_text(GOOD)
    with pytest.raises(pmf.InputError, match=f"{next(iter(options))}: what it is read by is known"):
        encoded(name, reading=Reading(**options))
    with pytest.raises(pmf.InputError):
        load(name, Reading(**options))


def test_a_frame_is_not_read():
    with pytest.raises(pmf.InputError, match="separator: what it is read by is known"):
        pmf.PMF().fit(FRAME, reading=Reading(separator=";"))


def test_columns_are_told_of_parquet_too(tmp_path):
    strange = FRAME.set_axis(["who", "what", "plays", "when"], axis=1)
    (tmp_path / "folder").mkdir()
    strange.to_parquet(tmp_path / "folder" / "a.parquet")
    reading = Reading(columns={"user": "who", "item": "what", "rating": "plays"})
    table = load(tmp_path / "folder" / "a.parquet", reading).ratings
    assert table["rating"].tolist() == FRAME["rating"].tolist()
    for path in (tmp_path / "folder", tmp_path / "folder" / "a.parquet"):
        data = encoded(path, reading=reading)
        assert data.ratings.value.tolist() == FRAME["rating"].tolist()
        assert data.items.values.tolist() == FRAME["item_id"].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"separator": ";"},
        {"columns": {"user": "other", "rating": "time"}},
        {"header": False},
        {"quoting": True},
        {"encoding": "utf16"},
    ],
)
def test_the_fast_path_hears_what_is_said(tmp_path, options, monkeypatch):
    """It reads the same, or leaves the file to the other path; and it is taken where it can be."""
    mark = options.get("separator", "\t")
    names = "" if options.get("header") is False else "user other item rating time\n"
    rows = "".join(f"{j % 9} {j % 5} {j} {j % 10 / 2} {j}\n" for j in range(300))
    content = (names + rows).replace(" ", mark).encode(options.get("encoding", "utf8"))
    exact = read(tmp_path, "r.tsv", content, **options)
    monkeypatch.setattr(encoding, "LARGE", 0)
    monkeypatch.setattr(numeric, "BLOCK", 1000)
    if not {"header", "encoding"} & set(options):
        pytest.importorskip("numba")
        monkeypatch.setattr("pmf.data.readers.files.read_csv", None)
    pd.testing.assert_frame_equal(
        read(tmp_path, "r.tsv", content, **options), exact, check_dtype=False
    )


def test_a_file_with_all_its_columns_is_none_for_the_fast_path(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "LARGE", 0)
    (tmp_path / "r.csv").write_text("userId,tag,item,rating\n" + "7,8,9,3\n" * 9)
    whole = read_whole(tmp_path / "r.csv")
    assert list(whole.frame) == ["userId", "tag", "item", "rating"]
    assert whole.ratings["user_id"].tolist() == [7] * 9


def test_unquoted_headers_keep_their_quotes_on_the_fast_path(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "LARGE", 0)
    content = '"user"\titem\trating\n' + "1\t2\t3\n" * 9
    table = read(tmp_path, "r.tsv", content, columns={"user": '"user"'})
    assert table["user_id"].tolist() == [1] * 9


@pytest.mark.slow
def test_a_model_is_fitted_by_what_is_said(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("\n".join(f"{j % 7};{j % 11};{j % 5}" for j in range(77)))
    reading_options = pmf.Reading(separator=";", header=False)
    prior = pmf.from_ridge(pmf.Ridge(1, 1, 1, 1), tau=1.0)
    model = pmf.PMF(rank=0, prior=prior).fit(path, reading=reading_options)
    other = pmf.PMF(rank=0, prior=prior).fit(pmf.load_data(path, reading_options).ratings)
    assert model.log_posterior() == other.log_posterior()
