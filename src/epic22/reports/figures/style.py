"""How pictures look: the colours of a page, axes without a frame, a figure as SVG that follows the page or as PNG on white."""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np

from epic22.core.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, MAIN, OTHER, WARM = "#1b1f24", "#6b7280", "#2563eb", "#94a3b8", "#d97706"
SMALL_LETTERS = 9
"""Of legends with many entries and of marks within a picture, in points."""
STYLES = ("-", "--", "-.", ":")
"""Kinds of lines, which tell those of one colour apart."""
CSS_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", MAIN: "var(--main)", OTHER: "var(--other)", WARM: "var(--warm)"}
"""Colours of the pictures and the page's variables they become, so that they read in light and dark."""


Source = TypeVar("Source")


@dataclass(frozen=True)
class ReportFigure(Generic[Source]):
    """A picture of a source: its name, title, one sentence on how to read it, what plots it on its axes, and whether the source
    has what it shows; `height` in inches."""

    name: str
    title: str
    caption: str
    plot: Callable[[Source, "Axes"], None]
    suits: Callable[[Source], bool] = lambda source: True
    height: float = 3.4

    def draw(self, source: Source) -> "Figure":
        """The picture of that source."""
        figure, axes = create_axes(self.height)
        self.plot(source, axes)
        return figure


WIDTH = 5.0
"""Of a picture, in inches: on a telephone's 400 points its letters are still to be read."""


def create_axes(height: float = 3.4, width: float = WIDTH) -> tuple["Figure", "Axes"]:
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


def set_height(axes: "Axes", inches: float) -> None:
    """Make the picture as high as what it shows needs."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_figheight(inches)


def lay_out(figure: "Figure") -> None:
    """Place axes and labels, once for all files: matplotlib would draw the whole picture for that anew before each of them."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    engine = figure.get_layout_engine()
    if engine is not None:
        FigureCanvasSVG(figure)
        engine.execute(figure)
        with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)


def save_figure(figure: "Figure", file: IO[Any], image_format: str, metadata: Mapping[str, None]) -> None:
    """Write a picture. A sign that the font lacks, of Chinese or an emoji, is a box in a PNG; an SVG keeps its text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        lay_out(figure)
        figure.savefig(file, format=image_format, metadata=dict(metadata), dpi=110)


def render_svg(figure: "Figure", name: str) -> str:
    """An inline SVG in the page's colours, the same text for the same figure, without outside references."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        save_figure(figure, buffer, "svg", dict.fromkeys(("Date", "Creator", "Format", "Type")))
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
    save_figure(figure, content, "png", {"Software": None})
    return content.getvalue()


def render_pngs(figures: Mapping[str, "Figure"]) -> dict[str, bytes]:
    """Figures as PNG on white by name, for the tracker."""
    return {name: render_png(figure) for name, figure in figures.items()}


def draw_figures(pictures: Iterable[ReportFigure[Source]], source: Source) -> dict[str, "Figure"]:
    """The pictures that suit a source, drawn, by name."""
    return {picture.name: picture.draw(source) for picture in pictures if picture.suits(source)}


def render_svgs(
    pictures: Iterable[ReportFigure[Source]], figures: Mapping[str, "Figure"]
) -> list[tuple[ReportFigure[Source], str]]:
    """The pictures that were drawn, each with its inline SVG."""
    return [(picture, render_svg(figures[picture.name], picture.name)) for picture in pictures if picture.name in figures]


def draw_interval(axes: "Axes", place: float, interval: Interval, colour: str, sizes: tuple[float, float]) -> None:
    """A dot at the value over a bar between the ends, on the row `place`; `sizes` are the bar's width and the dot's. No bar where
    an end is not known."""
    ends = [interval.low, interval.high]
    if np.isfinite(ends).all():
        axes.plot(ends, [place, place], color=colour, linewidth=sizes[0], solid_capstyle="round")
    axes.plot(interval.value, place, "o", color=colour, markersize=sizes[1])


def fill_intervals(axes: "Axes", x: Sequence[float] | np.ndarray, intervals: Sequence[Interval]) -> None:
    """A shade between the ends of intervals."""
    lows, highs = [one.low for one in intervals], [one.high for one in intervals]
    axes.fill_between(x, lows, highs, color=MAIN, alpha=0.2, linewidth=0)


def draw_reference(axes: "Axes", level: float, colour: str = WARM) -> None:
    """A dashed line at the level that values are compared with."""
    axes.axhline(level, color=colour, linewidth=1, linestyle="--")


def label_rows(axes: "Axes", names: Sequence[str]) -> None:
    """A name at each row, the first on top."""
    axes.set_yticks(range(len(names)), [format_name(name) for name in reversed(names)])


def add_legend(axes: "Axes", fontsize: float | None = None, above: bool = False) -> None:
    """A legend without a frame; above the picture where nothing in it is to be crossed, in as few lines as its width allows."""
    style: dict[str, Any] = {"frameon": False, "labelcolor": INK, "fontsize": fontsize}
    if not above:
        axes.legend(**style)
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    for n_columns in (3, 2, 1):
        legend = figure.legend(loc="outside upper left", ncols=n_columns, **style)
        if legend.get_window_extent().width <= figure.bbox.width or n_columns == 1:
            return
        legend.remove()


def use_logarithmic_scale(axes: "Axes", name: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers beside it (0.2, 5, 100): no powers of ten, no marks between."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axes.set(**{f"{name}scale": "log"})
    axis = {"x": axes.xaxis, "y": axes.yaxis}[name]
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())


def fit_to_values(axes: "Axes", values: Iterable[float]) -> None:
    """Limit the upright axis to the values: few rows leave long intervals, beside which their shape must stay readable."""
    known = np.asarray(list(values), dtype=float)
    low, high = float(np.nanmin(known)), float(np.nanmax(known))
    axes.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))


def format_name(text: str) -> str:
    """A name as plain text: no formula signs, no control characters, not too long."""
    plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", text).replace("$", r"\$")
    return plain if len(plain) <= 40 else f"{plain[:39]}…"
