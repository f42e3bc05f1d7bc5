"""Ids of every kind, through every door. Catches: two ids that become one, one id that becomes two,
an id that has been through a float, a model that fits and cannot be saved."""

import datetime
from decimal import Decimal
from itertools import product
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.data.canonical import canonical
from pmf.data.frames import checked, pairs
from pmf.data.ids import Ids, collected, factorize
from pmf.errors import InputError

# Columns of ids made of small numbers, and the same ids as text: two are the same where this is.
KINDS = {
    "int8": (lambda x: pd.Series(x, dtype="int8"), str),
    "int64": (lambda x: pd.Series(x) + 2**60, lambda x: str(2**60 + x)),
    "negative": (lambda x: -pd.Series(x), lambda x: str(-x)),
    "unsigned": (lambda x: pd.Series(x, dtype="uint64"), str),
    "beyond int64": (
        lambda x: pd.Series([2**63 + one for one in x], dtype="uint64"),
        lambda x: str(2**63 + x),
    ),
    "very large": (lambda x: pd.Series([10**30 + one for one in x]), lambda x: str(10**30 + x)),
    "nullable": (
        lambda x: pd.Series([2**53 + one for one in x], dtype="Int64"),
        lambda x: str(2**53 + x),
    ),
    "Arrow's": (lambda x: pd.Series(x, dtype="int32[pyarrow]"), str),
    "float": (lambda x: pd.Series(x, dtype="float64") * 1e6, lambda x: str(x * 10**6)),
    "float32": (lambda x: pd.Series(x, dtype="float32"), str),
    "nullable float": (lambda x: pd.Series(x, dtype="Float64"), str),
    "objects": (lambda x: pd.Series(x, dtype=object), str),
    "categories": (lambda x: pd.Series(x, dtype="category"), str),
    "categories of floats": (lambda x: pd.Series(x, dtype="float64").astype("category"), str),
    "decimals": (lambda x: pd.Series([Decimal(one) for one in x]), str),
    "text": (lambda x: pd.Series([f"é{one}" for one in x]), lambda x: f"é{x}"),
    "digits": (lambda x: pd.Series([str(one) for one in x]), str),
    "leading zeros": (lambda x: pd.Series([f"{one:03}" for one in x]), lambda x: f"{x:03}"),
    "categories of text": (
        lambda x: pd.Series([f"u{one}" for one in x], dtype="category"),
        lambda x: f"u{x}",
    ),
    "numbers among text": (
        lambda x: pd.Series([one if one % 2 else f"u{one}" for one in x], dtype=object),
        lambda x: str(x) if x % 2 else f"u{x}",
    ),
    "UUIDs": (lambda x: pd.Series([UUID(int=one) for one in x]), lambda x: str(UUID(int=x))),
    "bytes": (lambda x: pd.Series([f"ü{one}".encode() for one in x]), lambda x: f"ü{x}"),
}
AS_TEXT = {
    "beyond int64",
    "very large",
    "text",
    "digits",
    "leading zeros",
    "categories of text",
    "numbers among text",
    "UUIDs",
    "bytes",
}
SOME = [7, 3, 7, 12, 3, 40]


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_has_one_of_two_forms(kind):
    make, text = KINDS[kind]
    ids, bad = canonical(make(SOME))
    assert not bad.any() and list(map(str, ids)) == list(map(text, SOME))
    assert (ids.dtype == np.int64) == (kind not in AS_TEXT)
    assert kind not in AS_TEXT or all(type(one) is str for one in ids)
    again, bad = canonical(ids)
    assert again.tolist() == ids.tolist() and again.dtype == ids.dtype and not bad.any()
    code, values = factorize(make(SOME), "x")
    assert code.tolist() == [0, 1, 0, 2, 1, 3] and list(map(str, values)) == list(
        map(text, [7, 3, 12, 40])
    )


