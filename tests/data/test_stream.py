"""Two passes over Parquet files. Catches: a row lost between batches, files or processes, an id
coded otherwise than in memory, a rounded rating, a bad row without its file, unbounded memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from pmf.data import encoding
from pmf.data.frames import learnable
from pmf.data.readers import parquet_stream
from pmf.data.sources.base import encoded
from pmf.data.synthetic import movielens_shaped
from pmf.data.values import Coded, coded_values
from pmf.errors import InputError

NAMES = ["userId", "movieId", "rating"]


def frame(n: int, shuffled: bool = True, **shape) -> pd.DataFrame:
    ratings = movielens_shaped(0, n=n, **({"users": 300, "items": 900} | shape))
    table = pd.DataFrame(dict(zip(NAMES, ratings, strict=True))).astype({"userId": np.int64})
    return table.sample(frac=1, random_state=1) if shuffled else table


def write(folder, table: pd.DataFrame, files: int, row_group_size: int = 700):
    """The table in `files` files of unequal size, some in a folder of their own."""
    cuts = np.linspace(0, 1, files + 1) ** 1.5 * len(table)
    for j, (a, b) in enumerate(zip(cuts[:-1].astype(int), cuts[1:].astype(int), strict=True)):
        part = folder / ("early" if j < files // 2 else "late") / f"part-{j:02}.parquet"
        part.parent.mkdir(parents=True, exist_ok=True)
        table[a:b].to_parquet(part, index=False, row_group_size=row_group_size)
    (folder / "_metadata.parquet").write_bytes(b"no data")
    return folder


def assert_same(ours, truth) -> None:
    for a, b in zip(ours.ratings, truth.ratings, strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)
        assert np.asarray(a).dtype == b.dtype
    for side in ("users", "items"):
        assert getattr(ours, side).values.tolist() == getattr(truth, side).values.tolist()


def words(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(userId="u" + table["userId"].astype(str))


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("ids", [lambda table: table, words], ids=["integers", "words"])
def test_streaming_is_reading_at_once(tmp_path, monkeypatch, ids, on_disk):
    monkeypatch.setattr(parquet_stream, "BATCH", 501)
    table = ids(frame(6000))
    folder, work = write(tmp_path / "data", table, 5), tmp_path if on_disk else None
    ours = encoded(folder, work_folder=work)
    assert_same(ours, learnable(table))
    assert isinstance(ours.ratings.value, Coded) == on_disk
    scanned = parquet_stream.scan(folder)
    np.testing.assert_array_equal(scanned.user_count, np.bincount(ours.ratings.user))
    np.testing.assert_array_equal(scanned.item_count, np.bincount(ours.ratings.item))


@pytest.mark.parametrize("num_processes", [1, 2, 3, 7])
def test_processes_part_the_rows_evenly(tmp_path, monkeypatch, num_processes):
    monkeypatch.setattr(parquet_stream, "BATCH", 400)
    table = frame(5000)
    scanned = parquet_stream.scan(write(tmp_path, table, 4))
    whole, at = learnable(table).ratings, 0
    for process in range(num_processes):
        parts = list(parquet_stream.encoded_blocks(scanned, process, num_processes))
        assert sum(len(part.user) for _, part in parts) in (
            5000 // num_processes,
            -(-5000 // num_processes),
        )
        for first, part in parts:
            assert first == at and len(part.user) <= 400
            for ours, truth in zip(part, whole, strict=True):
                np.testing.assert_array_equal(ours, truth[at : at + len(part.user)])
            at += len(part.user)
    assert at == 5000


@pytest.mark.parametrize("duplicates", ["last", "mean"])
def test_duplicates_by_policy_as_in_memory(tmp_path, duplicates):
    table = pd.concat([frame(2000), frame(500).assign(rating=1.0)], ignore_index=True)
    folder = write(tmp_path / "data", table, 3)
    assert_same(encoded(folder, None, duplicates), learnable(table, duplicates=duplicates))
    with pytest.raises(InputError, match="on disk a pair rated twice is an error"):
        encoded(folder, None, duplicates, tmp_path)


BAD = {
    "missing user": ("userId", None, "column user_id: nan is missing"),
    "missing item": ("movieId", None, "column item_id: nan is missing"),
    "not a number": ("rating", np.nan, "column rating: nan is not a finite number"),
    "infinite": ("rating", -np.inf, "column rating: -inf is not a finite number"),
    "off the scale": ("rating", 7.5, "column rating: 7.5 is outside the scale 0.5 to 5"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_with_its_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr(parquet_stream, "BATCH", 300)
    column, value, message = BAD[name]
    table = frame(3000).reset_index(drop=True)
    table.loc[[1900, 2000, 2950], column] = value
    folder = write(tmp_path, table, 3)
    start = len(pd.read_parquet(folder / "early")) + len(
        pd.read_parquet(folder / "late" / "part-01.parquet")
    )
    with pytest.raises(InputError) as raised:
        encoded(folder, (0.5, 5))
    where = f"{folder}/late/part-02.parquet, row {1901 - start}, "
    assert str(raised.value) == f"{where}{message} (3 such rows); correct or remove them"
    with pytest.raises(InputError) as in_memory:
        learnable(table, "x", (0.5, 5))
    assert str(in_memory.value).endswith(f"{message} (3 such rows); correct or remove them")


def test_a_repeated_pair_is_named_with_its_file(tmp_path, monkeypatch):
    table = frame(3000).reset_index(drop=True)
    table.loc[[1500, 2500]] = table.loc[[200, 100]].to_numpy()
    table = table.astype({"userId": int, "movieId": int})
    folder = write(tmp_path, table, 3)
    user, item = table.loc[200, ["userId", "movieId"]].astype(int)
    start = len(pd.read_parquet(folder / "early"))
    message = f"part-01.parquet, row {1501 - start}: user {user} rates item {item} a second time"
    for limit in (encoding.SORTED, 400):  # all pairs sorted at once, or by runs of users
        monkeypatch.setattr(encoding, "SORTED", limit)
        with pytest.raises(InputError, match=message):
            encoded(folder)


def test_ids_of_several_kinds_are_one_in_all_files(tmp_path, monkeypatch):
    """Integers in one file, floats in the next, digits among words in the last."""
    monkeypatch.setattr(parquet_stream, "BATCH", 90)
    table = frame(600).reset_index(drop=True)
    late = table[400:].astype({"userId": str, "movieId": str})
    late.loc[500:, "userId"] = "u" + late.loc[500:, "userId"]
    parts = [table[:200], table[200:400].astype(float), late]
    for j, part in enumerate(parts):
        part.to_parquet(tmp_path / f"{j}.parquet", index=False)
    ours = encoded(tmp_path)
    assert_same(ours, learnable(pd.concat(parts)))
    assert_same(ours, learnable(pd.concat([table[:400].astype({"userId": str}), late])))
    assert ours.users.values.dtype == object and ours.items.values.dtype == object


def test_files_that_do_not_fit_together_are_named(tmp_path):
    write(tmp_path, frame(500), 2)
    frame(500).drop(columns="rating").to_parquet(tmp_path / "late" / "z.parquet")
    with pytest.raises(InputError, match="z.parquet: no column rating"):
        encoded(tmp_path)
    (tmp_path / "late" / "z.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="z.parquet: cannot be read"):
        encoded(tmp_path)


def test_folders_without_ratings_are_refused(tmp_path):
    with pytest.raises(InputError, match="no Parquet file"):
        encoded(tmp_path)
    frame(500)[:0].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no ratings"):
        encoded(tmp_path)


def test_a_file_that_changes_between_the_passes_is_noticed(tmp_path):
    table = frame(500)
    table.to_parquet(tmp_path / "a.parquet")
    scanned = parquet_stream.scan(tmp_path)
    for change in (table[:400], pd.concat([table, table])):
        change.to_parquet(tmp_path / "a.parquet")
        with pytest.raises(InputError, match="a.parquet: changed while it was read"):
            parquet_stream.read(scanned)
    table.assign(rating=0.25).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="changed while it was read"):
        parquet_stream.read(scanned, "error", tmp_path)
    table.assign(userId=table["userId"] + 10**6).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="changed while it was read"):
        parquet_stream.read(scanned)


def test_a_full_disk_is_an_error_before_the_work(tmp_path, monkeypatch):
    """A mapped file that finds no room later kills the process without a word."""

    def full(handle, offset, size):
        raise OSError(28, "No space left on device")

    frame(500).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet_stream.os, "posix_fallocate", full)
    with pytest.raises(InputError, match="no room for 500 ratings .No space left.*set TMPDIR"):
        encoded(tmp_path, work_folder=tmp_path)


def test_memory_is_bounded_by_the_batch_not_by_the_data(tmp_path, monkeypatch):
    """Four times the rows, all on disk: the same memory. All at once would need 20 MB more."""
    monkeypatch.setattr(parquet_stream, "BATCH", 1 << 14)
    monkeypatch.setattr(encoding, "SORTED", 1 << 14)
    peaks = []
    for n in (250_000, 1_000_000):
        table = frame(n, shuffled=False, users=3000, items=5000)
        folder = tmp_path / str(n)
        folder.mkdir()
        table.to_parquet(folder / "all.parquet", index=False, row_group_size=n)
        arrow = pa.proxy_memory_pool(pa.default_memory_pool())
        before = pa.default_memory_pool()
        pa.set_memory_pool(arrow)
        tracemalloc.start()
        parquet_stream.read(parquet_stream.scan(folder), "error", folder)
        peaks.append(tracemalloc.get_traced_memory()[1] + arrow.max_memory())
        tracemalloc.stop()
        pa.set_memory_pool(before)
    assert peaks[1] < peaks[0] + 4_000_000


@pytest.mark.parametrize(
    ("values", "kind", "size"),
    [
        (np.arange(1, 11) / 2, np.uint8, 10),
        (np.array([0.0, -0.0, 1.1]), np.uint8, 3),
        (np.arange(2000), np.float16, None),
        (np.arange(3000), np.float32, None),  # 2049 is no float16
        (np.append(np.arange(300), 1e6), np.float32, None),  # beyond float16's range
        (np.append(np.arange(300), np.nan), np.float32, None),
        (np.arange(3000) / 10, np.float64, None),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ratings_are_coded_exactly_or_not_at_all(values, kind, size, dtype):
    if np.isnan(values).any() or kind == np.float64:  # as exact as they were given
        kind = dtype
    values = np.random.default_rng(0).permutation(np.tile(values, 3)).astype(dtype)
    coded = coded_values(values)
    np.testing.assert_array_equal(np.asarray(coded), values)
    assert np.array_equal(np.signbit(coded), np.signbit(values))
    if isinstance(coded, Coded):
        assert coded.code.dtype == kind and len(coded.table) == size
        assert coded[4:7].tolist() == values[4:7].tolist() and len(coded) == len(values)
    else:
        assert coded.dtype == kind
