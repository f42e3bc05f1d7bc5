"""`python -m paper_figures`: figures, tables, a report and the docs, from results tables."""

from pmf.cli.start import start

if __name__ == "__main__":
    start()  # signals are heard before anything heavy is imported

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from pmf.cli.console import plain_app, run_app

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
RACE = ROOT / "benchmarks" / "results" / "time_to_rmse.csv"
OUT = Path("paper_figures/out")

app = plain_app(
    "Figures, tables and a report from results tables; nothing is rerun.\n\n"
    "--results and --out may stand before a command or after it."
)
Results = Annotated[
    Path | None,
    typer.Option(
        help="A folder with a folder of tables for each experiment: runs, or another; "
        "experiments/results without it."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of figures, tables, report or page; default paper_figures/out."),
]


class Places(NamedTuple):
    """Where tables are read and where files go, as far as anybody has said."""

    results: Path | None
    out: Path | None

    def over(self, context: typer.Context) -> "Places":
        """What was said after the command, else before it."""
        before = context.find_root().obj or Places(None, None)
        return Places(self.results or before.results, self.out or before.out)


@app.callback(invoke_without_command=True, no_args_is_help=False)
def everything(context: typer.Context, results: Results = None, out: Out = None) -> None:
    """Without a command: every figure (PDF, PNG), table (LaTeX, Markdown) and the report."""
    context.obj = Places(results, out)
    if context.invoked_subcommand is not None:
        return
    results, out = results or RESULTS, out or OUT
    from paper_figures.figures.build import build, left_out
    from paper_figures.report.contents import read_all
    from paper_figures.report.tables import write

    for name, tables in read_all(results).items():
        for path in (*build(results / name, out / name), *write(tables, out / name)):
            print(path)
        for figure, reason in left_out(tables).items():
            print(f"{name}: no figure {figure}: {reason}")
    report(context, results, out)


@app.command(short_help="One self-contained HTML page.")
def report(context: typer.Context, results: Results = None, out: Out = None) -> None:
    """Write the report: text, figures, tables and run identities in one HTML file."""
    results, out = Places(results, out).over(context)
    results, out = results or RESULTS, out or OUT
    from paper_figures.report.contents import read_all
    from paper_figures.report.page import render
    from pmf.io.atomic import replacing

    page = render(read_all(results))
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf8")
    print(out / "report.html")


@app.command(short_help="An article as a PDF, or the sources of one.")
def article(
    context: typer.Context,
    results: Results = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The PDF, or the folder of article.pdf; default paper_figures/out."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Its title.")] = None,
    author: Annotated[str | None, typer.Option(help="Its author or authors.")] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="A folder of .typ files that stand in for ours of the same names."),
    ] = None,
    typ: Annotated[
        bool, typer.Option("--typ", help="Leave the sources too, in a folder beside the PDF.")
    ] = False,
) -> None:
    """Set an article from results tables: its text, figures and tables, in one PDF."""
    from paper_figures.report.article import write
    from paper_figures.report.manuscript import Cover

    results, out = Places(results, out).over(context)
    out = out or OUT
    if out.suffix.lower() != ".pdf":
        out.mkdir(parents=True, exist_ok=True)
        out = out / "article.pdf"
    said = {"title": title, "author": author}
    cover = Cover()._replace(**{name: text for name, text in said.items() if text})
    keep = out.with_suffix("") if typ else None
    for path in write(results or RESULTS, out, cover, template, keep):
        print(path)


@app.command(short_help="Rewrite docs/results.md, docs/speed.md and docs/img.")
def docs(
    context: typer.Context,
    results: Results = None,
    out: Out = None,
    page: Annotated[
        Path | None, typer.Option(help="A page of results to rewrite, and no other.")
    ] = None,
) -> None:
    """Rewrite what docs/results.md says of the experiments, and the pictures in docs/img.

    And what docs/speed.md says of the race, where benchmarks/results has its table. With --out the
    new pages and their pictures go there instead, and docs/ stays as it is.
    """
    import pandas as pd

    from paper_figures.report.contents import read_all
    from paper_figures.report.docs import write, write_speed

    results, out = Places(results, out).over(context)
    target = page or ROOT / "docs" / "results.md"
    written = write(read_all(results or RESULTS), target, out or target.parent)
    if page is None and RACE.is_file():
        speed = ROOT / "docs" / "speed.md"
        written += write_speed(pd.read_csv(RACE), speed, out or speed.parent)
    for path in written:
        print(path)


@app.command(short_help="A model's search for its prior.")
def search(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A saved model.")],
    out: Out = None,
) -> None:
    """Draw the candidates for a model's prior, and what was chosen: search.png and search.pdf."""
    from paper_figures.figures.build import save
    from paper_figures.figures.search import plot
    from paper_figures.figures.style import style
    from pmf.errors import InputError
    from pmf.estimators.load import load

    out = Places(None, out).over(context).out or OUT
    found = load(model).require_fitted().fit.search
    if not found.trials:
        raise InputError(f"{model}: its prior was given or learnt: nothing was searched")
    with style():
        figure = plot(found)
    out.mkdir(parents=True, exist_ok=True)
    print(save(figure, out / "search.png", also_pdf=True))


if __name__ == "__main__":
    run_app(app)
