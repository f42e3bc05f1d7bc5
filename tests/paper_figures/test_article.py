"""The article. Catches: a number that is not the tables', a verdict that outlives its numbers, a
reference to nowhere, letters of a title that Typst takes for markup, half a PDF, other bytes from
the same tables, an article and a page that tell of different sections."""

import io
import json
import re
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from paper_figures.__main__ import RESULTS, app
from paper_figures.figures import runs
from paper_figures.figures.build import FIGURES, read
from paper_figures.report import article, manuscript
from paper_figures.report.contents import contents, read_all
from paper_figures.report.manuscript import Cover
from paper_figures.report.sections import SECTIONS
from pmf.errors import InputError
from tests.helpers import result_tables

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("typst")
BLANK = '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="100"></svg>'
PICTURE = article.picture
HOSTILE = '#let $x$ @here _a_ *b* `c` <d> "e" \\ // f שלום'


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Pictures without anything on them, since drawing them takes longest; one test is of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(article, "picture", lambda table, module: (BLANK, 3.4))
        yield


def results_of(folder, *names):
    for name in names:
        result_tables.write(folder / name, getattr(result_tables, name)())
    return folder


def text_of(pdf):
    """What a reader of the PDF reads, lines and hyphens joined."""
    reader = pypdf.PdfReader(pdf if not isinstance(pdf, bytes) else io.BytesIO(pdf))
    text = "\n".join(page.extract_text() for page in reader.pages)
    return re.sub(r"\s+", " ", text.replace("-\n", "-"))


