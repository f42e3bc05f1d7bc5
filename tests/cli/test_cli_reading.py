"""Own files and settings on the command line. Catches: a command that does not hear how its file is
read, an option that reaches no setting, a setting that can be said in two ways at once."""

import inspect

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import pmf
from pmf.cli import main, reading, settings
from pmf.data.readers.reading import Reading
from pmf.errors import InputError
from pmf.estimators.load import load
from pmf.estimators.notices import OverlapWarning
from pmf.fitting.settings import make_settings, shorthand

READERS = {
    ("fit",),
    ("evaluate",),
    ("predict",),
    ("fold-in",),
    ("data", "describe"),
    ("split",),
    ("app",),
}
PRIOR = "tau=1,user_factor=1,item_factor=2,user_bias=3,item_bias=4"


def run(*words) -> str:
    done = CliRunner().invoke(main.app, [*map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "mine.txt"
    path.write_text("\n".join(f"0{j % 11};{j % 7};{1 + j % 5}" for j in range(60)))
    return path


AS_IT_IS = ["--separator", ";", "--no-header", "--columns", "user=2,item=1,rating=3"]


def commands(command, path=()):
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


def test_every_command_that_reads_ratings_says_how():
    whole = dict(commands(typer.main.get_command(main.app)))
    having = {path for path, one in whole.items() if any(p.name == "separator" for p in one.params)}
    assert having >= READERS
    for path in having:
        names = {param.name for param in whole[path].params}
        assert set(reading.OPTIONS) <= names and "reading" not in names
    assert set(reading.OPTIONS) == set(inspect.signature(Reading).parameters)


@pytest.mark.slow
def test_own_files_from_fit_to_fold_in(file):
    model, out = file.parent / "m.pmf", file.parent / "p.csv"
    options = [
        *AS_IT_IS,
        "--rank",
        0,
        "--prior",
        PRIOR,
        "--scale",
        1,
        5,
        "--clip",
        "--set",
        "patience=3",
        "--steps",
        3,
    ]
    run("fit", file, "--out", model, *options)
    fitted = load(model)
    assert fitted.require_fitted().items.values.tolist()[:2] == ["00", "01"]
    assert fitted.settings.scale == (1, 5) and fitted.settings.clip
    assert fitted.settings.inference.patience == 3
    assert vars(fitted.settings.inference.prior) == {
        "tau": 1,
        "user_factor": 1,
        "item_factor": 2,
        "user_bias": 3,
        "item_bias": 4,
        "user_exponent": 0,
        "item_exponent": 0,
    }
    with pytest.warns(OverlapWarning, match="60 of its 60 pairs"):
        assert run("evaluate", model, file, *AS_IT_IS).split()[:2] == ["n", "60"]
    run("predict", model, file, "--out", out, *AS_IT_IS)
    assert pd.read_csv(out, dtype=str)["item_id"].tolist()[:2] == ["00", "01"]
    lists = run("fold-in", model, file, "-n", 1, "--json", *AS_IT_IS)
    assert lists.count("user_id") == 7


def test_describe_reads_as_it_is_told(file):
    shown = run("data", "describe", file, *AS_IT_IS)
    assert "users    7;" in shown and "items    11;" in shown
    with pytest.raises(InputError, match="say how its fields are parted"):
        run("data", "describe", file)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (None, {}),
        ("user=a", {"user": "a"}),
        ("user=User ID,item=a,b,rating=x=y", {"user": "User ID", "item": "a,b", "rating": "x=y"}),
    ],
)
def test_columns_as_words(text, columns):
    assert reading.columns_of(text) == columns


@pytest.mark.parametrize("text", ["", "user", "user=a,user=b", "=a"])
def test_columns_that_are_no_pairs(text):
    with pytest.raises(InputError, match="--columns|columns:"):
        Reading(columns=reading.columns_of(text))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--columns", "whom=2"], "'whom' is none of user, item, rating, timestamp"),
        (["--encoding", "klingon"], "no encoding of that name"),
        (["--separator", "x"], "separator='x'"),
        (["--tau", "1"], "tau: a setting of Gibbs, not of ALS"),
        (["--method", "gibbs", "--prior", PRIOR], "prior: a setting of ALS and MAP, not of Gibbs"),
        (["--on-disk"], "on_disk: a setting of MAP, not of ALS"),
        (["--prior", "tau=1"], "all of tau, user_factor, item_factor, user_bias, item_bias are"),
        (["--prior", PRIOR + ",x=1"], "all of tau, "),
        (["--prior", "tau"], "--prior tau: say NAME=NUMBER"),
        (["--prior", PRIOR.replace("tau=1", "tau=-1")], "tau and every precision above 0"),
        (["--method", "gibbs", "--tau", "none"], "tau"),
        (["--method", "gibbs", "--tau", "-1"], "tau"),
        (["--clip"], "clip needs a scale"),
        (["--scale", "5", "1"], "the lowest rating first"),
        (["--set", "burn_inn=2"], "did you mean burn_in"),
        (["--set", "burn_in"], "say NAME=VALUE"),
        (["--set", "rank=2"], "--set rank=2: say --rank"),
        (["--set", "num_steps=2"], "say --steps"),
        (["--set", "thin=2", "--set", "thin=3"], "thin is set twice"),
        (["--method", "gibbs", "--set", "thin=few"], "thin: Input should be a valid integer"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(words, message, tmp_path):
    """There is no such file: nothing is read before."""
    with pytest.raises(InputError, match=message):
        run("fit", tmp_path / "absent.csv", "--out", tmp_path / "m.pmf", *words)


@pytest.mark.parametrize("tau", ["auto", "learn", "1.5"])
def test_every_word_for_tau(tau):
    assert pmf.Gibbs(tau=settings.tau_of(tau)).tau in ("auto", "learn", 1.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("burn_in=200", 200),
        ("mu = 3.5", 3.5),
        ("fused=false", False),
        ("hyperprior='joint'", "joint"),
    ],
)
def test_values_are_tomls_or_bare_words(text, value):
    name = text.partition("=")[0].strip()
    assert settings.further_of([text], {}) == {name: value}
    assert make_settings({"method": "gibbs", name: value}).flat()[name] == value


def test_every_setting_can_be_said():
    """By an option of its own, or by --set."""
    fit = dict(commands(typer.main.get_command(main.app)))[("fit",)]
    options = {param.name for param in fit.params}
    names = {settings.OWN_OPTIONS.get(name, name) for name in shorthand().model_fields}
    assert {"scale", "clip", "tau", "prior"} <= options & names and "further" in options
