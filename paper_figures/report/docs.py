"""The parts of `docs/results.md` and `docs/speed.md` that are written from tables, and pictures."""

from pathlib import Path

import pandas as pd
from PIL import Image

from paper_figures.figures import time_to_rmse
from paper_figures.figures.build import Tables, draw, numbers, once_each, save, suiting
from paper_figures.figures.style import style
from paper_figures.report.grid import markdown
from paper_figures.report.sections import section
from paper_figures.report.tables import comparisons_grid, frame_grid, scores_grid
from pmf.errors import InputError
from pmf.io.atomic import replacing

BEGIN, END = "<!-- from the results tables: begin -->", "<!-- from the results tables: end -->"
# A page is too narrow for these; the report has them.
SPARED = "crps", "recall@", "search_seconds", "compile_seconds"
DPI = 170  # on a page; the PDFs are for print


def write(experiments: dict[str, Tables], page: Path, out: Path) -> list[Path]:
    """Draw the pictures and replace what is between the marks of the page; what was written.

    The new page goes to the folder `out`, its pictures to `out/img`. Raises `InputError` where the
    page has no marks.
    """
    check_marks(page)
    pictures = out / "img"
    pictures.mkdir(parents=True, exist_ok=True)
    written, parts = [], []
    for name, tables in once_each(experiments).items():
        shown = {}
        for figure, module in suiting(tables).items():
            path = save(draw(tables, module), pictures / f"{name}-{figure}.png", dpi=DPI)
            shrink(path)
            shown[path.relative_to(out).as_posix()] = module
            written.append(path)
        parts.append(chapter(name, tables, shown))
    return [*written, rewritten(page, out, "".join(parts))]


def write_speed(table: pd.DataFrame, page: Path, out: Path) -> list[Path]:
    """The same for the page of speed, from the table of `benchmarks.time_to_rmse`."""
    check_marks(page)
    pictures = out / "img"
    pictures.mkdir(parents=True, exist_ok=True)
    with style():
        figure = time_to_rmse.plot(table)
    path = save(figure, pictures / "time_to_rmse.png", dpi=DPI)
    shrink(path)
    title, caption = time_to_rmse.TITLE, time_to_rmse.CAPTION
    picture = f"![{title}](img/{path.name})\n\n*{title}.* {caption}\n\n"
    grid = frame_grid(time_to_rmse.numbers(table))
    return [path, rewritten(page, out, f"{picture}{markdown(grid)}\n")]


def check_marks(page: Path) -> None:
    """Raise `InputError` where a page has not each mark once."""
    text = page.read_text(encoding="utf8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"{page}: it needs the lines {BEGIN} and {END}, once each")


def rewritten(page: Path, out: Path, part: str) -> Path:
    """The page with `part` between its marks, in the folder `out`."""
    text = page.read_text(encoding="utf8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with replacing(out / page.name) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{part}{END}{after}", encoding="utf8")
    return out / page.name


def chapter(name: str, tables: Tables, pictures: dict) -> str:
    """One experiment: what it asks, its scores and comparisons, its pictures and their numbers."""
    about = section(name)
    asks = f"`python -m experiments run {name}`. {about.question}".strip()
    lines = [f"## {about.title}", "", asks, ""]
    scores = tables["scores"]
    narrow = tables | {"scores": scores[~scores["metric"].str.startswith(SPARED, na=False)]}
    lines += [markdown(scores_grid(narrow))]
    if (compared := comparisons_grid(tables, every=False)) is not None:
        lines += ["*Paired comparisons, arm minus reference.*", "", markdown(compared)]
    beside = numbers(tables)
    for path, module in pictures.items():
        lines += [f"![{module.TITLE}]({path})", "", f"*{module.TITLE}.* {module.CAPTION}", ""]
        figure = Path(path).stem.removeprefix(f"{name}-")
        lines += [markdown(frame_grid(beside[figure]))] if figure in beside else []
    return "\n".join([*lines, ""])


def shrink(path: Path) -> None:
    """Fewer colours: a third of the bytes, and no difference to see."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(colors=128)
    with replacing(path) as temporary:
        small.save(temporary, format="png", optimize=True)
