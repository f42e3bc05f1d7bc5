"""The part of `docs/results.md` that is written from results tables, and its pictures."""

from pathlib import Path

from PIL import Image

from paper_figures.figures.build import Tables, draw, one_map, save, suiting
from paper_figures.report.sections import section
from paper_figures.report.tables import markdown, scores_grid
from pmf.errors import InputError
from pmf.io.atomic import replacing

BEGIN, END = "<!-- from the results tables: begin -->", "<!-- from the results tables: end -->"
DPI = 170  # on a page; the PDFs are for print


def write(experiments: dict[str, Tables], page: Path, out: Path) -> list[Path]:
    """Draw the pictures and replace what is between the marks of the page; what was written.

    The new page goes to the folder `out`, its pictures to `out/img`. Raises `InputError` where the
    page has no marks.
    """
    text = page.read_text(encoding="utf8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"{page}: it needs the lines {BEGIN} and {END}, once each")
    pictures = out / "img"
    pictures.mkdir(parents=True, exist_ok=True)
    written, parts = [], []
    for name, tables in one_map(experiments).items():
        shown = {}
        for figure, module in suiting(tables).items():
            path = save(draw(tables, module), pictures / f"{name}-{figure}.png", dpi=DPI)
            shrink(path)
            shown[path.relative_to(out).as_posix()] = module
            written.append(path)
        parts.append(chapter(name, tables, shown))
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with replacing(out / page.name) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{''.join(parts)}{END}{after}", encoding="utf8")
    return [*written, out / page.name]


def chapter(name: str, tables: Tables, pictures: dict) -> str:
    """One experiment: what it asks, what it says, its pictures and its scores."""
    about = section(name)
    asks = f"`python -m experiments run {name}`. {about.question}".strip()
    lines = [f"## {about.title}", "", asks, ""]
    lines += [f"- {sentence}" for sentence in about.findings(tables)] + [""]
    for path, module in pictures.items():
        lines += [f"![{module.TITLE}]({path})", "", f"*{module.TITLE}.* {module.CAPTION}", ""]
    return "\n".join([*lines, markdown(scores_grid(tables)), ""])


def shrink(path: Path) -> None:
    """Fewer colours: a third of the bytes, and no difference to see."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(colors=128)
    with replacing(path) as temporary:
        small.save(temporary, format="png", optimize=True)
