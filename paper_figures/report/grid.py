"""A table of text, and its three forms: Markdown, LaTeX and HTML from the same cells."""

from html import escape
from typing import NamedTuple


class Cell(NamedTuple):
    text: str
    best: bool = False


class Grid(NamedTuple):
    """A table: the first `words` columns are words, the others numbers; `note` belongs below."""

    header: list[str]
    rows: list[list[Cell]]
    words: int
    note: str = ""


def markdown(grid: Grid) -> str:
    """A pipe table, and its note below."""
    rule = ["---" if j < grid.words else "---:" for j in range(len(grid.header))]
    lines = [grid.header, rule]
    for row in grid.rows:
        lines.append([f"**{cell.text}**" if cell.best else cell.text for cell in row])
    note = f"\n{grid.note}\n" if grid.note else ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + note


TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "<": "$<$",
    ">": "$>$",
}


PACKAGES = {"booktabs": r"\toprule", "amssymb": r"\blacktriangle"}  # and a command of each


def latex(grid: Grid) -> str:
    """A `tabular`, with comments on top that say which packages it needs, and the note."""

    def line(cells: list[Cell]) -> str:
        texts = ["".join(TEX.get(letter, letter) for letter in cell.text) for cell in cells]
        bold = [rf"\textbf{{{x}}}" if c.best else x for x, c in zip(texts, cells, strict=True)]
        return " & ".join(bold) + r" \\"

    kinds = "l" * grid.words + "r" * (len(grid.header) - grid.words)
    head = line([Cell(title) for title in grid.header])
    rows = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", head, r"\midrule"]
    rows += [*map(line, grid.rows), r"\bottomrule", r"\end{tabular}"]
    table = "\n".join(rows) + "\n"
    needed = [package for package, command in PACKAGES.items() if command in table]
    comments = [f"needs \\usepackage{{{', '.join(needed)}}}", *filter(None, [grid.note])]
    return "".join(f"% {comment}\n" for comment in comments) + table


def html(grid: Grid) -> str:
    """A `table`, escaped, and its note below."""

    def line(cells: list[Cell], tag: str) -> str:
        parts = []
        for j, cell in enumerate(cells):
            kind = "" if j < grid.words else ' class="number"'
            value, _, half = escape(cell.text).partition(" ± ")
            inside = f"<b>{value}</b>" if cell.best else value
            inside += f" <small>± {half}</small>" if half else ""
            parts.append(f"<{tag}{kind}>{inside}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    head = line([Cell(title) for title in grid.header], "th")
    body = "\n".join(line(row, "td") for row in grid.rows)
    note = f'\n<p class="note">{escape(grid.note)}</p>' if grid.note else ""
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>{note}"
