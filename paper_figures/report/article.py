"""The article as a PDF: Typst sources, and the facts and figures that they show.

The sources are in `paper_figures/article/`. Beside them, in `data/`, go `facts.json` (what `facts`
and `contents` say of the tables) and a figure's SVG for each that the article shows.
"""

import io
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.text import Text

from paper_figures.figures.build import Tables
from paper_figures.figures.style import COLUMN, style
from paper_figures.report.contents import read_all
from paper_figures.report.grid import Cell, Grid
from paper_figures.report.manuscript import Cover, manuscript
from pmf.errors import InputError
from pmf.io.atomic import check_target, replacing

TEMPLATE = Path(__file__).resolve().parents[1] / "article"
SOURCES = (".typ", ".bib", ".csl", ".svg", ".png", ".jpg")
MAIN = "main.typ"
# Text stays text in a figure's SVG, and Typst sets it in the article's font. Matplotlib has only
# the widths of another, as wide.
MEASURED, FONT = "STIXGeneral", "Libertinus Serif"
AS_TEXT = {"svg.fonttype": "none", "font.family": MEASURED}
COVERED = re.compile(r"[\u0000-\u06ff\u1e00-\u2bff\ufb00-\ufdff]*")  # letters that Typst brings


def write(
    results: Path, out: Path, cover: Cover, template: Path | None = None, keep: Path | None = None
) -> list[Path]:
    """Write the PDF to `out`, and its sources to the folder `keep` where one is given.

    Files of the folder `template` stand in for those of the same name. Raises `InputError` where
    the tables, the template or Typst are missing, or the sources are no Typst; `out` is then as it
    was.
    """
    compiler = _typst()
    check_target(out, (".pdf",))
    if keep is not None and keep.exists():
        raise InputError(f"{keep}: it is there already; move it away, or give it as --template")
    experiments = read_all(results)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "article"
        sources(folder, template)
        whole = manuscript(results, experiments, cover)
        _write_data(folder / "data", experiments, whole)
        pdf = _compiled(compiler, folder)
        with replacing(out) as temporary:
            temporary.write_bytes(pdf)
        if keep is not None:
            shutil.copytree(folder, keep)
    return [out, *([keep] if keep else [])]


def _typst() -> Any:
    try:
        import typst
    except ImportError as error:
        raise InputError("the article is set by typst: pip install 'pmf[report]'") from error
    return typst


def sources(folder: Path, template: Path | None) -> None:
    """Copy our sources to a new folder, and the template's over them."""
    if template is not None and not any(template.glob("*.typ")):
        raise InputError(f"{template}: no folder with .typ files; --typ writes one to begin with")
    folder.mkdir()
    for home in filter(None, (TEMPLATE, template)):
        for path in sorted(home.iterdir()):
            if path.suffix in SOURCES:
                shutil.copyfile(path, folder / path.name)


def _write_data(folder: Path, experiments: dict[str, Tables], whole: dict[str, Any]) -> None:
    """`facts.json`, and the figures, whose entries in it get the names of their files."""
    folder.mkdir()
    sections = [one for part in whole["parts"] for one in part["sections"]]
    for figure in whole["data_figures"] + [x for one in sections for x in one["figures"]]:
        module = figure.pop("module")
        if figure["chosen"]:
            name = f"{figure['of']}-{figure['name']}.svg"
            svg, width = picture(experiments[figure["of"]][module.TABLE], module)
            (folder / name).write_text(svg, encoding="utf8")
            figure |= {"file": f"data/{name}", "wide": width > COLUMN}
    text = json.dumps(_plain(whole), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "facts.json").write_text(text, encoding="utf8", errors="replace")


def _plain(value: Any) -> Any:
    """A table's grid and its cells by the names of what they have, not by its place."""
    if isinstance(value, Grid | Cell):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def picture(table: Any, module: Any) -> tuple[str, float]:
    """A figure as SVG, whose letters are text, and its width in inches."""
    with style(), mpl.rc_context(AS_TEXT), quiet():
        figure = module.plot(table)
        for words in figure.findobj(Text):
            words.set_path_effects([])  # or they would be outlines
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue().replace(MEASURED, FONT), figure.get_figwidth()


@contextmanager
def quiet() -> Iterator[None]:
    """Letters that Matplotlib cannot measure are no matter: it does not set them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def _compiled(compiler: Any, folder: Path) -> bytes:
    """The PDF, tagged, in the fonts that Typst brings; the system's only for other letters."""
    text = (folder / "data" / "facts.json").read_text("utf8")
    own = COVERED.fullmatch(text) is not None
    try:
        return compiler.compile(
            folder / MAIN, root=folder, format="pdf", ignore_system_fonts=own, timestamp=0
        )
    except compiler.TypstError as error:
        where = re.search(r"┌─ (?:.*/)?(.+)", error.diagnostic)
        hint = f" ({error.hints[0]})" if error.hints else ""
        named = where.group(1) if where else MAIN
        raise InputError(f"{named}: {error.message}{hint}; mend it in --template") from error
