"""How pictures look: the same text for the same figure, colours that follow the page, ids that do not clash, plain names.

Broken once on purpose: without the prefix of ids, two pictures of one page share their clip paths.
"""

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from epic22.core.statistics import Interval
from epic22.reports.figures import style
from epic22.reports.figures.style import (
    CSS_VARIABLES,
    MAIN,
    MUTED,
    OTHER,
    SMALL_LETTERS,
    WARM,
    WIDTH,
    ReportFigure,
    add_legend,
    create_axes,
    draw_figures,
    draw_interval,
    draw_reference,
    fill_intervals,
    fit_to_values,
    format_name,
    label_rows,
    render_png,
    render_pngs,
    render_svg,
    render_svgs,
    set_height,
    use_logarithmic_scale,
)

pytestmark = pytest.mark.slow


def picture() -> Figure:
    figure, axes = create_axes()
    draw_interval(axes, 0, Interval(0.5, 0.4, 0.6), MAIN, (3, 8))
    draw_interval(axes, 1, Interval(0.3, np.nan, np.nan), OTHER, (3, 8))
    draw_reference(axes, 0.5)
    fill_intervals(axes, [0.0, 1.0], [Interval(0.4, 0.2, 0.6), Interval(0.5, 0.3, 0.7)])
    label_rows(axes, ["first", "second"])
    return figure


def test_the_same_figure_is_the_same_svg() -> None:
    assert render_svg(picture(), "scores") == render_svg(picture(), "scores")


def test_an_svg_is_one_element_for_a_page_without_outside_references() -> None:
    text = render_svg(picture(), "scores")
    assert text.startswith('<svg role="img" ')
    assert text.rstrip().endswith("</svg>")
    assert "<metadata>" not in text
    assert not re.search(r'href="(?!#)', text)
    assert "<script" not in text


def test_colours_become_the_page_s_variables() -> None:
    text = render_svg(picture(), "scores")
    assert "var(--main)" in text
    assert "var(--warm)" in text
    assert not any(colour in text for colour in CSS_VARIABLES)


def test_ids_of_two_pictures_on_one_page_never_clash() -> None:
    first, second = (set(re.findall(r'id="([^"]+)"', render_svg(picture(), name))) for name in ("scores", "folds"))
    assert first
    assert not first & second


def test_every_reference_within_a_picture_leads_to_an_id_of_it() -> None:
    text = render_svg(picture(), "scores")
    ids = set(re.findall(r'id="([^"]+)"', text))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text)) <= ids


def test_a_png_is_the_same_bytes_each_time_and_of_the_stated_size() -> None:
    content = render_png(picture())
    assert content == render_png(picture())
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (550, 374)  # 5 × 3.4 inches of 110 dots.


def test_a_picture_has_the_layout_that_matplotlib_gives_it_and_the_same_in_every_file() -> None:
    figure, usual = picture(), picture()
    usual.savefig(io.BytesIO(), format="svg", dpi=110)
    render_svg(figure, "scores")
    place = figure.axes[0].get_position().bounds
    assert place == usual.axes[0].get_position().bounds
    render_png(figure)
    assert figure.axes[0].get_position().bounds == place


def test_pictures_for_the_tracker_keep_their_names() -> None:
    assert list(render_pngs({"a": picture(), "b": picture()})) == ["a", "b"]


def test_pictures_that_do_not_suit_their_source_are_left_out_and_the_others_have_their_height() -> None:
    level = ReportFigure[float]("level", "Level", "A line.", lambda y, axes: draw_reference(axes, y), height=2.0)
    rows = ReportFigure[float]("rows", "Rows", "As high as asked.", lambda y, axes: set_height(axes, y), lambda y: y > 4)
    assert {name: figure.get_figheight() for name, figure in draw_figures((level, rows), 5.0).items()} == {"level": 2, "rows": 5}
    drawn = draw_figures((level, rows), 3.0)
    assert list(drawn) == ["level"]
    assert [(picture.title, text[:4]) for picture, text in render_svgs((level, rows), drawn)] == [("Level", "<svg")]


