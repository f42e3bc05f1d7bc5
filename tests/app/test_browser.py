"""The page in a real browser. Catches what no logic test sees: a page that never loads, a click
that does nothing, an upload that breaks it, letters that run off a phone's screen, a call to
another host."""

import re
from pathlib import Path

import pytest

from benchmarks.latency import chromium, served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium(), reason="no Chromium is installed"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("streamlit", reason="the page needs the extra app")

PATIENCE = 90_000  # milliseconds


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where `pmf app` serves a small model of the bundled data."""
    import pmf

    path = tmp_path_factory.mktemp("browser") / "small.pmf"
    model = pmf.PMF(4, "gibbs", tau=1.5, burn_in=5, num_steps=8, num_chains=1, thin=1)
    model.fit(pmf.load_data("ml-small-2016").ratings).save(path)
    with served(path) as address:
        yield address


@pytest.fixture
def visit(address):
    """A page of a browser that notes what it asks of other hosts."""
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.set_default_timeout(PATIENCE)
        elsewhere: list[str] = []
        page.on(
            "request",
            lambda request: (
                elsewhere.append(request.url)
                if not re.match(rf"{address}|ws://localhost|data:|blob:", request.url)
                else None
            ),
        )
        page.goto(address)
        page.get_by_role("heading", name="Films for you").wait_for()
        yield page
        browser.close()
        assert not elsewhere


def settled(page) -> None:
    """Until nothing runs any more."""
    page.wait_for_timeout(300)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")


def width(page) -> float:
    text = page.locator("[data-testid=stMetricValue]").inner_text()
    return float(text.split()[0])


def rate_next(page, number: int) -> None:
    """Five stars for the film that is asked about; again where the page was being redrawn."""
    heading = page.get_by_role("heading", name=f"Your ratings: {number}")
    for _ in range(5):
        page.locator("[data-testid=stFeedback]").last.get_by_role("radio").last.click(force=True)
        try:
            heading.wait_for(timeout=PATIENCE / 5)
            break
        except sync_api.TimeoutError:
            continue
    heading.wait_for()
    settled(page)


def test_rating_five_films_changes_the_list_and_narrows_its_intervals(visit):
    settled(visit)
    chart = visit.locator("[data-testid=stVegaLiteChart]")
    before, wide = chart.screenshot(), width(visit)
    for number in range(1, 6):
        rate_next(visit, number)
    assert width(visit) < 0.9 * wide
    assert chart.screenshot() != before
    with visit.expect_download() as download:
        visit.get_by_role("button", name="Download the list").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 11 and "title" in lines[0]


@pytest.mark.parametrize(
    ("link", "heading"),
    [
        ("Explore", "Explore the films"),
        ("How good is it", "How good is it?"),
        ("Model", "Try another model"),
    ],
)
def test_pages_open_without_an_error(visit, link, heading):
    visit.get_by_role("link", name=link).click()
    visit.get_by_role("heading", name=heading).wait_for()
    settled(visit)
    assert visit.locator("[data-testid=stException]").count() == 0
    assert visit.locator("[data-testid=stAlertContentError]").count() == 0


def test_a_fit_is_seen_to_converge(visit):
    """Of VB, which searches nothing: the other inferences would search for most of the time."""
    visit.get_by_role("link", name="Model").click()
    visit.get_by_text("VB", exact=True).click()
    visit.get_by_role("button", name="Fit", exact=True).click()
    visit.wait_for_function(
        "document.querySelector('[data-testid=stProgress]') && "
        "document.querySelector('[data-testid=stVegaLiteChart]')"
    )
    settled(visit)
    visit.get_by_role("button", name="Use it").wait_for()
    assert visit.locator("[data-testid=stVegaLiteChart]").count() == 1
    assert visit.locator("[data-testid=stException]").count() == 0


def test_uploads_good_and_bad(visit, tmp_path):
    good, bad = tmp_path / "mine.csv", tmp_path / "bad.csv"
    good.write_text("movieId,rating\n1,5\n3114,4.5\n318,3\n")
    bad.write_text('movieId,rating\n1,=HYPERLINK("x")\n')
    visit.get_by_text("Take a user's, upload yours").click()
    for path, expected in ((bad, "row 1"), (good, "Your ratings: 3")):
        visit.locator("input[type=file]").set_input_files(path)
        visit.get_by_text(path.name).first.wait_for()
        used(visit, expected)


def used(page, expected: str) -> None:
    """Use the uploaded file. A busy server may still hold the last one at the first click."""
    for patience in (20_000, 20_000, PATIENCE):
        settled(page)
        page.get_by_role("button", name="Use this file").click()
        try:
            return page.get_by_text(expected).first.wait_for(timeout=patience)
        except sync_api.TimeoutError:
            continue
    raise AssertionError(f"{expected!r} is not there")


def test_it_fits_a_phone(visit):
    visit.set_viewport_size({"width": 390, "height": 800})
    settled(visit)
    wide = visit.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
