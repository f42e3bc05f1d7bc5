"""The documentation is true: its pages run as they stand there, and print what they show.

Catches: a name, an argument or an option that has moved; a number that no longer comes out; a link
to nowhere; a page that asks the network for a script, a style, a font or a picture; a search that
answers only behind a server; a table that breaks its numbers or hides its last column.
"""

import ast
import builtins
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from benchmarks.latency import chromium

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ROOT_PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")]
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))]
FENCE = re.compile(r'^```(\w+)(?: title="([^"\n]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MARK = "--- end of a block ---"
UNITS = 2  # of the last digit shown: what another processor's rounding may move
NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers", "math_core")
SILENT = {"NO_MKDOCS_2_WARNING": "1"}  # mkdocs.yml says what it would say
PATIENCE = 90_000  # milliseconds
COMMAND = re.compile(r"(pmf|python -m (experiments|benchmarks|paper_figures|tests)[\w.]*) ")
SH = "import subprocess; subprocess.run({!r}, shell=True, check=True)"
FILE = 'import pathlib; pathlib.Path({!r}).write_text({!r}, encoding="utf8")'


class Block(NamedTuple):
    """A fenced block: its language, its title, its text, its first and its last line (from 0)."""

    language: str
    title: str | None
    text: str
    begin: int
    end: int


def blocks(text: str) -> list[Block]:
    return [
        Block(*m.groups(), text[: m.start()].count("\n"), text[: m.end()].count("\n"))
        for m in FENCE.finditer(text)
    ]


def program(text: str) -> tuple[str, list[str]]:
    """A page as one Python program, its lines where the page has them, and the outputs it shows.

    A shell block is run where an output follows it; a block with a title is a file of that name.
    """
    lines = [""] * (text.count("\n") + 1)
    parts, shown = blocks(text), []
    for block, after in zip(parts, [*parts[1:], None], strict=True):
        prints = after is not None and after.language == "text" and after.begin <= block.end + 2
        if block.title:
            lines[block.begin] = FILE.format(block.title, block.text)
        elif block.language == "python":
            lines[block.begin + 1 : block.end] = block.text.split("\n")[:-1]
        elif block.language == "sh" and prints:
            lines[block.begin] = SH.format(block.text)
        if prints:
            lines[block.end] = f"print({MARK!r})"
            shown.append(after.text)
    return "\n".join(lines), shown


def same(shown: str, printed: str) -> bool:
    """Whether words agree; `...` stands for any word, and as a last line for any lines.

    A number with a decimal point may differ by `UNITS` of its last digit shown.
    """
    expected, actual = shown.split(), printed.split()
    if shown.endswith("\n...\n"):
        expected, actual = expected[:-1], actual[: len(expected) - 1]
    return len(expected) == len(actual) and all(map(_same_word, expected, actual))


def _same_word(shown: str, printed: str) -> bool:
    number = re.compile(r"[-+]?\d+\.(\d+)")
    if shown in ("...", printed):
        return True
    if number.sub("0", shown) != number.sub("0", printed):
        return False
    pairs = zip(number.finditer(shown), number.finditer(printed), strict=True)
    return all(abs(float(a[0]) - float(b[0])) < (UNITS + 0.5) * 10 ** -len(a[1]) for a, b in pairs)


def test_the_comparison_itself():
    """Catches a comparison that lets everything pass."""
    assert same("a 0.872 b\n", "a  0.874 b\n") and same("a ... c\n", "a 3 c\n")
    assert same("a\n...\n", "a\nb c\n") and not same("0123456789ab 1\n", "fedcba987654 1\n")
    assert not same("0.872\n", "0.875\n") and not same("20001\n", "20002\n")
    assert not same("a b\n", "a\n") and not same("a\n", "a b\n") and not same("+0.01\n", "0.01 x\n")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_and_prints_what_it_shows(page, tmp_path):
    source, shown = program(page.read_text(encoding="utf8"))
    (tmp_path / page.with_suffix(".py").name).write_text(source, encoding="utf8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-u", page.with_suffix(".py").name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": path},
    )
    assert done.returncode == 0, done.stderr
    *printed, rest = done.stdout.split(MARK + "\n")
    for expected, actual in zip(shown, printed, strict=True):
        assert same(expected, actual), f"{page.name} shows\n{expected}\nand prints\n{actual}"
    assert rest == "", "printed after the last output that is shown"


def undefined(source: str) -> set[str]:
    """Names that a program uses and nowhere binds."""
    used, bound = set(), set(dir(builtins))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(name, ast.Load()):
                used.add(name)
            case ast.Name(name) | ast.arg(name):
                bound.add(name)
            case ast.FunctionDef(name) | ast.ClassDef(name) | ast.ExceptHandler(name=name):
                bound.add(name)
            case ast.alias(name, other):
                bound.add(other or name.split(".")[0])
    return used - bound


def test_undefined_names_are_found():
    assert undefined("import a.b as c\nd = c(e)\nf = lambda g: len(g)") == {"e"}


@pytest.mark.parametrize(
    "page", [*ROOT_PAGES, *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.stem
)
def test_the_python_of_a_page_uses_what_it_has(page):
    """Catches an example that a reader cannot run: no import, data from nowhere."""
    parts = blocks(page.read_text(encoding="utf8"))
    assert (
        undefined("\n".join(block.text for block in parts if block.language == "python")) == set()
    )


def commands() -> list[tuple[str, str]]:
    """Every line of a shell block that calls a command of this project, and its page."""
    return [
        (page.name, part.strip())
        for page in [*ROOT_PAGES, *sorted(DOCS.rglob("*.md"))]
        for block in blocks(page.read_text(encoding="utf8"))
        if block.language == "sh"
        for line in block.text.splitlines()
        for part in line.split("&&")
        if COMMAND.match(part.strip())
    ]


def app(start: str) -> typer.Typer:
    """What runs a command that begins so."""
    name = {
        "pmf": "pmf.cli.main",
        "python -m experiments": "experiments.__main__",
        "python -m paper_figures": "paper_figures.__main__",
    }
    return import_module(name.get(start) or start.split()[-1]).app


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_that_is_shown_has_these_options(page, line):
    start = COMMAND.match(line)[1]
    command, words = typer.main.get_command(app(start)), shlex.split(line, comments=True)
    words = words[len(start.split()) :]
    words = words[: words.index(">")] if ">" in words else words  # what it prints goes to a file
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    command.make_context(page, words)  # raises for an unknown option or a missing argument


@pytest.mark.parametrize("page", ROOT_PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page):
    """Of those beside the site, whose builder checks its own. Catches a file that has moved."""
    links = re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf8"))
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


class Requests(HTMLParser):
    """The addresses that a browser asks for by itself when it shows a page. A link is not one."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = {key: value or "" for key, value in attrs}
        names = [] if tag == "a" else ["src", "srcset", "data", "poster"]
        names += ["href"] if tag in ("link", "use", "image") else []
        self.found += [values[name] for name in names if name in values]
        self.found += addresses_in_css(values.get("style", ""))


def addresses_in_css(text: str) -> list[str]:
    return re.findall(r"(?:url\(|@import\s*)[\"']?([^\"')\s;]+)", text)


def is_remote(address: str) -> bool:
    return address.startswith(("http:", "https:", "//"))


def test_requests_are_found():
    """Catches a search that finds nothing."""
    page = '<a href="https://a"></a><link href="https://b"><script src="//c"></script><img src="d">'
    assert [x for x in Requests(page).found if is_remote(x)] == ["https://b", "//c"]
    assert addresses_in_css('@import "https://e"; p { background: url(https://f) }') == [
        "https://e",
        "https://f",
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `mkdocs build --strict` does, where mkdocs and its plugins are."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | SILENT
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_builds_without_a_warning_and_has_every_page(site):
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    assert [page for page in pages if not (site / page.with_suffix(".html")).is_file()] == []
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf8").split()
    assert [page for page in pages if page.as_posix() not in navigation] == []


def test_a_page_of_the_site_asks_the_network_for_nothing(site):
    remote = []
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text(encoding="utf8")
        addresses = addresses_in_css(text) if path.suffix == ".css" else Requests(text).found
        remote += [(path.name, address) for address in addresses if is_remote(address)]
        assert 'class="mermaid"' not in text, "its script comes from the network"
    assert remote == []


def test_every_formula_of_the_site_is_mathml(site):
    """Catches a formula that the browser would show as its source."""
    page = (site / "mathematics.html").read_text(encoding="utf8")
    assert page.count("<math") > 50 and 'class="arithmatex"' not in page
    shown = re.sub(r"<(pre|code|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\\(frac|sum|tau|Lambda)|\$", shown)


@pytest.fixture
def browser():
    """A browser of this machine, if it has one."""
    if not chromium():
        pytest.skip("no Chromium is installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = play.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


@pytest.mark.slow
def test_the_search_answers_from_the_disk(site, browser):
    page, requests = browser.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: requests.append(request.url))
    with page.expect_request(re.compile("search_index")):
        page.goto((site / "howto" / "gpu.html").as_uri())
    page.get_by_role("textbox", name="Search").press_sequentially("submitit")
    links = page.locator(".md-search-result__item a")
    links.first.wait_for()
    paths = links.evaluate_all("links => links.map(link => link.pathname)")
    assert str(site / "howto" / "cluster.html") in paths
    assert [address for address in requests if is_remote(address)] == []


BROKEN = """tables => tables.flatMap(table => [...table.querySelectorAll("td[style*=right]")])
    .filter(cell => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return new Set([...range.getClientRects()].map(line => Math.round(line.top))).size > 1;
    }).map(cell => cell.innerText)"""
HIDDEN = (
    """boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText)"""
)


@pytest.mark.slow
def test_a_table_of_results_breaks_no_number_and_hides_no_column(site, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((site / "results.html").as_uri())
    tables = page.locator("article table")
    assert tables.count() > 5
    assert tables.evaluate_all(BROKEN) == []
    assert page.locator(".md-typeset__scrollwrap").evaluate_all(HIDDEN) == []
