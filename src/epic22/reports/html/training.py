"""A training as one HTML file that opens offline: nothing is loaded from anywhere, nothing runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.savings import Saving
from epic22.core.text import describe_difference, format_figure
from epic22.reports.figures.explanation import draw_explanation_figures, list_explanation_figures
from epic22.reports.figures.style import render_svgs
from epic22.reports.figures.training import describe_folds, draw_figures, list_figures
from epic22.reports.html.page import render_page, write_atomically
from epic22.services.training_run import RowRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(run: RowRun, path: Path, figures: Mapping[str, "Figure"] | None = None) -> Path:
    """Write the report whole: a reader never meets half a file. `figures`: the pictures of the run and of its explanation where
    they are drawn already."""
    return write_atomically(path, render_report(run, figures))


def render_report(run: RowRun, figures: Mapping[str, "Figure"] | None = None) -> str:
    """The report as HTML; the same run gives the same text. Names out of the user's table are escaped."""
    figures = {**draw_figures(run), **draw_explanation_figures(run.explanation)} if figures is None else figures
    return render_page(
        "training.html",
        run=run,
        board=(*run.leaderboard, *(() if run.oracle is None else (run.oracle,))),
        savings=_list_savings(run),
        headline=headline(run),
        lead=lead(run),
        pictures=render_svgs(list_figures(run), figures),
        looks_at=render_svgs(list_explanation_figures(run.explanation), figures),
        fold_count=describe_folds(run.plan),
        sources=[(Path(name).name, digest) for name, digest in run.data_version.sources],
    )


def _list_savings(run: RowRun) -> list[tuple[str, Saving]]:
    """The savings that were counted, by whom the list is limited."""
    if run.assessment is None:
        return []
    limited, savings = f"at most {run.task.policy.capacity} a week", run.assessment.savings
    options = ((limited, savings.limited), ("all worth acting on", savings.unlimited))
    return [(name, saving) for name, saving in options if saving is not None]


def headline(run: RowRun) -> str:
    """The outcome in one sentence."""
    score = run.champion.score(run.task.target.metric.name)
    interval = f"{format_figure(score.low)} to {format_figure(score.high)}"
    return f"{run.task.target.name}: {run.champion.family} reaches {score.metric} {format_figure(score.value)} ({interval})"


def lead(run: RowRun) -> str:
    """What that means, beside the constant."""
    baseline = next((v for v in run.verdicts if v.against == "constant"), None)
    if baseline is None:
        return "No family beats the constant here: the columns say no more than the average."
    certainty = "certain" if baseline.certain else "not certain"
    difference = describe_difference(baseline.difference)
    sentence = f"By {baseline.metric} it is {difference} than the constant, which is {certainty}."
    return f"{sentence} {_describe_accuracy(run)}".strip()


def _describe_accuracy(run: RowRun) -> str:
    """Accuracy is never shown alone: on rare events the constant's is high too."""
    if not run.task.target.traits.is_classification:
        return ""
    by_name = {e.family: e.score("accuracy").value for e in run.leaderboard}
    own, constant = run.champion.score("accuracy").value, by_name["constant"]
    others = f"; the rule of today has {format_figure(by_name[INCUMBENT])}" if INCUMBENT in by_name else ""
    best = f", the best possible {format_figure(run.oracle.score('accuracy').value)}" if run.oracle is not None else ""
    return (
        f"Accuracy is {format_figure(own)}; doing nothing has {format_figure(constant)}{others}{best}, so "
        "accuracy alone says little."
    )
