"""The command line. Catches: a traceback, a wrong exit code, a half-written file.

In this process, but for a model's whole life by one method, and one complaint.
"""

import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from pmf.cli import main
from pmf.data.synthetic import movielens_shaped
from tests.helpers.commands import pmf


def process(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pmf", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    columns = ["userId", "movieId", "rating"]
    ratings = movielens_shaped(0, n=4000, users=100, items=500)
    frame = pd.DataFrame(dict(zip(columns, ratings, strict=True))).sample(frac=1, random_state=0)
    frame[:3500].to_csv(path / "train.csv", index=False)
    test = frame[3500:].copy()
    test = test[test["userId"].isin(frame["userId"][:3500])]
    test.iloc[0, 0] = 10_000  # an unknown user
    test.to_csv(path / "test.csv", index=False)
    test[["userId", "movieId"]].to_csv(path / "pairs.csv", index=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "pmf"), [("als", process), ("map", pmf), ("gibbs", pmf)], ids=["als", "map", "gibbs"]
)
def test_fit_evaluate_predict(folder, method, pmf):
    model, steps = folder / f"{method}.pmf", {"als": 5, "map": 50, "gibbs": 5}[method]
    done = pmf(
        "fit",
        folder / "train.csv",
        "--method",
        method,
        "--rank",
        3,
        "--steps",
        steps,
        "--seed",
        2,
        "--out",
        model,
    )
    assert done.returncode == 0, done.stderr
    parts = "read", "laid out", "chose the prior", "compiled"
    unit = "steps" if method == "map" else "sweeps"
    phases = [*parts, rf"\d+ {unit}", "the rest"]
    line = " · ".join(f"{phase} [0-9.]+ (s|min)" for phase in phases)
    assert re.search(f"^{line}$", done.stdout, re.MULTILINE), done.stdout
    assert done.stderr == ""  # no progress bar where there is no terminal
    scored = pmf("evaluate", model, folder / "test.csv", "--json")
    scores = json.loads(scored.stdout)
    keys = "n rmse mae log_density crps coverage_90 unknown_users unknown_items"
    assert set(keys.split()) <= set(scores)
    assert scores["n"] == len(pd.read_csv(folder / "test.csv")) and scores["unknown_users"] == 1
    assert "warning:" in scored.stderr and scored.stderr.count("\n") == 1, scored.stderr
    ranked = pmf(
        "evaluate", model, folder / "test.csv", "--train", folder / "train.csv", "--top", 5
    )
    assert ranked.returncode == 0 and "ndcg@5 " in ranked.stdout, ranked.stderr
    assert ranked.stdout.startswith("n ") and "ranked_unknown_users" in ranked.stdout
    done = pmf("predict", model, folder / "pairs.csv", "--out", folder / "p.csv")
    assert done.returncode == 0, done.stderr
    predicted = pd.read_csv(folder / "p.csv")
    pairs = pd.read_csv(folder / "pairs.csv")
    assert predicted["user_id"].tolist() == pairs["userId"].tolist()
    assert (predicted["low"] < predicted["mean"]).all()


@pytest.mark.slow
def test_fit_takes_a_folder_of_parquet_files(folder):
    from pmf.estimators.load import load

    frame = pd.read_csv(folder / "train.csv")
    (folder / "parts").mkdir()
    frame[:2000].to_parquet(folder / "parts" / "a.parquet")
    frame[2000:].to_parquet(folder / "parts" / "b.parquet")
    models = []
    for train in ("parts", "train.csv"):
        model = folder / f"{train}.pmf"
        done = pmf("fit", folder / train, "--rank", 2, "--steps", 2, "--out", model)
        assert done.returncode == 0 and "3,500 ratings" in done.stdout, done.stderr
        models.append(load(model))
    pd.testing.assert_frame_equal(*(model.predict(frame) for model in models))
    done = pmf(
        "fit",
        folder / "parts",
        "--method",
        "map",
        "--on-disk",
        "--rank",
        2,
        "--steps",
        2,
        "--out",
        folder / "disk.pmf",
    )
    assert done.returncode == 0, done.stderr
    assert load(folder / "disk.pmf").settings.inference.on_disk


