"""Readers, checks and splits. Catches: a lost row, a silent repair, a message without its row."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmf.data import encoding, splits
from pmf.data.columns import REQUIRED
from pmf.data.frames import checked, encode
from pmf.data.readers import numeric
from pmf.data.readers.files import read_ratings, write_table
from pmf.data.sources import movielens
from pmf.data.sources.base import BUNDLED, load_items
from pmf.data.sources.base import load_data as load
from pmf.data.synthetic import movielens_shaped
from pmf.errors import InputError
from tests.helpers.tables import tidy

GOOD = pd.DataFrame(
    {"user": [1, 1, 2, 3], "item": [7, 8, 7, 9], "rating": [1.0, 2.5, 4, 5], "time": [4, 3, 2, 1]}
)


def changed(**columns) -> pd.DataFrame:
    return GOOD.assign(**columns)


# --- frames ---------------------------------------------------------------------------------------


def test_aliases_become_canonical_columns():
    names = {"user": "userId", "item": "movieId", "time": "timestamp"}
    for frame in (GOOD, GOOD.rename(columns=names)):
        table = tidy(frame)
        assert list(table.columns) == ["user_id", "item_id", "rating", "timestamp"]
        assert table["rating"].tolist() == [1.0, 2.5, 4.0, 5.0]


SIGNALLING = np.array([1.0, np.inf, 3.0, 4.0]).view(np.int64) + [0, 1, 0, 0]
SIGNALLING = SIGNALLING.view(np.float64)  # a NaN that complains of every cast


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (GOOD.drop(columns="rating"), "no column rating; the table has .* may be called"),
        (GOOD.assign(userId=1), r"columns \['user', 'userId'\] all mean user_id"),
        (pd.concat([GOOD, GOOD[["user"]]], axis=1), "occur twice"),
        (changed(rating=[1, 2, "x", 4]), "row 3, column rating: 'x' is not a finite number"),
        (changed(rating=[1, np.nan, 3, 4]), "row 2, column rating"),
        (changed(rating=[1, 2, 3, np.inf]), "row 4, column rating: inf"),
        (changed(rating=SIGNALLING), "row 2, column rating: nan"),
        (changed(rating=[1, 2, 3, 11]), r"row 4.*11.* is outside the scale 0.5 to 5"),
        (changed(user=[1, None, 2, 3]), "row 2, column user_id: .* is missing"),
        (changed(user=[[1], [1], [2], [3]]), r"row 1, column user_id: \[1\] is of type list"),
        (changed(user=1), "only one user"),
        (changed(item=7, user=[1, 2, 3, 4]), "only one item"),
        (changed(item=[7, 7, 7, 9]), "row 2: user 1 rates item 7 a second time"),
        (GOOD[:0], "no ratings"),
    ],
)
def test_bad_frames_name_the_row_and_the_remedy(frame, message):
    with pytest.raises(InputError, match=message):
        tidy(frame, "ratings.csv", scale=(0.5, 5))


def test_the_ends_of_a_scale_are_on_it():
    """Rounded to single precision 0.7 is less than it was, and 0.1 more."""
    frame = changed(rating=[0.7, 0.8, 0.9, 1.1])
    assert len(tidy(frame, scale=(0.7, 1.1))) == 4
    assert len(tidy(frame.assign(rating=0.1), scale=(0, 0.1))) == 4


def test_duplicates_by_policy():
    frame = changed(item=[7, 7, 7, 9])
    assert tidy(frame, duplicates="last")["rating"].tolist() == [1.0, 4.0, 5.0]  # the newest
    last = tidy(frame.drop(columns="time"), duplicates="last")
    assert last["rating"].tolist() == [2.5, 4.0, 5.0]
    assert tidy(frame, duplicates="mean")["rating"].tolist() == [1.75, 4.0, 5.0]
    with pytest.raises(InputError, match="say 'error', 'last' or 'mean'"):
        tidy(frame, duplicates="first")  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.text(max_size=3), st.floats(-9, 9)),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[:2],
    )
)
def test_encoding_is_invertible(rows):
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"])
    ratings, users, items, *_ = encode(table)
    assert users.values[ratings.user].tolist() == table["user_id"].tolist()
    assert items.values[ratings.item].tolist() == table["item_id"].tolist()
    assert users.codes(table["user_id"]).tolist() == ratings.user.tolist()
    stranger = users.codes(pd.Series(["????"], name="user_id"))
    assert stranger.tolist() == [len(users)]


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.csv.gz", "r.parquet"])
def test_files_of_every_kind_read_alike(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".parquet"):
        GOOD.to_parquet(path)
    else:
        text = GOOD.to_csv(index=False, sep="\t" if "tsv" in name else ",").encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    pd.testing.assert_frame_equal(load(path).ratings, tidy(GOOD), check_dtype=False)


def test_ids_are_never_merged(tmp_path):
    """Leading zeros, more digits than a float holds, and a word after many numbers."""
    (tmp_path / "zeros.csv").write_text("user,item,rating\n007,1,3\n7,2,4\n")
    assert read_ratings(tmp_path / "zeros.csv")["user_id"].tolist() == ["007", "7"]
    big = 12345678901234567890
    (tmp_path / "big.csv").write_text(f"user,item,rating\n{big},1,3\n{big + 1},2,4\n")
    assert read_ratings(tmp_path / "big.csv")["user_id"].nunique() == 2
    lines = [f"{j},{j % 7},4" for j in range(1_200_000)] + ["last,1,3.5"]
    (tmp_path / "late.csv").write_text("user,item,rating\n" + "\n".join(lines) + "\n")
    late = read_ratings(tmp_path / "late.csv")
    assert late["user_id"].iloc[-1] == "last" and late["rating"].iloc[-1] == 3.5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "r.csv",
            "user,item,rating,titel\xe9\n1,2,3,4\n".encode("latin-1"),
            "codec can't decode|UTF8",
        ),
        ("r.csv", b"user,item\n1,2\n", "no column rating"),
        ("r.csv", b"", "Empty CSV"),
        ("r.csv", b"user,item,rating\n1,2,3\n1,2\n", "Expected 3 columns, got 2"),
        (
            "r.csv.gz",
            gzip.compress(b"user,item,rating\n1,2,3\n" * 99, mtime=0)[:-20],
            "cannot be read",
        ),
        ("r.parquet", b"PAR1 not really", "cannot be read"),
        ("r.xlsx", b"", "unknown kind of file"),
        ("r.csv", b"user,item,rating\n1,2,3\n4,5,6\n", None),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    if message is None:
        assert len(load(path).ratings) == 2
    else:
        with pytest.raises(InputError, match=message) as raised:
            load(path)
        assert str(path) in str(raised.value)


def test_missing_file_and_unknown_name():
    with pytest.raises(InputError, match="no such file"):
        load("nowhere.csv")
    with pytest.raises(InputError, match="did you mean ml-25m?"):
        load("ml25m")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    unwritable = pd.DataFrame({"a": [1]})
    unwritable.to_csv = None  # type: ignore[method-assign,assignment]
    with pytest.raises(TypeError):
        write_table(unwritable, path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["out.csv"]


# --- MovieLens ------------------------------------------------------------------------------------


def u_files() -> dict[str, bytes]:
    genres = ["unknown", "Action", "Comedy"]
    return {
        "u.data": b"1\t10\t5\t100\n2\t10\t3\t101\n2\t20\t1\t102\n",
        "u.genre": "".join(f"{g}|{j}\n" for j, g in enumerate(genres)).encode() + b"\n",
        "u.item": "10|Caf\xe9 (1995)|01-Jan-1995||http://a|0|1|1\n"
        "20|Nothing|||http://b|1|0|0\n".encode("latin-1"),
    }


def dat_files() -> dict[str, bytes]:
    return {
        "ratings.dat": b"1::10::5::100\n2::10::3.5::101\n2::20::1::102\n",
        "movies.dat": b'10::A: "quoted" (1995)::Action|Comedy\n20::B (2001)::Drama\n',
        "tags.dat": b"2::10::dark; slow::99\n",
    }


def csv_files() -> dict[str, bytes]:
    return {
        "ratings.csv": b"userId,movieId,rating,timestamp\n1,10,5,100\n2,10,3.5,101\n2,20,1,102\n",
        "movies.csv": b'movieId,title,genres\n10,"A, the (1995)",Action|Comedy\n20,B,Drama\n',
        "tags.csv": b"userId,movieId,tag,timestamp\n2,10,dark,99\n",
        "links.csv": b"movieId,imdbId,tmdbId\n10,1,2\n20,3,\n",
    }


FORMATS = {"ml-100k": u_files, "ml-1m": dat_files, "ml-10m": dat_files, "ml-25m": csv_files}


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("PMF_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def zipped(path, folder: str, files: dict[str, bytes]):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}/{name}", content)


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_movielens_format(name, packed, data_dir, monkeypatch):
    archive, files = movielens.ARCHIVES[name], FORMATS[name]()
    if packed:
        zipped(data_dir / f"{name}.zip", archive.folder, files)
        monkeypatch.setattr(movielens, "_check", lambda path, archive: None)
    else:
        (data_dir / archive.folder).mkdir(parents=True)
        for file, content in files.items():
            (data_dir / archive.folder / file).write_bytes(content)
    dataset = load(name)
    assert dataset.ratings["user_id"].tolist() == [1, 2, 2]
    assert dataset.ratings["rating"].iloc[0] == 5
    assert list(dataset.items.columns) == ["item_id", "title", "year", "genres"]
    assert dataset.items["year"].iloc[0] == 1995
    assert dataset.items["genres"].iloc[0] == "Action|Comedy"
    if name == "ml-100k":
        assert dataset.items["title"].iloc[0] == "Café (1995)"
    if name == "ml-25m":
        assert len(dataset.tags) == 1 and dataset.links["tmdb_id"].isna().sum() == 1
    pd.testing.assert_frame_equal(load_items(name), dataset.items)


def test_items_are_read_without_the_ratings(data_dir, tmp_path):
    folder = data_dir / "ml-25m"
    folder.mkdir(parents=True)
    (folder / "movies.csv").write_bytes(csv_files()["movies.csv"])
    (folder / "ratings.csv").write_bytes(b"damaged")
    assert load_items("ml-25m")["item_id"].tolist() == [10, 20]
    assert len(load_items(BUNDLED)) == 9_066
    (tmp_path / "plain.csv").write_bytes(csv_files()["ratings.csv"])
    assert load_items(tmp_path / "plain.csv").empty
    with pytest.raises(InputError, match="absent.csv: no such file"):
        load_items(tmp_path / "absent.csv")


@pytest.mark.parametrize("header", [b"movieId,title,title", b"movieId,title,item_id"])
def test_a_column_that_is_there_twice_is_named(data_dir, header):
    folder = data_dir / "ml-25m"
    folder.mkdir(parents=True)
    (folder / "movies.csv").write_bytes(header + b"\n10,A (1995),7\n")
    with pytest.raises(InputError, match="movies.csv: the column '(title|item_id)' is there twice"):
        load_items("ml-25m")


def test_a_wrong_checksum_is_refused_and_nothing_copied(data_dir, tmp_path):
    zipped(tmp_path / "mine.zip", "ml-1m", dat_files())
    with pytest.raises(InputError, match="sha256 is .*, not a6898adb"):
        movielens.fetch("ml-1m", tmp_path / "mine.zip")
    assert not data_dir.exists()


def test_from_zip_copies_whole(data_dir, tmp_path, monkeypatch):
    zipped(tmp_path / "mine.zip", "ml-1m", dat_files())
    monkeypatch.setattr(movielens, "_check", lambda path, archive: None)
    assert movielens.fetch("ml-1m", tmp_path / "mine.zip") == data_dir / "ml-1m.zip"
    assert len(load("ml-1m").ratings) == 3


def test_without_network_the_error_says_what_to_put_where(data_dir, monkeypatch):
    def refuse(*arguments, **named):
        raise ConnectionError("no network")

    monkeypatch.setattr(movielens.pooch, "retrieve", refuse)
    with pytest.raises(InputError, match="put it into .*data, or run `pmf data fetch ml-20m --fr"):
        load("ml-20m")


def test_incomplete_archives_are_named(data_dir):
    (data_dir / "ml-25m").mkdir(parents=True)
    (data_dir / "ml-25m" / "ratings.csv").write_bytes(csv_files()["ratings.csv"])
    with pytest.raises(InputError, match="incomplete or damaged"):
        load("ml-25m")


def test_bundled_ratings_are_the_2016_edition():
    dataset = load(BUNDLED)
    assert len(dataset.ratings) == 100_004
    assert dataset.ratings["user_id"].nunique() == 671
    assert len(dataset.items) == dataset.ratings["item_id"].nunique() == 9_066
    toy_story = dataset.items.set_index("item_id").loc[1]
    assert (toy_story["title"], toy_story["year"]) == ("Toy Story", 1995)


# --- splits ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    ratings = movielens_shaped(0, n=3000, users=80, items=400)
    rng = np.random.default_rng(0)
    columns = dict(zip(["user_id", "item_id", "rating"], ratings, strict=True))
    return tidy(pd.DataFrame(columns).assign(timestamp=rng.permutation(3000)))


def key(part: pd.DataFrame) -> set:
    return set(zip(part["user_id"], part["item_id"], strict=True))


SPLITS = {
    "sample_records": lambda frame, seed: splits.sample_records(frame, 0.2, seed),
    "crossfold_records": lambda frame, seed: splits.crossfold_records(frame, 5, seed)[2],
    "sample_n": lambda frame, seed: splits.sample_n(frame, 3, seed),
    "last_n": lambda frame, seed: splits.last_n(frame, 3),
    "split_global_time": lambda frame, seed: splits.split_global_time(frame, 0.2),
    "sample_users": lambda frame, seed: splits.sample_users(frame, 10, 4, seed),
}


@pytest.mark.parametrize("name", SPLITS)
def test_splits_part_the_ratings_and_have_a_hash(name, frame):
    split, again, other = (SPLITS[name](frame, seed) for seed in (1, 1, 2))
    assert key(split.train) | key(split.test) == key(frame)
    assert not key(split.train) & key(split.test)
    assert split.hash == again.hash and len(split.hash) == 16
    if name not in ("last_n", "split_global_time"):
        assert split.hash != other.hash
    changed = splits.Split(split.train, split.test.assign(rating=1.0))
    assert changed.hash != split.hash


def test_folds_cover_each_rating_once(frame):
    parts = [key(split.test) for split in splits.crossfold_records(frame, 5, 0)]
    assert sum(map(len, parts)) == len(frame) and set.union(*parts) == key(frame)
    assert {len(part) for part in parts} == {600}


def test_assigned_folds_follow_the_file(frame):
    assignment = frame[["user_id", "item_id"]].assign(fold=np.arange(3000) % 3)
    shuffled = assignment.sample(frac=1, random_state=0)
    parts = splits.assigned_folds(frame, shuffled)
    assert key(parts[1].test) == key(frame[np.arange(3000) % 3 == 1])
    with pytest.raises(InputError, match="2999 rows to 3000 ratings"):
        splits.assigned_folds(frame, shuffled[:-1])


def test_last_n_takes_the_latest_and_sample_n_as_many(frame):
    split = splits.last_n(frame, 3)
    test_times = split.test.groupby("user_id")["timestamp"]
    last_train_time = split.train.groupby("user_id")["timestamp"].max()
    assert np.all(test_times.size() == 3) and np.all(
        test_times.min() > last_train_time.loc[test_times.min().index]
    )
    assert np.all(splits.sample_n(frame, 3, 0).test.groupby("user_id").size() == 3)


def test_global_time_cut_never_trains_on_the_future(frame):
    split = splits.split_global_time(frame.assign(timestamp=frame["timestamp"] // 50), 0.2)
    assert split.train["timestamp"].max() < split.test["timestamp"].min()
    with pytest.raises(InputError, match="needs a column timestamp"):
        splits.split_global_time(frame.drop(columns="timestamp"), 0.2)


def test_cold_start_users_keep_what_is_given(frame):
    split = splits.sample_users(frame, 10, 4, 0)
    cold = split.test["user_id"].unique()
    assert len(cold) == 10
    assert split.train["user_id"].value_counts().loc[cold].tolist() == [4] * 10


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_impossible_fractions_are_refused(frame, fraction):
    with pytest.raises(InputError, match="between 0 and 1"):
        splits.sample_records(frame, fraction, 0)


# --- synthetic ------------------------------------------------------------------------------------


def test_shaped_ratings_are_distinct_with_heavy_tails():
    user, item, value = movielens_shaped(0, n=200_000, users=1300, items=4700)
    pairs = user.astype(np.int64) * 4700 + item
    assert len(np.unique(pairs)) == 200_000
    for side in (user, item):
        count = np.sort(np.bincount(side))[::-1]
        assert count[: len(count) // 100].sum() > 0.05 * 200_000  # 1 % of the rows, > 5 % of all
        assert count.mean() > 1.5 * np.median(count)
    assert set(np.unique(value)) == set(np.arange(1, 11) / 2)
    with pytest.raises(InputError, match="too dense"):
        movielens_shaped(0, n=500, users=20, items=30)


# --- plain numbers by compiled loops --------------------------------------------------------------

FIELD = {
    "userId": [
        "1",
        "12",
        "407",
        "0",
        "007",
        '"3"',
        "+5",
        " 6",
        "",
        "-8",
        "12345678901234567890",
        "9007199254740993",
        "nine",
        "1.0",
        "-0",
        "1e3",
    ],
    "rating": [
        "5",
        "3.5",
        "0.1",
        "4.",
        ".5",
        "05.5",
        "1e1",
        "-2.25",
        "-0.0",
        "",
        "nan",
        "x",
        "+1",
        "16777217",
        "0.30000001192092896",
        "3.4999999",
        '"4"',
        " 2",
    ],
    "timestamp": ["1147880044", "0", "2009-01-01", "", "99", "-1", "007"],
    "tag": ["", "a b", "é", '"x,y"', '"two\nlines"', "7", "\r"],
}
PLAIN = {
    name: [word for word in words if word.isascii() and word.isdigit() and word != "007"]
    for name, words in FIELD.items()
}
PLAIN["rating"] += ["3.5", "0.1", "-2.25", "0.30000001192", "123456.789"]


@st.composite
def csv_texts(draw) -> bytes:
    """CSV files most of whose fields are plain: one odd word is enough for the other path."""
    names = draw(st.permutations(["userId", "movieId", "rating", "timestamp", "tag"]))
    names = names[: draw(st.integers(3, 5))]
    odd = draw(st.sampled_from([0, 0, 1, 2]))
    rows = [
        [draw(st.sampled_from(PLAIN[_words(name)])) for name in names]
        for _ in range(draw(st.integers(0, 12)))
    ]
    for _ in range(odd if rows else 0):
        column = draw(st.integers(0, len(names) - 1))
        row = draw(st.integers(0, len(rows) - 1))
        rows[row][column] = draw(st.sampled_from(FIELD[_words(names[column])]))
    end = draw(st.sampled_from(["\n", "\r\n", "\n", "\n\n", "\r"]))
    header = draw(st.sampled_from(['"{}"', "{}", "{}"]))
    lines = [",".join(header.format(name) for name in names), *(",".join(row) for row in rows)]
    if draw(st.integers(0, 9)) == 0:
        lines.append(draw(st.sampled_from(["1,2", "1,2,3,4,5,6", " ", "", ",,,,"])))
    text = end.join(lines) + draw(st.sampled_from([end, end, ""]))
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + text.encode()


def _words(name: str) -> str:
    return "userId" if name == "movieId" else name


def outcome(path) -> tuple:
    """What comes of a file: ids as they are and ratings as they are learnt, or the error."""
    return tuple(
        outcome_of(lambda required=required: checked(read_ratings(path, REQUIRED, required)))
        for required in (False, True)
    )


def outcome_of(read) -> tuple:
    try:
        frame = read()
    except InputError as error:
        return (str(error),)
    assert frame["rating"].dtype.kind == "f"
    columns = {name: (str(frame[name].dtype), repr(frame[name].tolist())) for name in frame}
    return columns, np.signbit(frame["rating"]).tolist()


@settings(max_examples=200, deadline=None)
@given(csv_texts())
def test_the_fast_path_is_the_exact_one(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        exact = outcome(path)
        patch.setattr(encoding, "LARGE", 0)
        patch.setattr(numeric, "BLOCK", 16)  # lines lie across blocks, and blocks within lines
        assert outcome(path) == exact


def test_plain_files_do_take_the_fast_path(tmp_path, monkeypatch):
    """Else the test above compares a path with itself."""
    pytest.importorskip("numba")
    path = tmp_path / "r.csv"
    names = ["userId", "movieId", "rating"]
    ratings = pd.DataFrame(dict(zip(names, movielens_shaped(0, 5000, 90, 700), strict=True)))
    monkeypatch.setattr(encoding, "LARGE", 0)
    monkeypatch.setattr(numeric, "BLOCK", 1000)
    monkeypatch.setattr("pmf.data.readers.files.read_csv", None)
    expected = ratings.set_axis(REQUIRED, axis=1)
    for end in ("\n", "\r\n"):
        ratings.assign(timestamp=7).to_csv(path, index=False, lineterminator=end)
        pd.testing.assert_frame_equal(
            read_ratings(path, only_required=True), expected, check_dtype=False
        )
        assert list(read_ratings(path)) == [*REQUIRED, "timestamp"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 30)), min_size=1, max_size=60),
    st.booleans(),
    st.sampled_from([np.int64, np.int32, np.int8]),
)
def test_compiled_codes_and_repeats_are_the_plain_ones(rows, grouped, dtype):
    user, item = np.array(sorted(rows) if grouped else rows, dtype).T
    with pytest.MonkeyPatch.context() as patch:
        plain = [encoding.code_by_appearance(ids) for ids in (user, item)]
        patch.setattr(encoding, "LARGE", 0)
        patch.setattr(encoding, "SPARSE", 100)
        fast = [encoding.code_by_appearance(np.ascontiguousarray(ids)) for ids in (user, item)]
        for (a, b), (c, d) in zip(plain, fast, strict=True):
            assert a.tolist() == c.tolist() and b.tolist() == d.tolist()
            assert (a.dtype, b.dtype) == (c.dtype, d.dtype)
        codes = [codes for codes, _ in plain]
        sizes = [len(values) for _, values in plain]
        repeats = len(set(rows)) < len(rows)
        assert encoding.has_repeats(*codes, *sizes) == repeats
        patch.setattr(encoding, "LARGE", 1 << 40)
        patch.setattr(encoding, "SORTED", 7)
        assert encoding.has_repeats(*codes, *sizes) == repeats
        if repeats:
            pairs = pd.Series(list(zip(user, item, strict=True)))
            assert encoding.first_repeat(*codes, *sizes) == pairs.duplicated().argmax()


def test_without_the_compiler_large_files_read_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "LARGE", 0)
    monkeypatch.setattr(encoding, "fault", lambda: "there is none")
    GOOD.to_csv(tmp_path / "r.csv", index=False)
    pd.testing.assert_frame_equal(load(tmp_path / "r.csv").ratings, tidy(GOOD), check_dtype=False)
