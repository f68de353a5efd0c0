"""Families compared, and a family without its parts, each as one page that opens offline."""

from pathlib import Path

from epic22.core.evaluation.operating_points import CONSTANT
from epic22.core.text import format_figure
from epic22.reports.figures.comparison import ABLATION_FIGURES, COMPARISON_FIGURES
from epic22.reports.figures.style import draw_figures, render_svgs
from epic22.reports.figures.training import describe_folds
from epic22.reports.html.page import render_page, write_atomically
from epic22.services.ablation import Ablation
from epic22.services.family_comparison import FamilyComparison


def write_comparison_report(comparison: FamilyComparison, path: Path) -> Path:
    """Write the page of a comparison whole."""
    return write_atomically(path, render_comparison(comparison))


def write_ablation_report(ablation: Ablation, path: Path) -> Path:
    """Write the page of an ablation whole."""
    return write_atomically(path, render_ablation(ablation))


def render_comparison(comparison: FamilyComparison) -> str:
    """The page of a comparison; the same comparison gives the same text."""
    return render_page(
        "comparison.html",
        comparison=comparison,
        headline=name_best(comparison),
        fold_count=describe_folds(comparison.plan),
        constant=CONSTANT,
        pictures=render_svgs(COMPARISON_FIGURES, draw_figures(COMPARISON_FIGURES, comparison)),
    )


def name_best(comparison: FamilyComparison) -> str:
    """Which family scores best, in a sentence without its stop."""
    best, metric = comparison.families[0], comparison.task.target.metric.name
    score = best.evaluation.score(metric)
    interval = f"{format_figure(score.low)} to {format_figure(score.high)}"
    return f"{comparison.task.target.name}: {best.name} scores best, {metric} {format_figure(score.value)} ({interval})"


def render_ablation(ablation: Ablation) -> str:
    """The page of an ablation; the same ablation gives the same text."""
    score = ablation.whole.score(ablation.task.target.metric.name)
    return render_page(
        "ablation.html",
        ablation=ablation,
        score=score,
        fold_count=describe_folds(ablation.plan),
        pictures=render_svgs(ABLATION_FIGURES, draw_figures(ABLATION_FIGURES, ablation)),
    )