@pytest.mark.slow
def test_ablation_flags_reach_the_model(folder):
    from pmf.estimators.load import load

    done = pmf(
        "fit",
        folder / "train.csv",
        "--rank",
        0,
        "--no-user-bias",
        "--steps",
        2,
        "--out",
        folder / "ablated.pmf",
    )
    assert done.returncode == 0, done.stderr
    model = load(folder / "ablated.pmf")
    assert model.settings.terms == (0, False, True) and len(model.records) <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "no-such-set", "--out", "x.pmf"], "neither a data set's name nor a file"),
        (["fit", "ml-small-2016"], "Missing option '--out'"),
        (["fit", "ml-small-2016", "--rank", "x", "--out", "x.pmf"], "valid integer"),
        (
            ["fit", "ml-small-2016", "--method", "sgd", "--out", "x.pmf"],
            "method='sgd': known: als, map, gibbs",
        ),
        (["predict", "m.pmf", "p.csv", "--out", "p.json"], "p.json: its name must end in .csv or"),
        (["recommend", "m.pmf", "--all", "--out", "l.txt"], "l.txt: its name must end in .csv or"),
        (["fold-in", "m.pmf", "r.csv", "--out", "l.xlsx"], "l.xlsx: its name must end in .csv"),
        (["recommend", "m.pmf"], "say for whom: --user ID, or --all"),
        (["recommend", "m.pmf", "--all", "--user", "1"], "say for whom: --user ID, or --all"),
        (["recommend", "m.pmf", "--all"], "write them by --out FILE, or print --json"),
        (["fit", "ml-small-2016", "--rank", "-2", "--out", "x.pmf"], "rank"),
        (["fit", "ml-small-2016", "--out", "/nowhere/x.pmf"], "folder does not exist"),
        (
            ["fit", "ml-small-2016", "--on-disk", "--out", "x.pmf"],
            "on_disk: a setting of MAP, not of ALS",
        ),
        (["fit", ".", "--out", "../x.pmf"], "no Parquet file"),
        (["evaluate", ".", "ml-small-2016"], "no such model file"),
        (["data", "describe", "."], "a folder of Parquet files can be fitted"),
        (["fit", "ml-small-2016", "--rank", "5000", "--out", "x.pmf"], "rank 5000 is more than"),
        (["evaluate", "missing.pmf", "ml-small-2016"], "no such model file"),
        (["data", "fetch", "ml-3m"], "cannot be fetched"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = pmf(*arguments)
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Users 1 to 30, and items 0 to 19 that a rising bias tells apart."""
    import numpy as np

    from pmf import PMF, IsotropicPrior

    rng = np.random.default_rng(0)
    pair = rng.permutation(30 * 20)[:300]
    frame = pd.DataFrame({"user": pair // 20 + 1, "item": pair % 20})
    frame["rating"] = (2 + 0.1 * frame["item"] + 0.1 * rng.standard_normal(300)).round(2)
    path = tmp_path_factory.mktemp("lists") / "m.pmf"
    PMF(1, prior=IsotropicPrior(4.0, 8.0, 8.0, 1.0, 1.0), num_steps=20).fit(frame).save(path)
    frame[frame["user"] == 3].assign(user="me").to_csv(path.parent / "mine.csv", index=False)
    return path


def test_lists_similar_items_and_reasons(model):
    done = pmf("recommend", model, "--user", 3, "--user", 4, "-n", 2, "--json")
    rows = json.loads(done.stdout)
    assert [row["user_id"] for row in rows] == [3, 3, 4, 4], done.stderr
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    with_rated = pmf("recommend", model, "--user", 3, "-n", 3, "--seen")
    assert with_rated.stdout.split("\n")[1].split()[:3] == ["3", "19", "1"], with_rated.stdout
    new = pmf("fold-in", model, model.parent / "mine.csv", "-n", 2, "--json")
    assert [row["item_id"] for row in json.loads(new.stdout)] == [r["item_id"] for r in rows[:2]]
    done = pmf("fold-in", model, model.parent / "mine.csv", "--out", model.parent / "lists.csv")
    assert "recommendations written" in done.stdout, done.stderr
    assert list(pd.read_csv(model.parent / "lists.csv")["rank"][:3]) == [1, 2, 3]
    like = pmf("similar", model, "--item", 3, "-n", 4)
    assert len(like.stdout.splitlines()) == 5
    why = json.loads(pmf("explain", model, "--user", 3, "--item", 7, "-n", 2, "--json").stdout)
    parts = [row["part"] for row in why]
    assert parts[:4] == ["mean", "item bias", "user bias", "prior"] and parts[-1] == "prediction"
    assert parts.count("rating") == 2 and "other ratings" in parts[-2]
    total = sum(row["contribution"] for row in why[:-1])
    assert total == pytest.approx(why[-1]["contribution"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["similar", "--item", "07"], "item '07': unknown to the model"),
        (["recommend", "--user", "3", "--rule", "best"], "'best' is not one of 'mean'"),
        (["recommend", "--user", "3", "--rule", "upper"], "it needs draws of the posterior"),
        (["similar", "--item", "99"], "item 99: unknown to the model"),
        (["explain", "--user", "99", "--item", "3"], "user 99: unknown to the model"),
        (["fold-in", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_cannot_be_listed_is_one_line(model, arguments, message):
    done = pmf(arguments[0], model, *arguments[1:])
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_lists_for_everyone_go_to_a_file(model):
    out = model.parent / "everyone.parquet"
    done = pmf("recommend", model, "--all", "-n", 3, "--out", out)
    assert done.returncode == 0 and "90 recommendations written to" in done.stdout, done.stderr
    lists = pd.read_parquet(out)
    assert lists["user_id"].nunique() == 30 and list(lists["rank"]) == [1, 2, 3] * 30
    some = pmf("recommend", model, "--user", 7, "-n", 3, "--json")
    assert [row["item_id"] for row in json.loads(some.stdout)] == list(
        lists.loc[lists["user_id"] == 7, "item_id"]
    )


def test_evaluate_says_what_was_fitted_and_how_sure_it_is(model):
    """On its own training ratings: told so in one line, with intervals, and JSON that is JSON."""
    from pmf.estimators.load import load

    rated = load(model).fitted.rated
    users = pd.Series(range(30)).repeat(rated.pairs.start[1:31] - rated.pairs.start[:30])
    ids = load(model).fitted
    frame = pd.DataFrame(
        {
            "user": ids.users.values[users],
            "item": ids.items.values[rated.pairs.item],
            "rating": rated.value[:],
        }
    )
    frame.to_csv(model.parent / "again.csv", index=False)
    done = pmf("evaluate", model, model.parent / "again.csv", "--bootstrap", 50, "--json")
    assert "fitted to 300 of its 300 pairs" in done.stderr and done.stderr.count("\n") == 1
    scores = json.loads(done.stdout, parse_constant=pytest.fail)
    low, high = scores["intervals"]["rmse"]
    assert low < scores["rmse"] < high
    plain = pmf("evaluate", model, model.parent / "again.csv", "--bootstrap", 50).stdout
    assert f"rmse          {scores['rmse']:.4f} ({low:.4f} to {high:.4f})\n" in plain
    table = ["predict", model, model.parent / "again.csv", "--out", model.parent / "p.csv"]
    assert pmf(*table, "--interval", 0.5, "--interval", 0.9).returncode == 0
    assert {"low_50", "high_50", "low_90", "high_90"} <= set(pd.read_csv(model.parent / "p.csv"))


def commands(command, path=()):
    """Every command below one, with its names."""
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(main.app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_reads_well(path):
    """Catches odd placeholders, cut summaries, a choice without its choices, a lone lower case."""
    done = CliRunner().invoke(main.app, [*path, "--help"], prog_name="pmf")
    text = done.output
    assert done.exit_code == 0 and "..." not in text.replace("[ARGS]...", ""), text
    assert not re.search(r"[{}]|list\[|range>|TEXT|<str>(?! )", text), text
    for param in COMMANDS[path].params:
        assert param.help and param.help[0].isupper() and param.help.endswith("."), param.name
        if param.param_type_name == "argument":
            assert param.metavar == param.name.upper()
    one = " ".join(text.split())
    for name, command in getattr(COMMANDS[path], "commands", {}).items():
        summary = command.help.split("\n\n")[0].split(". ")[0]
        assert f"{name} {' '.join(summary.split())}" in one


def test_choices_are_those_of_the_settings():
    text = CliRunner().invoke(main.app, ["fit", "--help"]).output
    assert "als|map|gibbs" in text and "error|last|mean" in text


def test_the_version_and_the_shells_completion():
    import pmf as package

    assert process("--version").stdout == f"pmf {package.__version__}\n"
    code = "import sys; sys.argv = ['pmf']; from pmf.cli.main import main; main()"
    environment = {"_PMF_COMPLETE": "complete_bash", "COMP_WORDS": "pmf f", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.stdout.split() == ["fit", "fold-in"], done.stderr


def test_bad_rows_are_named(tmp_path):
    (tmp_path / "bad.csv").write_text("user,item,rating\n1,2,3\n2,1,NaN\n")
    done = process("fit", tmp_path / "bad.csv", "--out", tmp_path / "x.pmf")
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path / 'bad.csv'}, row 2, column rating: nan" in done.stderr


def test_doctor_list_and_describe(tmp_path):
    done = pmf("doctor", PMF_DATA_DIR=str(tmp_path))
    assert done.returncode == 0 and "jax " in done.stdout and str(tmp_path) in done.stdout
    assert "ml-small-2016 (bundled)" in done.stdout
    listed = pmf("data", "list", PMF_DATA_DIR=str(tmp_path)).stdout
    assert "ml-25m           not fetched" in listed
    described = pmf("data", "describe", "ml-small-2016").stdout
    assert "100,004" in described and "671" in described


def test_help_is_light():
    code = (
        "import sys; sys.argv = ['pmf', 'recommend', '--help']; from pmf.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted({'jax', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--rule" in done.stdout and done.stdout.endswith("\n[]\n"), done
