"""Seals. Catches: a digit that changed, a file that is gone, or another's, and a table that says
otherwise than what it was made of."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest

from experiments.runs.folders import facts_of, opened, write_manifest
from paper_figures.__main__ import RESULTS
from paper_figures.figures.build import read
from paper_figures.figures.sources import SOURCES, read_sources, tables_in, write_sources
from paper_figures.report.contents import read_all
from pmf.data.readers.files import read_whole, write_table
from pmf.errors import InputError
from pmf.io import sealed_json
from pmf.io.sealed_json import SEAL
from tests.helpers.grids import finish

FACTS = {"a": 1 / 3, "b": float("inf"), "c": [None, "ü"], "d": {"10": 1, "9": 2}}


def test_what_is_sealed_comes_back_bit_for_bit():
    facts = sealed_json.unsealed(sealed_json.sealed(FACTS))
    assert {name: facts[name] for name in FACTS} == FACTS and len(facts[sealed_json.SEAL]) == 64
    again = sealed_json.unsealed(
        sealed_json.sealed(facts | {"nan": float("nan"), "numbers": {10: 1, 9: 2}})
    )
    assert np.isnan(again["nan"]) and again["numbers"] == {"10": 1, "9": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "without a seal"),
        ("[]", "without a seal"),
        ("{}", "without a seal"),
        ('{"a": 1', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("9" * 5_000, "no JSON"),
        ("\udcff", "no JSON"),
        (
            sealed_json.sealed(FACTS).replace("0.3333333333333333", "0.3333333333333332"),
            "altered since",
        ),
        (sealed_json.sealed(FACTS).replace('"a"', '"A"'), "altered since"),
        (sealed_json.sealed(FACTS).replace('"10": 1', '"10": true'), "altered since"),
    ],
)
def test_another_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        sealed_json.unsealed(text.encode(errors="surrogateescape"))


@pytest.fixture
def run(tmp_path):
    """A finished run of two files, and not a third."""
    place = tmp_path / "tiny" / "0123456789ab"
    place.mkdir(parents=True)
    (place / "metrics.csv").write_text("step,seconds,split,metric,value\n4,0.5,final,rmse,0.8737\n")
    (place / "config.json").write_text("{}")
    write_manifest(place, {"id": place.name})
    return place


def test_a_run_is_read_as_it_was_written(run):
    made = opened(run)
    assert made.table("metrics")["value"].tolist() == [0.8737]
    (run / "pit.csv").write_text("low,high,share\n0,1,1\n")  # which the run had not
    assert opened(run).table("pit") is None
    before = facts_of(run)[SEAL]
    write_manifest(run, made.facts)
    assert facts_of(run)[SEAL] != before and opened(run).table("pit") is not None


def spoil(run, name: str) -> str:
    """Do something to a run; which file is to be named."""
    path = run / "metrics.csv"
    match name:
        case "digit":
            path.write_text(path.read_text().replace("0.8737", "0.1874"))
        case "gone":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "other":
            other = run.with_name("f" * 12)
            finish(other)
            (run / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
        case "file":
            for inside in run.iterdir():
                inside.unlink()
            run.rmdir()
            run.write_text("")
        case _:
            (run / "manifest.json").write_text(name)
    return str(path if name in ("digit", "gone", "folder") else run / "manifest.json")


@pytest.mark.parametrize("how", ["digit", "gone", "folder", "other", "file", "null", "[" * 99_999])
def test_a_spoilt_run_is_one_line_that_names_the_file_and_the_remedy(run, how):
    path = spoil(run, how)
    with pytest.raises(InputError) as raised:
        opened(run)
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and message.endswith(f"remove {run} and run tiny again")
    assert "\n" not in message


def test_a_run_of_another_version_is_refused(run):
    (run / "manifest.json").write_text(json.dumps({"id": run.name, "tuned": None}))
    with pytest.raises(InputError, match="without a seal, damaged or made by another version"):
        opened(run)
    write_manifest(run, {"id": run.name})
    with pytest.raises(InputError, match="made by another version, without tuned, error; remove"):
        opened(run, "tuned", "error")


@pytest.fixture
def tables(tmp_path):
    """Tables of one run, collected."""
    folder = tmp_path / "results" / "tiny"
    folder.mkdir(parents=True)
    runs = {"id": ["0123456789ab"], "data": "x", "unit": "stars", "error": "", "arm": "a"}
    scores = {"id": ["0123456789ab"], "metric": ["rmse"], "value": [0.8737]}
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    write_sources(folder, {"0123456789ab": "f" * 64}, sorted(folder.glob("*.csv")))
    return folder


def test_a_table_that_was_changed_by_hand_is_noticed(tables):
    assert read(tables)["scores"]["value"].tolist() == [0.8737]
    (tables / "pit.csv").write_text("id,low,high,share\n")  # of an earlier grid
    assert "pit" not in read(tables)
    path, text = tables / "scores.csv", (tables / "scores.csv").read_text()
    path.write_text(text.replace("0.8737", "0.1874"))
    with pytest.raises(
        InputError, match=f"{path}: altered since it was written; run or collect tiny ag"
    ):
        read(tables)
    path.unlink()
    with pytest.raises(InputError, match="scores.csv: no such results table"):
        read_all(tables.parent)
    path.write_text(text)
    (tables / SOURCES).write_text("null")
    with pytest.raises(InputError, match=f"{SOURCES}: without a seal.*; remove it, and run or"):
        read(tables)
    (tables / SOURCES).write_text(sealed_json.sealed({"id": "0123456789ab"}))  # whole, and a run's
    with pytest.raises(InputError, match=f"{SOURCES}: it is another file of this program; remove"):
        read(tables)
    (tables / SOURCES).unlink()  # as of tables that a person, or an older version, made
    assert "pit" in read(tables) and read_sources(tables) is None


@pytest.mark.parametrize("folder", sorted(RESULTS.iterdir()), ids=lambda path: path.name)
def test_tracked_tables_are_what_was_collected(folder):
    """Those that were collected before runs had seals know their runs, and not their manifests."""
    sources = read_sources(folder)
    assert {path.name for path in tables_in(folder)} == {path.name for path in folder.glob("*.csv")}
    ids = pd.read_csv(folder / "runs.csv", usecols=["id"], dtype=str)["id"]
    assert list(sources["runs"]) == ids.tolist()
    assert {seal is None or len(seal) == 64 for seal in sources["runs"].values()} == {True}


def test_parquet_that_we_write_is_read_with_its_pages_checked(tmp_path):
    """One bit of a page is another rating: without a checksum nobody would know."""
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": range(99), "item": 1, "rating": rng.normal(size=99)})
    write_table(frame, path)
    page = parquet.ParquetFile(path).metadata.row_group(0).column(2)
    content = bytearray(path.read_bytes())
    content[page.dictionary_page_offset + 200] ^= 1
    path.write_bytes(content)
    assert not frame.equals(pd.read_parquet(path))
    with pytest.raises(InputError, match=f"{path}: cannot be read .*(checksum|CRC)"):
        read_whole(path)
