"""The page How good is it: the figures of the report, drawn from the results tables."""

from pathlib import Path

import streamlit as st

import pmf
from pmf.app import state

RESULTS = Path(pmf.__file__).parent.parent / "experiments" / "results"


def show() -> None:
    st.title("How good is it?")
    try:
        from paper_figures.figures.build import draw, numbers, read, suiting
        from paper_figures.report.sections import in_order, section
        from paper_figures.report.tables import scores_grid
    except ImportError:
        _absent("The figures are drawn by the repository's folder paper_figures, and matplotlib")
        return
    names = [path.parent.name for path in sorted(RESULTS.glob("*/scores.csv"))]
    if not names:
        _absent(f"There are no results tables in {RESULTS}")
        return
    name = st.selectbox(
        "Experiment", in_order(names), format_func=lambda x: f"{section(x).title} ({x})"
    )
    about, tables = section(name), read(RESULTS / name)
    st.write(about.question)
    grid = scores_grid(tables)
    st.dataframe([dict(zip(grid.header, (cell.text for cell in row), strict=True))
                  for row in grid.rows], hide_index=True)  # fmt: skip
    st.caption(grid.note)
    beside = numbers(tables)
    for figure, module in suiting(tables).items():
        st.subheader(module.TITLE)
        st.pyplot(draw(tables, module), width="content")
        st.caption(module.CAPTION)
        if figure in beside:
            st.dataframe(beside[figure])


def _absent(what: str) -> None:
    st.info(f"{what}; open the page from a checkout of the repository to see them.")
    st.caption(f"The model in use: {state.current().name}.")
