"""`pmf split`. Catches: a column or a digit lost on the way, parts swapped, one file without the
other, the input overwritten, a setting that is ignored, work before a refusal."""

import gzip
import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pmf.cli import main, split
from pmf.data import split_files, splits
from pmf.data.readers.reading import Reading
from pmf.data.sources.base import load_data as load
from pmf.data.split_files import KINDS, part, rule
from pmf.data.splits import SplitMomentWarning
from pmf.errors import InputError
from pmf.io import atomic
from tests.cli.test_cli import pmf
from tests.data.test_splits import SPLITS

# Ids with leading zeros, a quote and a comma, ratings and times as people write them, own columns.
HEADER = "User ID,ISBN,Stars,time,zip code,review"
LINES = [
    f"{user},{book},{stars},{time},{code},{review}"
    for user, book, stars, time, code, review in [
        ("007", "x", "3", "2004-01-05", "00123", '"good, ""really"""'),
        ("007", "y", "4.50", "2004-01-07", "00123", ""),
        ("007", "z", "5", "2004-01-06T10:00:00+02:00", "1e5", "NA"),
        ("7", "x", "1", "2004-01-08", "2004-01-01", '"two\nlines"'),
        ("7", "y", "2.0", "2004-01-02", "TRUE", "null"),
        ("7", "z", "3", "2004-01-06T08:00:01", "9", " blank "),
        ("Zoë", "x", "3", "2004-01-03", "9", "-"),
        ("Zoë", "z", "4", "2004-01-09 00:00:00", "9", "-"),
    ]
]
LATE = [0, 1, 1, 1, 0, 1, 0, 1]  # whether from 8 o'clock UTC on the sixth on