def test_an_estimate_without_an_interval_has_a_dot_and_no_bar() -> None:
    _, axes = create_axes()
    draw_interval(axes, 0, Interval(0.3, np.nan, 0.4), MAIN, (3, 8))
    assert len(axes.lines) == 1
    draw_interval(axes, 1, Interval(0.3, 0.2, 0.4), MAIN, (3, 8))
    assert len(axes.lines) == 3


def test_rows_are_named_from_the_top() -> None:
    _, axes = create_axes()
    label_rows(axes, ["first", "second", "third"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["third", "second", "first"]


def test_axes_have_no_frame_and_the_picture_no_ground() -> None:
    figure, axes = create_axes(height=2, width=4)
    assert [side for side, spine in axes.spines.items() if spine.get_visible()] == ["left", "bottom"]
    assert figure.patch.get_alpha() == axes.patch.get_alpha() == 0
    assert figure.get_size_inches().tolist() == [4, 2]
    axes.plot([0, 1], [0, 1], label="line", color=WARM)
    add_legend(axes)
    legend = axes.get_legend()
    assert legend is not None
    assert not legend.get_frame_on()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("late share", "late share"),
        ("load $kN$", r"load \$kN\$"),
        ("two\nlines\x00", "two lines "),
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 39 + "…"),
        ("\ud800", " "),
    ],
)
def test_a_name_is_plain_text_of_at_most_forty_signs(name: str, plain: str) -> None:
    assert format_name(name) == plain


def test_a_name_that_looks_like_a_formula_can_be_drawn() -> None:
    _, axes = create_axes()
    label_rows(axes, ["$\\frac{", "<b>&amp;</b>"])
    text = render_svg(axes.figure, "names")  # type: ignore[arg-type]
    assert "&lt;b&gt;" in text
    assert MUTED not in text


def test_a_sign_that_the_font_lacks_is_kept_in_the_page_and_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    figure, axes = create_axes()
    axes.set_xlabel("🏠 家賃")
    assert "🏠 家賃" in render_svg(figure, "rents")
    assert render_png(figure)
    assert not recwarn.list


def test_no_letter_of_a_picture_is_below_ten_pixels_on_a_telephone_400_wide() -> None:
    assert SMALL_LETTERS * 400 / (72 * WIDTH) >= 10
    assert "margin: 0 -1rem" in (Path(style.__file__).parents[1] / "html" / "style.html").read_text(encoding="utf-8")


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    figure, axes = create_axes()
    axes.plot([0.16, 0.85], [1, 2])
    use_logarithmic_scale(axes, "x")
    figure.canvas.draw()
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert {"0.2", "0.5"} <= set(ticks)
    assert not any("$" in tick for tick in ticks)
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))


def test_values_beside_a_long_interval_keep_their_shape() -> None:
    _, axes = create_axes()
    fill_intervals(axes, [1, 2], [Interval(0.1, 0.0, 0.2), Interval(0.3, -40.0, 0.9)])
    fit_to_values(axes, [0.1, 0.3])
    assert axes.get_ylim() == pytest.approx((0.07, 0.33))


@pytest.mark.parametrize("names", [["best possible", "champion", "rule of today"], ["a name of forty signs, which is long"] * 3])
def test_a_legend_above_a_picture_lies_within_it_and_above_the_axes(names: list[str]) -> None:
    figure, axes = style.create_axes()
    for place, name in enumerate(names):
        axes.plot([0, 1], [0, 40_000 + place], label=name)
    axes.set_ylabel("expected saving so far")
    style.add_legend(axes, above=True)
    style.lay_out(figure)
    (legend,) = figure.legends
    extent = legend.get_window_extent()
    assert figure.bbox.x0 <= extent.x0
    assert extent.x1 <= figure.bbox.x1
    assert extent.y1 <= figure.bbox.y1
    assert extent.y0 >= axes.get_window_extent().y1