def made(results, out, **options):
    article.write(results, out, options.pop("cover", Cover()), **options)
    return text_of(out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The article of several experiments, its sources, and where their tables are."""
    folder = tmp_path_factory.mktemp("article")
    results = results_of(folder / "results", "compare", "ablation", "films")
    text = made(results, folder / "a.pdf", keep=folder / "a")
    facts = json.loads((folder / "a" / "data" / "facts.json").read_text("utf8"))
    return results, folder / "a.pdf", text, facts


def test_every_number_of_its_tables_is_the_tables(whole):
    results, _, text, facts = whole
    flat = text.replace(" ", "")
    for section in (one for part in facts["parts"] for one in part["sections"]):
        scores = read(results / section["name"])["scores"]
        scores = scores.assign(arm=runs.text(scores, "arm"))
        for line in facts["facts"][section["name"]]["lines"]:
            rows = scores[(scores["metric"] == "rmse") & (scores["arm"] == line["arm"])]
            rows = rows[rows["model.method"] == line["method"]]
            rank = line["settings"].get("rank")
            rows = rows if rank is None else rows[rows["model.rank"] == rank]
            assert f"{rows['value'].mean():.4f}" == line["scores"]["rmse"]["short"]
        shown = [j for j, title in enumerate(section["scores"]["header"]) if title in SHOWN]
        for row in section["scores"]["rows"]:
            cells = "".join(row[j]["text"].replace(" ", "") for j in shown)
            assert cells in flat, cells


SHOWN = ("rank", "RMSE", "log density", "90 % coverage")  # side by side in the article


def test_what_it_refers_to_is_there_and_numbered(whole):
    _, _, text, facts = whole
    for word in ("Figure", "Table"):
        captions = {int(x) for x in re.findall(rf"{word} (\d+)\. [A-Z]", text)}
        assert captions == set(range(1, max(captions) + 1))
        assert {int(x) for x in re.findall(rf"{word} (\d+)(?!\. [A-Z])", text)} <= captions
    cited = {int(x) for part in re.findall(r"\[([\d, ]+)\]", text) for x in part.split(",")}
    assert cited == set(range(1, max(cited) + 1))
    assert not re.search(r"\(\)|[;:,] ?\.| \.", text.partition("A Scores")[0])


def test_it_is_tagged_and_its_pictures_have_words(whole):
    _, pdf, _, facts = whole
    reader = pypdf.PdfReader(pdf)
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == "en" and reader.outline
    assert reader.metadata.title == Cover().title and reader.metadata.author == Cover().author
    words, todo = set(), [root["/StructTreeRoot"]]
    while todo:
        node = todo.pop().get_object()
        if isinstance(node, dict):
            words.add(node.get("/Alt", ""))
            node = node.get("/K", [])
        todo += node if isinstance(node, list) else []
    drawn = [x for p in facts["parts"] for s in p["sections"] for x in s["figures"] if x["chosen"]]
    assert drawn and {f"{x['title']}. {x['caption']}" for x in drawn} <= words


def swapped(results, out, name, one, other):
    """The results with the numbers of two arms exchanged, in every table of an experiment."""
    shutil.copytree(results, out)
    runs = pd.read_csv(out / name / "runs.csv", dtype={"id": str})
    names = {one: other, other: one}
    runs["arm"] = runs["arm"].replace(names)
    runs["model.method"] = runs["arm"].map(lambda arm: result_tables.METHOD.get(arm, "als"))
    runs.to_csv(out / name / "runs.csv", index=False)
    compared = pd.read_csv(out / name / "comparisons.csv")
    turned = compared[compared["arm"] == one].copy()
    turned[["difference", "low", "high"]] *= -1
    turned[["low", "high"]] = turned[["high", "low"]].to_numpy()
    turned["verdict"] = turned["verdict"].replace({"better": "worse", "worse": "better"})
    turned.to_csv(out / name / "comparisons.csv", index=False)
    return out


def test_a_verdict_goes_with_its_numbers(whole, tmp_path):
    results, _, text, _ = whole
    assert "Sampling beats optimising at every rank" in text and "Gibbs predicts best" in text
    other = made(swapped(results, tmp_path / "r", "compare", "Gibbs", "ALS"), tmp_path / "a.pdf")
    assert "Sampling beats optimising" not in other
    assert "Optimising beats sampling at every rank" in other and "ALS predicts best" in other


def test_where_nothing_is_shown_nothing_is_claimed(tmp_path):
    results = results_of(tmp_path / "r", "compare")
    table = pd.read_csv(results / "compare" / "comparisons.csv")
    table.assign(verdict="no difference shown").to_csv(
        results / "compare" / "comparisons.csv", index=False
    )
    text = made(results, tmp_path / "a.pdf")
    assert "beats" not in text and "Neither of Gibbs and ALS is ahead at every rank" in text


@pytest.mark.parametrize("name", ["scaling", "films"])
def test_results_of_one_experiment_are_enough(name, tmp_path):
    text = made(results_of(tmp_path / "r", name), tmp_path / "a.pdf")
    there = {"scaling": "Time and memory", "films": "Films"}[name]
    assert there in text and "What each arm loses" not in text
    for other in ("Which terms carry how much", "Calibration Intervals hold", "Two sources"):
        assert other not in text


def test_letters_stay_letters(tmp_path):
    results = results_of(tmp_path / "r", "films")
    runs = pd.read_csv(results / "films" / "runs.csv", dtype={"id": str})
    runs.assign(data="#r_1 $2@.csv").to_csv(results / "films" / "runs.csv", index=False)
    cover = Cover(HOSTILE, "Ä #1 & 数")
    text = made(results, tmp_path / "a.pdf", cover=cover)
    about = pypdf.PdfReader(tmp_path / "a.pdf").metadata
    assert (about.title, about.author) == (HOSTILE, cover.author)
    assert HOSTILE.partition(" שלום")[0] in text and "Ä #1 &" in text and "#r_1 $2@.csv" in text


def test_the_same_tables_are_the_same_bytes(tmp_path, monkeypatch):
    results = results_of(tmp_path / "r", "films")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert "2 January 1970" in made(results, tmp_path / "a.pdf")
    made(results, tmp_path / "b.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_a_picture_is_the_same_twice_and_its_letters_are_text():
    tables = result_tables.films()["data"].assign(unit="stars")
    svg, width = PICTURE(tables, FIGURES["long_tails"])
    assert PICTURE(tables, FIGURES["long_tails"])[0] == svg and width == 7.0
    assert ">Place by ratings</text>" in svg and article.FONT in svg
    assert article.MEASURED not in svg


def test_the_date_is_the_tables_own(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    made = [{"finished": ["2026-01-02T03:04:05+00:00", "2026-02-03T04:05:06+00:00"]}]
    assert manuscript.date_of({"a": made, "b": []}) == [2026, 2, 3]
    assert manuscript.date_of({"a": []}) is None
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH='soon'.*unset it"):
        manuscript.date_of({})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / "runs.csv").unlink(), "runs.csv: no such results table"),
        (lambda folder: (folder / "scores.csv").write_text("a,b\n1,2\n"), "scores.csv: no column"),
        (lambda folder: (folder / "scores.csv").write_bytes(b"\xff\x00"), "scores.csv"),
        (
            lambda folder: (folder / "scores.csv").write_text("id,metric,value\nx,rmse,1\n"),
            "scores.csv: it has a run that runs.csv lacks",
        ),
        (
            lambda folder: (folder / "scores.csv").write_text("id,metric,value\nx,rmse,low\n"),
            "scores.csv: a value is no number",
        ),
        (lambda folder: shutil.rmtree(folder), "no results tables"),
    ],
)
def test_bad_tables_are_told_in_a_line_and_no_pdf_is_touched(harm, says, tmp_path):
    results, out = results_of(tmp_path / "r", "films"), tmp_path / "a.pdf"
    out.write_bytes(b"before")
    harm(results / "films")
    with pytest.raises(InputError) as error:
        made(results, out)
    assert says in str(error.value) and "\n" not in str(error.value)
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "r"]


def test_one_may_write_ones_own(tmp_path):
    results = results_of(tmp_path / "r", "films")
    words = ["--results", results, "--title", "Mine", "--author", "I", "--out", tmp_path / "t.pdf"]
    done = CliRunner().invoke(app, ["article", *map(str, words), "--typ"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "t" / "main.typ").is_file() and (tmp_path / "t" / "data").is_dir()
    again = CliRunner().invoke(app, ["article", *map(str, words), "--typ"])
    assert isinstance(again.exception, InputError) and "it is there already" in str(again.exception)

    (tmp_path / "t" / "limits.typ").write_text("= What I saw\n\nNo limits.\n")
    text = made(results, tmp_path / "u.pdf", template=tmp_path / "t")
    assert "What I saw No limits." in text and "Limits The data" not in text
    (tmp_path / "t" / "limits.typ").write_text("= Limits\n#nothing-of-that-name\n")
    with pytest.raises(InputError, match=r"limits\.typ:2.*unknown variable.*mend it"):
        made(results, tmp_path / "u.pdf", template=tmp_path / "t")
    with pytest.raises(InputError, match="no folder with .typ files"):
        made(results, tmp_path / "u.pdf", template=results)


def test_the_page_and_the_article_tell_of_the_same_sections(whole):
    results, _, text, facts = whole
    told = contents(read_all(results))
    titles = [one["title"] for part in told["parts"] for one in part["sections"]]
    assert titles == [one["title"] for part in facts["parts"] for one in part["sections"]]
    assert titles == ["Which terms carry how much", *titles[1:]] and len(titles) == 3
    assert set(told["missing"]) == set(SECTIONS) - {"compare", "ablation"}
    for title in (*titles, *(part["title"] for part in told["parts"])):
        assert title in text


def test_no_number_stands_in_the_sources():
    for path in sorted(article.TEMPLATE.glob("*.typ")):
        if path.name in ("look.typ", "plates.typ", "facts.typ", "model.typ"):
            continue  # lengths
        text = path.read_text(encoding="utf8")
        text = re.sub(r"//.*|\$[^$]*\$", " ", text)
        assert re.findall(r"\d\.\d|\d ?%", re.sub(r"[\d.]+(pt|em|fr)", "", text)) == [], path.name


def test_what_is_certified_is_the_docs_table():
    claims = manuscript.certified(manuscript.ROOT / "docs" / "correctness.md")
    assert len(claims) > 15 and all(len(line) == 3 for line in claims)
    assert claims[0][0] == "densities are normalised"
    assert dict(manuscript.planted(manuscript.ROOT / "tests" / "mistakes"))["conditionals"] > 10


@pytest.mark.slow
def test_the_tracked_tables_make_an_article(tmp_path):
    text = made(RESULTS, tmp_path / "a.pdf")
    for name in read_all(RESULTS):
        assert f"python -m experiments run {name}" in text
    captions = [int(x) for x in re.findall(r"Figure (\d+)\. [A-Z]", text)]
    assert sorted(captions) == list(range(1, len(captions) + 1))
    assert not re.search(r"[;:,] ?\.", text.partition("A Scores")[0])
