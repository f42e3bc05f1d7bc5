"""Formulas as embedded SVG outlines, which look the same everywhere and need no fonts.

They are set by matplotlib's mathtext in STIX; the source is each picture's alternative text.
"""

import base64
import io
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

POINTS = 11  # of the text beside which a formula has its natural size

DISPLAY = {
    "likelihood": r"r_{ui} \mid \cdot \;\sim\; N(\mu + b_u + c_i + U_u^\top V_i,\ \tau^{-1})",
    "prior": r"(U_u, b_u) \sim N(m_U, \Lambda_U^{-1}), \qquad (V_i, c_i) \sim N(m_V, "
    r"\Lambda_V^{-1})",
    "posterior": r"\log\, p(w_u \mid \cdot) = -\dfrac{\tau}{2} \sum_i (y_{ui} - x_i^\top w_u)^2 - "
    r"\dfrac{1}{2} (w_u - m)^\top \Lambda (w_u - m) + \mathrm{const}",
    "expanded": r"= -\dfrac{1}{2} w_u^\top P w_u + h^\top w_u + \mathrm{const}",
    "potentials": r"P = \Lambda + \tau \sum_i x_i x_i^\top, \qquad h = \Lambda m + \tau \sum_i "
    r"x_i y_{ui}",
    "conditional": r"w_u \mid \cdot \;\sim\; N(P^{-1} h,\ P^{-1})",
    "solve": r"P = L L^\top, \qquad w_u = L^{-\top} (L^{-1} h + \epsilon)",
    "predictive": r"\mathrm{E}[r_{ui}] = \dfrac{1}{S} \sum_s f^{(s)}_{ui}, \qquad \mathrm{Var}"
    r"[r_{ui}] = \dfrac{1}{S} \sum_s \dfrac{1}{\tau^{(s)}} + \dfrac{1}{S} \sum_s \left( f^{(s)}"
    r"_{ui} - \bar{f}_{ui} \right)^2",
}
INLINE = {
    "r": "r_{ui}",
    "U": "U_u",
    "V": "V_i",
    "b": "b_u",
    "c": "c_i",
    "mu": r"\mu",
    "tau": r"\tau",
    "w": "w_u = (U_u, b_u)",
    "x": "x_i = (V_i, 1)",
    "y": r"y_{ui} = r_{ui} - \mu - c_i",
    "zero": r"\epsilon = 0",
    "noise": r"\epsilon \sim N(0, I)",
    "P": "P",
    "Lambda": r"\Lambda",
    "m": "m",
    "f": r"f_{ui} = \mu + b_u + c_i + U_u^\top V_i",
    "S": "S",
}


def image(tex: str) -> str:
    """An `img` whose baseline is the text's, in units of the text's size."""
    settings = {"mathtext.fontset": "stix", "svg.fonttype": "path", "svg.hashsalt": "pmf"}
    with mpl.rc_context(settings):
        font = FontProperties(size=POINTS)
        parser = MathTextParser("path")
        width, height, depth, *_ = parser.parse(f"${tex}$", dpi=72, prop=font)
        margin = 1.0
        figure = Figure(figsize=((width + 2 * margin) / 72, (height + 2 * margin) / 72))
        at = margin / (width + 2 * margin), (depth + margin) / (height + 2 * margin)
        figure.text(*at, f"${tex}$", fontproperties=font, va="baseline", ha="left")
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    source = base64.b64encode(stream.getvalue()).decode()
    size = f"height:{(height + 2 * margin) / POINTS:.3f}em"
    lower = f"vertical-align:{-(depth + margin) / POINTS:.3f}em"
    return (
        f'<img class="formula" style="{size};{lower}" alt="{escape(tex)}" '
        f'src="data:image/svg+xml;base64,{source}">'
    )
