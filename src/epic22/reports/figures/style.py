"""How pictures look: the colours of a page, axes without a frame, a figure as SVG that follows the page or as PNG on white."""

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, MAIN, OTHER, WARM = "#1b1f24", "#6b7280", "#2563eb", "#94a3b8", "#d97706"
CSS_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", MAIN: "var(--main)", OTHER: "var(--other)", WARM: "var(--warm)"}
"""Colours of the pictures and the page's variables they become, so that they read in light and dark."""


def create_axes(height: float = 3.4, width: float = 5.4) -> tuple["Figure", "Axes"]:
    """An empty picture in the page's colours; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    return figure, axes


def render_svg(figure: "Figure", name: str) -> str:
    """An inline SVG in the page's colours, the same text for the same figure, without outside references."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}, dpi=110)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    for colour, variable in CSS_VARIABLES.items():
        text = text.replace(colour, variable)
    # Two pictures on one page must not share ids.
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return re.sub(r"<svg ", '<svg role="img" ', text, count=1)


def render_png(figure: "Figure") -> bytes:
    """A picture as PNG on white, the same bytes for the same figure."""
    figure.patch.set_alpha(1)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()
