"""A hook of mkdocs: formulas become MathML, which browsers show without scripts or network."""

import html
import re

from math_core import LatexToMathML

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
convert = LatexToMathML().convert_with_local_state


def on_page_content(content: str, **_: object) -> str:
    """A page's HTML with each formula that pymdownx.arithmatex has marked as MathML.

    Raises `math_core.LatexError` for a formula that it does not understand.
    """
    return FORMULA.sub(_mathml, content)


def _mathml(formula: re.Match) -> str:
    mathml = convert(html.unescape(formula[3]), displaystyle=formula[2] == "[")
    return f'<div class="formula">{mathml}</div>' if formula[2] == "[" else mathml