@pytest.mark.parametrize("ours", KINDS)
def test_ids_are_the_same_where_they_are_the_same_in_text(ours):
    make, text = KINDS[ours]
    known = Ids(factorize(make([7, 3, 12, 40]), "x")[1])
    row_of = {text(one): row for row, one in enumerate([7, 3, 12, 40])}
    for other, text_of in KINDS.values():
        query = [3, 5, 40, 40, 7]
        codes = known.codes(other(query))
        assert codes.tolist() == [row_of.get(text_of(one), 4) for one in query]
        assert known.row(other(query)[0], "user_id") == codes[0]
        assert known.codes(collected(list(other(query)), "users")).tolist() == codes.tolist()


def test_text_that_only_looks_like_a_number_is_another_id():
    known = Ids(np.array([7, 0, 2**63 - 1, -(2**63)]))
    odd = [
        "007",
        "7.0",
        " 7",
        "+7",
        "7e0",
        "٧",
        "-0",
        "00",
        "9223372036854775808",
        "",
        "7\n",
        "1_0",
    ]
    assert known.codes(pd.Series(odd)).tolist() == [4] * len(odd)
    same = ["7", "0", "9223372036854775807", "-9223372036854775808"]
    assert known.codes(pd.Series(same)).tolist() == [0, 1, 2, 3]


DAY = datetime.date(2004, 12, 31)
NO_IDS = {
    "missing": ([1, None], "row 2, column user_id: nan is missing"),
    "missing text": (["a", None], "row 2, column user_id: .* is missing"),
    "missing number": (pd.array([1, None], "Int64"), "row 2, column user_id: <NA> is missing"),
    "fraction": ([1.0, 2.5], "row 2, column user_id: 2.5 is no whole number"),
    "infinite": ([1.0, np.inf], "row 2, column user_id: inf is no whole number"),
    "rounded": ([1, 2.0**53], "9007199254740992.0 is a float beyond 9,007,199,254,740,991, where"),
    "rounded to 24 bits": (np.array([1, 2**24], "f4"), "16777216.0 is a float beyond 16,777,215"),
    "a float among others": (["a", 2.0**53], "row 2, column user_id: 9007199254740992.0 is a flo"),
    "yes and no": ([True, False], "row 1, column user_id: True is a boolean"),
    "yes among numbers": (pd.Series([1, True], dtype=object), "row 2.*True is a boolean"),
    "tuples": ([(1, 2), (1, 3)], r"row 1, column user_id: \(1, 2\) is of type tuple"),
    "lists": ([[1], [2]], r"row 1, column user_id: \[1\] is of type list"),
    "dates": ([DAY, DAY], "row 1, column user_id: .* is a date or a time.*: make it text"),
    "times": (pd.to_datetime(["2020", "2021"]), "row 1.* is a date or a time"),
    "periods": (pd.period_range("2020", periods=2), "row 1.* is of type Period"),
    "complex": ([1j, 2j], "row 1, column user_id: 1j is of type complex"),
    "broken bytes": ([b"a", b"\xff"], r"row 2, column user_id: b'\\xff' are bytes, and no UTF-8"),
    "half a letter": (pd.Series(["a", "\ud800"], dtype=object), r"row 2.* be written as UTF-8"),
    "categories": (pd.Categorical([True, False]), "row 1.* True is a boolean"),
}


@pytest.mark.parametrize("kind", NO_IDS)
def test_what_is_no_id_is_refused_before_the_fit(kind):
    column, message = NO_IDS[kind]
    frame = pd.DataFrame({"user": column, "item": [1, 2], "rating": [3.0, 4.0]})
    calls = [
        lambda: checked(frame, "mine"),
        lambda: pairs(frame, "mine"),
        lambda: pmf.PMF(1).fit(frame, source="mine"),
        lambda: Ids(np.arange(3)).codes(frame["user"].rename("user_id"), "mine"),
    ]
    for call in calls:
        with pytest.raises(InputError, match="mine, " + message if message[0] == "r" else message):
            call()


# --- models ---------------------------------------------------------------------------------------