def words(path) -> list[list[str]]:
    """A CSV as words, without the library's ideas of what is missing."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).to_numpy().tolist()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "books.csv").write_text("\n".join([HEADER, *LINES]) + "\n")
    return tmp_path


def run(folder, data, *arguments, **named):
    """The command in this process; its outcome."""
    train, test = named.get("train", "train.csv"), named.get("test", "test.csv")
    outputs = ["--train", str(folder / train), "--test", str(folder / test)]
    options = ["split", str(folder / data), *map(str, arguments), *outputs]
    return CliRunner().invoke(main.app, options)


def test_every_field_is_as_it_was(folder):
    done = run(folder, "books.csv", "--at", "2004-01-06 08:00", "--by", "split_at_time")
    assert done.exit_code == 0, done.exception
    rows = words(folder / "books.csv")
    for name, side in (("train.csv", 0), ("test.csv", 1)):
        assert (folder / name).read_text().splitlines()[0] == HEADER
        expected = [row for row, late in zip(rows, LATE, strict=True) if late == side]
        assert words(folder / name) == expected and expected
    assert done.output.splitlines() == [
        f"train 3 ratings of 3 users on 2 items, 2004-01-02T00:00:00Z to 2004-01-05T00:00:00Z, "
        f"written to {folder}/train.csv",
        f"test  5 ratings of 3 users on 3 items, 2004-01-06T08:00:00Z to 2004-01-09T00:00:00Z, "
        f"written to {folder}/test.csv",
        "0 users and 1 items of test are not in train",
    ]


def test_an_absolute_date_names_its_split(folder):
    assert run(folder, "books.csv", "--at", "2004-01-06T10:00:00+02:00").exit_code == 0
    assert len(words(folder / "test.csv")) == 5


def with_times(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"userId": rng.integers(0, 9, n), "movieId": rng.integers(0, 50, n)})
    frame = frame.drop_duplicates(ignore_index=True)
    n = len(frame)
    time = 1_100_000_000 + 1000 * rng.permutation(n)
    return frame.assign(rating=rng.integers(1, 11, n) / 2, timestamp=time, mark=np.arange(n))


GIVEN = {
    "sample_records": {"fraction": 0.3, "seed": 4},
    "crossfold_records": {"partitions": 4, "fold": 3, "seed": 4},
    "assigned_folds": {"fold": 2, "folds": "folds.csv"},
    "sample_n": {"n": 2, "seed": 4},
    "sample_fraction": {"fraction": 0.3, "seed": 4},
    "last_n": {"n": 2},
    "last_fraction": {"fraction": 0.3},
    "split_global_time": {"fraction": 0.3},
    "split_at_time": {"at": 1_100_050_000},
    "sample_users": {"users": 4, "given": 3, "seed": 4},
    "sample_items": {"fraction": 0.3, "seed": 4},
}


def test_every_splitter_is_a_choice():
    assert get_args(split.SplitKind) == tuple(KINDS) == tuple(GIVEN)
    assert set(KINDS) == set(SPLITS)  # which are all that there are


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_the_parts(tmp_path, kind):
    frame = with_times()
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.assign(fold=np.arange(len(frame)) % 3)[["movieId", "fold", "userId"]].to_csv(
        tmp_path / "folds.csv", index=False
    )
    settings = {
        name: tmp_path / value if name == "folds" else value for name, value in GIVEN[kind].items()
    }
    options = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    done = run(tmp_path, "r.csv", "--by", kind, *options, test="test.parquet")
    assert done.exit_code == 0, done.exception
    match kind:
        case "crossfold_records":
            truth = splits.crossfold_records(frame, 4, 4)[2]
        case "assigned_folds":
            truth = splits.Split(*(frame[(frame["mark"] % 3 == 1) == side] for side in (0, 1)))
        case _:
            truth = KINDS[kind](frame, **settings)
    assert words(tmp_path / "train.csv") == truth.train.astype(str).to_numpy().tolist()
    table = pd.read_parquet(tmp_path / "test.parquet")
    assert list(table) == list(frame) and len(truth.test)
    assert table["userId"].dtype == np.int64 and table["rating"].dtype == np.float64
    assert table["mark"].astype(int).tolist() == truth.test["mark"].tolist()
    pd.testing.assert_frame_equal(
        load(tmp_path / "test.parquet").ratings, load_frame(truth.test), check_dtype=False
    )


def load_frame(frame: pd.DataFrame) -> pd.DataFrame:
    names = {"userId": "user_id", "movieId": "item_id"}
    return frame.drop(columns="mark").rename(columns=names).reset_index(drop=True)


def test_other_files_than_a_csv(tmp_path):
    """Packed, without a header, Parquet with its types, a folder of it, and JSON lines."""
    frame = with_times()
    text = frame.to_csv(index=False, header=False, sep="\t").encode()
    (tmp_path / "u.tsv.gz").write_bytes(gzip.compress(text))
    at = rule("split_at_time", {"at": "2004-11-10"})
    cut = 1_100_044_800
    out = tmp_path / "train.csv", tmp_path / "test.csv"
    part(str(tmp_path / "u.tsv.gz"), at, *out, reading=Reading(header=False))
    late = (frame["timestamp"] >= cut).to_numpy()
    assert words(out[1]) == frame[late].astype(str).to_numpy().tolist()
    assert out[1].read_text().startswith("user_id,item_id,rating,timestamp,5\n")
    dated = frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s", utc=True))
    dated.to_parquet(tmp_path / "r.parquet")
    (tmp_path / "many").mkdir()
    dated[:30].to_parquet(tmp_path / "many" / "a.parquet")
    dated[30:30].to_parquet(tmp_path / "many" / "b.parquet")
    dated[30:].to_parquet(tmp_path / "many" / "c.parquet")
    out = tmp_path / "train.parquet", tmp_path / "test.parquet"
    for data in ("r.parquet", "many"):
        part(str(tmp_path / data), at, *out)
        pd.testing.assert_frame_equal(
            pd.read_parquet(out[1]), dated[late].reset_index(drop=True), check_dtype=False
        )
    lines = [json.dumps(row) for row in frame.assign(tags="a b").to_dict("records")]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    part(str(tmp_path / "r.jsonl"), at, *out)
    assert pd.read_parquet(out[1])["mark"].tolist() == frame[late]["mark"].tolist()
    assert set(pd.read_parquet(out[0])) == {*frame, "tags"}
    reading = Reading(columns={"user": "movieId", "item": "userId"})
    split = part(str(tmp_path / "r.parquet"), at, *out, reading=reading)
    assert split.test["user_id"].tolist() == frame[late]["movieId"].tolist()


def test_how_a_file_is_read_may_be_said(tmp_path):
    """As `pmf fit` is told it."""
    lines = "Zoë;5;b;2004-01-02", "Zoë;4;a;2004-01-01", "Ann;4;a;2004-01-01"
    (tmp_path / "r.data").write_bytes("\n".join(lines).encode("latin-1"))
    options = "--separator", "semicolon", "--encoding", "latin-1", "--no-header"
    columns = "--columns", "rating=2,item=3"
    done = run(tmp_path, "r.data", "--at", "2004-01-02", *options, *columns)
    assert done.exit_code == 0, done.exception
    assert words(tmp_path / "test.csv") == [["Zoë", "5", "b", "2004-01-02"]]
    assert (tmp_path / "test.csv").read_text().startswith("user_id,rating,item_id,timestamp\n")
    (tmp_path / "r.data").write_bytes("\n".join(lines[:2]).encode("latin-1"))
    done = run(tmp_path, "r.data", "--at", "2004-01-02", *options, *columns)
    assert "only one user" in str(done.exception)


def test_a_data_set_by_name(tmp_path):
    done = run(tmp_path, "r.csv", "--by", "last_n", train="a.csv", test="b.csv")
    assert "r.csv: no such file" in str(done.exception)
    out = [f"--{name}={tmp_path / name}.parquet" for name in ("train", "test")]
    with pytest.warns(SplitMomentWarning, match="of 671 users have ratings of one moment on both"):
        done = CliRunner().invoke(main.app, ["split", "ml-small-2016", "--by", "last_n", *out])
    assert done.exit_code == 0 and "671 ratings of 671 users" in done.output
    train, test = (load(tmp_path / f"{name}.parquet").ratings for name in ("train", "test"))
    assert len(train) + len(test) == 100_004
    newest = train.groupby("user_id")["timestamp"].max()
    assert (test.set_index("user_id")["timestamp"] >= newest).all()


def test_a_pair_rated_twice(folder):
    """Both ratings of a pair on the two sides would be a leak."""
    again = "007,x,1,2003-12-31,later in the file,not newer"
    (folder / "twice.csv").write_text("\n".join([HEADER, *LINES, again]) + "\n")
    by = "--at", "2004-01-06"
    done = run(folder, "twice.csv", *by)
    assert "row 9: user '007' rates item 'x' a second time" in str(done.exception)
    assert run(folder, "twice.csv", *by, "--duplicates", "last").exit_code == 0
    assert sorted(words(folder / "train.csv") + words(folder / "test.csv")) == sorted(
        words(folder / "books.csv")
    )
    assert run(folder, "twice.csv", *by, "--duplicates", "mean").exit_code == 0
    rows = words(folder / "train.csv") + words(folder / "test.csv")
    assert len(rows) == 8 and [float(row[2]) for row in rows if row[:2] == ["007", "x"]] == [2.0]


def test_a_random_split_needs_no_readable_times(folder):
    text = (folder / "books.csv").read_text().replace("2004-01-05", "1/5/2004")
    (folder / "us.csv").write_text(text)
    assert run(folder, "us.csv", "--by", "sample_n").exit_code == 0
    rows = words(folder / "train.csv") + words(folder / "test.csv")
    assert [row[3] for row in rows if row[:2] == ["007", "x"]] == ["1/5/2004"]
    done = run(folder, "us.csv", "--by", "last_n")
    assert "us.csv, row 1, column timestamp: '1/5/2004' is no time" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ([], {"train": "train.xlsx"}, "train.xlsx: its name must end in .csv or .parquet"),
        ([], {"test": "absent/test.csv"}, "its folder does not exist"),
        ([], {"train": "books.csv"}, "books.csv: it is also an input; name another"),
        ([], {"test": "linked.csv"}, "linked.csv: it is also an input; name another"),
        ([], {"train": "a.csv", "test": "a.csv"}, "both parts cannot be one file"),
        (["--by", "last_n", "--seed", 3], {}, "--by last_n: seed is no setting of last_n, which"),
        (["--at", "1/6/2004"], {}, "--by split_at_time: at='1/6/2004': no time; say 2004-12-31"),
        (["--at", "2004", "--by", "last_n"], {}, "at is no setting of last_n"),
        (["--by", "split_at_time"], {}, "split_at_time needs at"),
        (["--by", "assigned_folds"], {}, "assigned_folds needs folds"),
        (["--fraction", "1.5"], {}, "fraction=1.5: a test fraction lies between 0 and 1"),
        (["--by", "last_n", "--n", 0], {}, "n=0: at least 1"),
        (["--by", "sample_n", "--seed", -1], {}, "seed=-1: at least 0"),
        (["--by", "crossfold_records", "--fold", 0], {}, "fold=0: at least 1"),
        (["--by", "latest"], {}, "'latest' is not one of 'sample_records'"),
    ],
)
def test_mistakes_are_refused_before_the_work(folder, monkeypatch, arguments, named, message):
    monkeypatch.setattr(split_files, "load_rows", lambda *rest, **more: pytest.fail("it was read"))
    (folder / "linked.csv").hardlink_to(folder / "books.csv")
    before = sorted(path.name for path in folder.iterdir())
    done = run(folder, "books.csv", *arguments, **named)
    assert done.exit_code != 0 and message in f"{done.exception} {done.output}"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_nothing_is_written_into_a_folder_that_is_read(tmp_path):
    (tmp_path / "many").mkdir()
    with_times().to_parquet(tmp_path / "many" / "a.parquet")
    done = run(tmp_path, "many", train="many/b.parquet")
    assert "b.parquet: it is in an input folder" in str(done.exception)


def test_folds_that_are_none_are_named(folder):
    (folder / "folds.csv").write_text("user,item,fold\n007,x,1\n007,y,2\n")
    by = "--by", "assigned_folds", "--folds", folder / "folds.csv"
    assert "the folds assign 2 rows to 8 ratings" in str(run(folder, "books.csv", *by).exception)
    (folder / "folds.csv").write_text("user,item,fold\n007,x,1\n007,y,first\n")
    done = run(folder, "books.csv", *by)
    assert "folds.csv, row 2, column fold: 'first' is no number" in str(done.exception)
    (folder / "folds.csv").write_text("user,item\n007,x\n")
    assert "folds.csv: no column fold" in str(run(folder, "books.csv", *by).exception)
    done = run(folder, "books.csv", "--by", "crossfold_records", "--partitions", 2, "--fold", 3)
    assert "fold=3: there are 2 folds" in str(done.exception)


@pytest.mark.parametrize("fails", ["write", "sync"])
def test_both_files_or_none(folder, monkeypatch, fails):
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("old")
    before = sorted(path.name for path in folder.iterdir())
    if fails == "write":  # the second one
        write = pd.DataFrame.to_csv
        written = []

        def to_csv(frame, path, **named):
            written.append(path)
            if len(written) == 2:
                raise OSError(28, "No space left on device")
            return write(frame, path, **named)

        monkeypatch.setattr(pd.DataFrame, "to_csv", to_csv)
    else:
        synced = []

        def fsync(handle):
            synced.append(handle)
            if len(synced) == 2:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(atomic.os, "fsync", fsync)
    done = run(folder, "books.csv", "--at", "2004-01-06")
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith(f"cannot write {folder}/train.csv and {folder}/test.csv")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert {(folder / name).read_text() for name in ("train.csv", "test.csv")} == {"old"}


def test_as_a_process_a_mistake_is_one_line(folder):
    outputs = "--train", folder / "train.csv", "--test", folder / "test.csv"
    done = pmf("split", folder / "books.csv", "--at", "2015-01-01", *outputs)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "error: at=2015-01-01: no rating is at or after 2015-01-01T00:00:00Z; the 8 ratings are "
        "from 2004-01-02T00:00:00Z to 2004-01-09T00:00:00Z"
    )
