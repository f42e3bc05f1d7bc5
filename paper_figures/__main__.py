"""`python -m paper_figures`: figures, tables, a report and the docs, from results tables."""

from pathlib import Path
from typing import Annotated

import typer

from pmf.command import plain_app, run_app

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
OUT = Path("paper_figures/out")

app = plain_app("Figures, tables and a report from the tracked results tables; nothing is rerun.")
Results = Annotated[Path, typer.Option(help="A folder of results tables.")]
Out = Annotated[Path, typer.Option(help="Where figures, tables and the report go.")]


@app.callback(invoke_without_command=True, no_args_is_help=False)
def everything(context: typer.Context, results: Results = RESULTS, out: Out = OUT) -> None:
    """Without a command: every figure (PDF, PNG), table (LaTeX, Markdown) and the report."""
    if context.invoked_subcommand is not None:
        return
    from paper_figures.build import build
    from paper_figures.report import read_all
    from paper_figures.tables import write

    for name, tables in read_all(results).items():
        for path in (*build(results / name, out / name), *write(tables, out / name)):
            print(path)
    report(results, out)


@app.command(short_help="One self-contained HTML page.")
def report(results: Results = RESULTS, out: Out = OUT) -> None:
    """Write the report: text, figures, tables and run identities in one HTML file."""
    from paper_figures.report import read_all, render
    from pmf.atomic import replacing

    page = render(read_all(results))
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf8")
    print(out / "report.html")


@app.command(short_help="Rewrite docs/results.md and docs/img.")
def docs(
    results: Results = RESULTS,
    page: Annotated[Path, typer.Option(help="The page to rewrite.")] = ROOT / "docs" / "results.md",
) -> None:
    """Rewrite what docs/results.md says of the experiments, and the pictures in docs/img."""
    from paper_figures.docs import write
    from paper_figures.report import read_all

    for path in write(read_all(results), page, page.parent / "img"):
        print(path)


if __name__ == "__main__":
    run_app(app)