PRIOR = pmf.IsotropicPrior(tau=4.0, user_factor=2.0, item_factor=2.0, user_bias=4.0, item_bias=4.0)
USERS, ITEMS = 12, 15


def ratings(kind: str) -> pd.DataFrame:
    """The same ratings of the same people and films, under ids of a kind; the last 30 to test."""
    rng, make = np.random.default_rng(0), KINDS[kind][0]
    pair = rng.permutation(USERS * ITEMS)[:140]
    value = np.round(3 + np.sin(pair), 2)
    user, item = make([int(x) for x in pair // ITEMS]), make([int(x) for x in pair % ITEMS + 20])
    return pd.DataFrame({"user": user, "item": item, "rating": value})


def fit(frame) -> pmf.PMF:
    return pmf.PMF(1, prior=PRIOR, num_steps=3, tolerance=0).fit(frame[:110])


@pytest.fixture(scope="module")
def reference() -> pmf.PMF:
    return fit(ratings("int8"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_the_same_under_ids_of_any_kind(kind, reference, tmp_path):
    """Fitted, saved, loaded, asked for everything that takes ids; the truth is the same model under
    small integers."""
    frame, text = ratings(kind), KINDS[kind][1]
    model, plain = fit(frame), ratings("int8")
    model.save(tmp_path / "m.pmf")
    loaded = pmf.load(tmp_path / "m.pmf")
    for side in ("users", "items"):
        ours, truth = (getattr(m.fitted, side).values for m in (model, reference))
        assert list(map(str, ours)) == [text(int(one)) for one in truth]
        again = getattr(loaded.fitted, side).values
        assert again.dtype == ours.dtype and again.tolist() == ours.tolist()

    def same(ours: pd.DataFrame, truth: pd.DataFrame) -> None:
        names = [name for name in ("user_id", "item_id") if name in truth]
        for name in names:
            named = [text(int(one)) for one in truth[name].dropna()]
            assert list(map(str, ours[name].dropna())) == named
        pd.testing.assert_frame_equal(ours.drop(columns=names), truth.drop(columns=names))

    user, item = frame["user"][0], frame["item"][1]
    same(loaded.predict(frame), reference.predict(plain))
    same(pmf.recommend(loaded, n=3), pmf.recommend(reference, n=3))
    users = list(frame["user"].unique()[:4]), list(plain["user"].unique()[:4])
    same(*(pmf.recommend(m, u, n=2) for m, u in zip((loaded, reference), users, strict=True)))
    same(pmf.recommend(loaded, user, 2), pmf.recommend(reference, plain["user"][0], 2))
    same(pmf.similar_items(loaded, item, 4), pmf.similar_items(reference, plain["item"][1], 4))
    new, new_truth = pmf.fold_in(loaded, frame[:30]), pmf.fold_in(reference, plain[:30])
    same(new.explain(user, item), new_truth.explain(plain["user"][0], plain["item"][1]))
    same(new.ask_next(user, 3), new_truth.ask_next(plain["user"][0], 3))
    same(
        loaded.partial_fit_users(frame[:30]).predict(frame),
        reference.partial_fit_users(plain[:30]).predict(plain),
    )
    test = frame[110:], plain[110:]
    scores = [pmf.report(m, x).scores for m, x in zip((loaded, reference), test, strict=True)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("ours", "theirs"), list(product(["int8", "digits", "decimals"], repeat=2))
)
def test_a_model_takes_the_same_ids_in_any_kind(ours, theirs):
    model, other = fit(ratings(ours)), ratings(theirs)
    assert (model.predict(other)["unknown"] == "").all()
    assert pmf.report(model, other[110:]).scores["unknown_users"] == 0
    with pytest.warns(pmf.OverlapWarning, match="fitted to 110 of its 140 pairs"):
        pmf.report(model, other)
    grown = model.partial_fit_items(other[:20])
    assert len(grown.fitted.items) == ITEMS
    lists = pmf.recommend(model, other["user"].unique(), n=2)
    assert lists["user_id"].isin(model.fitted.users.values).all()


def test_a_stranger_in_a_file_is_unknown_and_the_rest_is_not(reference, tmp_path):
    """`anon1`, and `007`, which is not 7: once either refused the whole file."""
    from pmf.data.readers.files import read_ratings

    path = tmp_path / "test.csv"
    path.write_text("user,item,rating\n7,20,3\nanon1,21,4\n007,22,2\n3,022,5\n")
    table = read_ratings(path)
    with pytest.warns(pmf.UnknownIdWarning, match="2 of 4 pairs have an unknown user, 1 an"):
        predicted = reference.predict(table)
    assert predicted["unknown"].tolist() == ["", "user", "user", "item"]
    assert predicted["user_id"].tolist() == ["7", "anon1", "007", "3"]
    with pytest.warns(pmf.UnknownIdWarning), pytest.warns(pmf.OverlapWarning, match="1 of its 4"):
        assert pmf.report(reference, table).scores["unknown_users"] == 2
    with pytest.warns(pmf.UnknownIdWarning, match="2 of 4 users are unknown"):
        lists = pmf.recommend(reference, table.iloc[:, 0], n=1)
    assert lists["user_id"].tolist() == ["7", "anon1", "007", "3"]


def test_one_id_is_one_id(reference):
    """Once `users="10"` were users 1 and 0."""
    for one in (10, "10", 10.0, np.int8(10), Decimal(10), b"10"):
        lists = pmf.recommend(reference, one, n=2)
        assert lists["user_id"].tolist() == [10, 10] and lists["user_id"].dtype == np.int64
        nobody = pmf.fold_in(reference, ratings("int8")[:0], users=one)
        assert nobody.fitted.users.values.tolist() == [10 if one not in ("10", b"10") else "10"]
    with pytest.raises(InputError, match="'12' the first"):
        pmf.recommend(reference, candidates="12")
    assert set(pmf.recommend(reference, candidates="21")["item_id"]) == {21}


def test_models_of_other_integers_are_read(reference, tmp_path, monkeypatch):
    """Earlier files hold integers as the ratings had them."""
    from pmf.estimators import model_file

    pack_ids = model_file.pack_ids
    for kind in ("int32", "uint8", "uint64"):
        pack = lambda ids, kind=kind: {"ids": ids.values.astype(kind)}  # noqa: E731
        monkeypatch.setattr(model_file, "pack_ids", pack)
        reference.save(tmp_path / "m.pmf")
        monkeypatch.setattr(model_file, "pack_ids", pack_ids)
        loaded = pmf.load(tmp_path / "m.pmf")
        assert loaded.fitted.users.values.dtype == np.int64
        frame = ratings("int8")
        pd.testing.assert_frame_equal(loaded.predict(frame), reference.predict(frame))


# --- files and the command line -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ids_survive_files(kind, suffix, reference, tmp_path):
    """What `predict` and `recommend` give is written, read and asked again: the same ids."""
    from pmf.data.readers.files import read_ratings, write_table
    from pmf.data.sources.base import load_data as load

    frame, path = ratings(kind), tmp_path / f"r{suffix}"
    model = fit(frame)
    write_table(model.predict(frame[110:]), path)
    pairs = read_ratings(path, required=("user_id", "item_id"))
    truth = model.predict(frame[110:]).reset_index(drop=True)
    assert list(map(str, pairs["user_id"])) == list(map(str, truth["user_id"]))
    again = model.predict(pairs)
    assert (again["unknown"] == "").all()
    pd.testing.assert_series_equal(again["mean"], truth["mean"])
    write_table(pmf.recommend(model, n=1).rename(columns={"score": "rating"}), path)
    assert set(map(str, load(path).ratings["user_id"])) == set(map(str, model.fitted.users.values))


def test_a_column_that_had_a_gap_is_of_whole_numbers_in_files_too(reference, tmp_path):
    """pandas writes 7.0 for 7 where another row has no number. Once all were unknown."""
    from pmf.data.readers.files import read_ratings
    from pmf.data.sources.base import load_data as load

    frame = ratings("int8")[110:].assign(rating=3.0)
    with_gap = pd.concat([frame.astype({"user": float}), pd.DataFrame({"user": [np.nan]})])
    path = tmp_path / "r.csv"
    with_gap.dropna().to_csv(path, index=False)
    assert "\n7.0," in path.read_text()
    assert load(path).ratings["user_id"].tolist() == frame["user"].tolist()
    table = read_ratings(path, required=("user_id", "item_id"))
    pd.testing.assert_frame_equal(
        reference.predict(table), reference.predict(frame.reset_index(drop=True))
    )
    path.write_text("user,item,rating\n9007199254740993.0,1,3\n7.0,2,4\n")
    with pytest.raises(InputError, match="row 1, column user_id: 9007199254740992.0 is a float"):
        load(path)
    path.write_text("user,item,rating\n1.0,1,3\n1.1,2,4\n1.0,2,4\n")  # versions of something
    assert load(path).ratings["user_id"].tolist() == ["1.0", "1.1", "1.0"]


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (["7", '"anon1"', '"007"'], ["7", "anon1", "007"]),
        (['"anon1"', "7", "7.0"], ["anon1", "7", "7"]),
        (["7", "8.0", "9007199254740993"], [7, 8, 2**53 + 1]),
        (["18446744073709551615", "1", "2"], ["18446744073709551615", "1", "2"]),
    ],
)
def test_ids_of_several_kinds_in_a_file_of_json(written, ids, tmp_path):
    from pmf.data.sources.base import load_data as load

    lines = [f'{{"user": {one}, "item": {j}, "rating": 3}}' for j, one in enumerate(written)]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    assert load(tmp_path / "r.jsonl").ratings["user_id"].tolist() == ids
    for odd in ("[7]", "null", '{"a": 1}', "true", "7.5"):
        (tmp_path / "r.jsonl").write_text("\n".join([*lines, lines[0].replace(written[0], odd)]))
        with pytest.raises(InputError, match="row 4, column user_id|Column"):
            load(tmp_path / "r.jsonl")
    (tmp_path / "r.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"user": "\xff"}')
    with pytest.raises(InputError):
        load(tmp_path / "r.jsonl")


def pmf_command(*arguments) -> str:
    """What the command prints, run in this process."""
    from typer.testing import CliRunner

    from pmf.cli.main import app

    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model whose ids are whole numbers of seven digits, and of seventeen."""
    frame = ratings("int8")
    frame = frame.astype({"user": int, "item": int})
    frame = frame.assign(user=frame["user"] + 1234593, item=frame["item"] + 2**56 + 1)
    path = tmp_path_factory.mktemp("ids") / "m.pmf"
    fit(frame).save(path)
    return path, frame


def test_printed_ids_have_all_their_digits(large):
    """Once `explain` printed 1234593 as 1.23459e+06, and wrote 1234593.0 into JSON."""
    import json

    path, frame = large
    user, item = frame["user"][0], frame["item"][0]
    who = ("--user", user, "--item", item)
    rated = set(frame["item"][:110][frame["user"] == user])
    lines = json.loads(pmf_command("explain", path, *who, "--json", "-n", 99))
    assert {line["item_id"] for line in lines if line["item_id"] is not None} == rated
    assert all(type(line["item_id"]) is int for line in lines if line["item_id"] is not None)
    for n in (99, 1):
        text = pmf_command("explain", path, *who, "-n", n)
        shown = [line.split()[1] for line in text.splitlines() if line.split()[0] == "rating"]
        assert set(map(int, shown)) <= rated and len(shown) == min(n, len(rated))
    lists = json.loads(pmf_command("recommend", path, "--user", user, "-n", 3, "--json"))
    assert {line["user_id"] for line in lists} == {user}
    assert {line["item_id"] for line in lists} <= set(frame["item"]) - rated
    assert str(user) in pmf_command("recommend", path, "--user", user, "-n", 1)
    assert f"{2**56:d}"[:12] in pmf_command("similar", path, "--item", item, "-n", 1)
    explained = pmf.fold_in(pmf.load(path), frame[:9]).explain(user, item)
    assert explained["item_id"].dtype == "Int64" and explained["item_id"][0] is pd.NA


def test_predictions_are_written_with_all_digits(large, tmp_path):
    path, frame = large
    frame[["user", "item"]].to_csv(tmp_path / "pairs.csv", index=False)
    for out in ("p.csv", "p.parquet"):
        pmf_command("predict", path, tmp_path / "pairs.csv", "--out", tmp_path / out)
        read = pd.read_csv if out.endswith("csv") else pd.read_parquet
        assert read(tmp_path / out)["item_id"].tolist() == frame["item"].tolist()


def test_typed_ids_are_found_as_they_are_written(large, tmp_path):
    import json

    path, frame = large
    user = frame["user"][0]
    with pytest.warns(pmf.UnknownIdWarning, match="2 of 3 users are unknown"):
        lists = pmf_command(
            "recommend",
            path,
            "--user",
            user,
            "--user",
            f"0{user}",
            "--user",
            "x",
            "-n",
            1,
            "--json",
        )
    assert [line["user_id"] for line in json.loads(lists)] == [str(user), f"0{user}", "x"]
    words = tmp_path / "words.pmf"
    fit(ratings("digits")).save(words)
    lists = pmf_command("recommend", words, "--user", "7", "-n", 1, "--json")
    assert [line["user_id"] for line in json.loads(lists)] == ["7"]
    with pytest.raises(InputError, match="user '07': unknown to the model"):
        pmf_command("explain", words, "--user", "07", "--item", "20")


@pytest.mark.parametrize("kind", ["int8", "digits", "leading zeros"])
def test_titles_are_found_for_ids_of_any_kind(kind, tmp_path):
    """Once text ids ended in a traceback."""
    import json

    frame = ratings(kind)
    fit(frame).save(tmp_path / "m.pmf")
    user, item = KINDS[kind][1](int(ratings("int8")["user"][0])), frame["item"][0]
    more = "--titles", "ml-small-2016", "--json"
    lists = json.loads(pmf_command("recommend", tmp_path / "m.pmf", "--user", user, *more))
    movies = pmf.load_data("ml-small-2016").items.set_index("item_id")["title"]
    for line in lists:
        title = None if kind == "leading zeros" else movies.get(int(line["item_id"]))
        assert line["title"] == title
    assert kind == "leading zeros" or any(line["title"] for line in lists)
    output = pmf_command("explain", tmp_path / "m.pmf", "--user", user, "--item", item, *more[:2])
    assert "nan" not in output.lower().split()


# --- folds, runs and the page ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["int8", "float", "text", "leading zeros", "numbers among text"])
def test_folds_assign_the_same_ids_of_any_kind(kind, tmp_path, monkeypatch):
    """A file of folds says 007 for 007, and a column of numbers is matched as text."""
    from pmf.data.readers.files import read_folds
    from pmf.data.splits import assigned_folds

    frame = ratings(kind)[["item", "user", "rating"]]
    fold = np.arange(len(frame)) % 3
    frame[::-1].assign(fold=fold[::-1], note="x").to_csv(tmp_path / "folds.csv", index=False)
    assignments = [read_folds(tmp_path / "folds.csv")]
    texts = {name: list(map(str, canonical(frame[name])[0])) for name in ("user", "item")}
    assignments.append(frame.assign(**texts, fold=fold))
    for assignment in assignments:
        for j, split in enumerate(assigned_folds(frame, assignment)):
            assert split.test["rating"].tolist() == frame["rating"][fold == j].tolist()
    with pytest.raises(InputError, match="the folds assign 139 rows to 140 ratings"):
        assigned_folds(frame, assignments[1][1:])


def test_runs_know_their_users_by_all_their_letters(tmp_path):
    """007 and 7 are two users of a run's table, and 7 the same user in two runs' tables."""
    from experiments.runs.collect import _stacked
    from experiments.runs.folders import Run, read_table

    for run, users in (("a", [7, 12]), ("b", ["007", "7"])):
        (tmp_path / run).mkdir()
        table = pd.DataFrame({"user_id": users, "n": [1, 2], "squared_error": [0.1, 1 / 3]})
        table.to_csv(tmp_path / run / "users.csv", index=False)
        assert read_table(tmp_path / run / "users.csv")["user_id"].tolist() == users
    runs = [Run(tmp_path / run, {"files": {"users.csv": ""}}) for run in "ab"]
    both = _stacked(runs, "users")
    assert both["user_id"].tolist() == ["7", "12", "007", "7"]
    assert both["squared_error"].iloc[1] == 1 / 3
    assert _stacked(runs[:1], "users")["user_id"].tolist() == [7, 12]


@pytest.mark.parametrize("kind", ["int8", "digits", "leading zeros"])
def test_the_page_knows_films_of_any_kind(kind):
    """Titles of a data set under numbers, a model's ids, a visitor's file."""
    pytest.importorskip("streamlit")
    from pmf.app import person

    make, text = KINDS[kind]
    model = fit(ratings(kind))
    items = pd.DataFrame({"item_id": range(20, 30), "title": [f"film {j}" for j in range(20, 30)]})
    table = person.films(items, model)
    titles = dict(zip(map(str, table["item_id"]), table["title"], strict=True))
    known = {text(j): f"film {j}" for j in range(20, 30)} if kind != "leading zeros" else {}
    assert all(titles[one] == known.get(one, one) for one in titles)
    upload = pd.DataFrame({"item": [text(20), text(21), "0000", "x"], "rating": [3.0, 4, 2, 5]})
    stars = person.uploaded(upload, table, (0.5, 5.0))
    assert list(map(str, stars)) == [text(20), text(21)] and list(stars.values()) == [3.0, 4.0]
    who = person.fold(model, stars)
    assert who.fitted.user_count[0] == 2
    films = person.listed(who, table, person.Filters(dismissed=frozenset([text(22), 23])), 99)
    gone = {text(20), text(21), text(22)} | ({"23"} if kind != "leading zeros" else set())
    assert set(map(str, films["item_id"])) == set(titles) - gone
    assert len(person.reasons(who, films["item_id"][0], table)) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["int64", "float", "leading zeros", "numbers among text", "beyond int64", "UUIDs"]
)
def test_the_command_line_takes_ids_of_any_kind(kind, tmp_path, monkeypatch):
    """From a file to a model, to predictions, scores, lists and reasons, all by the ids as text."""
    import json

    monkeypatch.chdir(tmp_path)
    frame, text = ratings(kind), KINDS[kind][1]
    frame[:110].to_csv("train.csv", index=False)
    frame[110:].to_csv("test.csv", index=False)
    prior = "tau=4,user_factor=2,item_factor=2,user_bias=4,item_bias=4"
    pmf_command("fit", "train.csv", "--out", "m.pmf", "--rank", 1, "--steps", 3, "--prior", prior)
    scores = json.loads(pmf_command("evaluate", "m.pmf", "test.csv", "--json"))
    assert scores["unknown_users"] == scores["unknown_items"] == 0
    assert scores["rmse"] == pytest.approx(pmf.report(fit(frame), frame[110:]).scores["rmse"], 1e-4)
    pmf_command("predict", "m.pmf", "test.csv", "--out", "p.csv")
    users = [text(int(one)) for one in ratings("int8")["user"]]
    assert pd.read_csv("p.csv", dtype=str)["user_id"].tolist() == users[110:]
    lists = json.loads(pmf_command("recommend", "m.pmf", "--user", users[0], "-n", 2, "--json"))
    assert [str(line["user_id"]) for line in lists] == [users[0]] * 2
    item = str(lists[0]["item_id"])
    assert "prediction" in pmf_command("explain", "m.pmf", "--user", users[0], "--item", item)
    assert pmf_command("similar", "m.pmf", "--item", item, "-n", 2).count("\n") == 3
