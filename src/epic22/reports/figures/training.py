"""Pictures of a training: what a report shows and the tracker keeps. Each is a function from the run to a figure."""

from typing import TYPE_CHECKING

import numpy as np

from epic22.core.data.folds import FoldPlan
from epic22.core.evaluation.coverage import MONTH, GroupCoverage
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.trees.forest import Forest
from epic22.core.task import Array
from epic22.reports.figures.style import (
    INK,
    MAIN,
    MUTED,
    OTHER,
    SMALL_LETTERS,
    STYLES,
    WARM,
    ReportFigure,
    add_legend,
    draw_interval,
    draw_reference,
    format_name,
    label_rows,
    set_height,
)
from epic22.services.training_run import RowRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 10
MAX_BARS = 15
SAMPLED_ROWS = 2000
SAMPLED_ROWS_OF_ENSEMBLE = 200
"""An ensemble of many models takes milliseconds a row."""
MIN_SAMPLED_ROWS = 50
MAX_VISITED_NODES = 100_000_000
"""Nodes that the reasons of an ensemble's sample may visit: some seconds."""

MAX_POINTS = 3000


def _colour(run: RowRun, evaluation: Evaluation) -> str:
    if evaluation.family == "constant":
        return WARM
    return MAIN if evaluation is run.champion else OTHER


def _line_style(run: RowRun, evaluation: Evaluation) -> str:
    """A style of its own for each family whose line is grey: families of one colour are told apart by it."""
    others = [one.family for one in run.leaderboard if _colour(run, one) == OTHER]
    return STYLES[others.index(evaluation.family) % len(STYLES)] if evaluation.family in others else STYLES[0]


def draw_leaderboard(run: RowRun, axes: "Axes") -> None:
    """The deciding metric of each family with its interval."""
    set_height(axes, 1.2 + 0.45 * len(run.leaderboard))
    metric = run.task.target.metric.name
    for place, evaluation in enumerate(reversed(run.leaderboard)):
        score = evaluation.score(metric)
        colour = _colour(run, evaluation)
        draw_interval(axes, place, score, colour, (3, 8))
    label_rows(axes, [e.family for e in run.leaderboard])
    axes.set_ylim(-0.6, len(run.leaderboard) - 0.4)
    better = "higher" if run.task.target.metric.greater_is_better else "lower"
    axes.set_xlabel(f"{metric} ({better} is better), 95 % interval")


def draw_folds(run: RowRun, axes: "Axes") -> None:
    """Training and test parts of each fold, on the time axis where rows have a time."""
    first = [fold for fold in run.plan.folds if fold.repeat == 0]
    set_height(axes, 1.1 + 0.35 * len(first))
    timed = run.examples.has_times
    position = run.examples.at.astype("datetime64[us]").astype(float) if timed else np.arange(len(run.examples), dtype=float)
    edges = np.linspace(position.min(), position.max(), min(121, len(np.unique(position)) + 1))
    for number, fold in enumerate(first):
        for rows, colour in ((fold.train, OTHER), (fold.test, MAIN)):
            occupied = np.flatnonzero(np.histogram(position[rows], edges)[0])
            for begin, end in _find_runs(occupied):
                axes.barh(
                    -number,
                    edges[end + 1] - edges[begin],
                    left=edges[begin],
                    height=0.5 if colour == OTHER else 0.3,
                    color=colour,
                )
    axes.set_yticks([-i for i in range(len(first))], [f"fold {i + 1}" for i in range(len(first))])
    if timed:
        ticks = np.linspace(position.min(), position.max(), 4)
        axes.set_xticks(ticks, [str(np.datetime64(int(t), "us"))[:10] for t in ticks])
    else:
        axes.set_xlabel("row of the table")


def _find_runs(numbers: Array) -> list[tuple[int, int]]:
    """Stretches of consecutive numbers, (first, last)."""
    if not len(numbers):
        return []
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts = np.append(numbers[0], numbers[breaks + 1])
    lasts = np.append(numbers[breaks], numbers[-1])
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)]


def _pool_responses(evaluation: Evaluation, run: RowRun) -> tuple[Array, Array]:
    """Labels and out-of-fold responses of the first repeat."""
    parts = [part for part in evaluation.fold_predictions if part.fold.repeat == 0]
    rows = np.concatenate([part.fold.test for part in parts])
    return run.examples.y[rows], np.concatenate([part.response for part in parts])


def draw_calibration(run: RowRun, axes: "Axes") -> None:
    """Predicted probability against observed share in equal-count bins, with 95 % intervals."""
    from scipy import stats

    y, response = _pool_responses(run.champion, run)
    if response.ndim == 2:
        y, response = (response.argmax(axis=1) == y).astype(float), response.max(axis=1)
    for rows in np.array_split(np.argsort(response, kind="stable"), BINS):
        if not len(rows):
            continue
        hits, n = y[rows].sum(), len(rows)
        interval = stats.binomtest(int(hits), n).proportion_ci(method="wilson")
        predicted = response[rows].mean()
        axes.plot([predicted, predicted], [interval.low, interval.high], color=MAIN, linewidth=2)
        axes.plot(predicted, hits / n, "o", color=MAIN)
    top = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--")
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed share")


def draw_cumulative_incidence(run: RowRun, axes: "Axes") -> None:
    """Fifths of the rows by risk: the mean probability up to each horizon as a line, what was observed as dots with intervals."""
    curves = () if run.assessment is None else run.assessment.curves
    for number, curve in enumerate(curves):
        colour = MAIN if number == len(curves) - 1 else OTHER
        axes.plot(curve.days, curve.predicted, color=colour, linewidth=2)
        for day, observed in zip(curve.days, curve.observed, strict=True):
            if day and np.isfinite(observed.value):
                axes.plot([day, day], [observed.low, observed.high], color=colour, linewidth=1)
                axes.plot(day, observed.value, "o", color=colour, markersize=5)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("days from the cutoff")
    axes.set_ylabel(f"share with {format_name(run.task.target.name.replace('_', ' '))}")


def draw_horizon_calibration(run: RowRun, axes: "Axes") -> None:
    """Predicted probability against observed incidence in bins of equal mass, at each horizon; the deciding one stands out."""
    top = 0.0
    for reliability in () if run.assessment is None else run.assessment.by_horizon:
        decides = reliability.horizon == run.task.target.horizon
        predicted = [row.predicted for row in reliability.table]
        observed = [row.observed.value for row in reliability.table]
        top = max(top, *predicted, *observed)
        axes.plot(predicted, observed, "o-", color=MAIN if decides else OTHER, linewidth=1.5 if decides else 1, markersize=4)
        axes.annotate(f" {reliability.horizon:g} d", (predicted[-1], observed[-1]), color=INK, fontsize=SMALL_LETTERS)
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--")
    axes.set_xlabel("predicted probability up to the horizon")
    axes.set_ylabel("observed incidence")


def draw_precision_recall(run: RowRun, axes: "Axes") -> None:
    """Precision against recall of each family's out-of-fold probabilities."""
    for evaluation in reversed(run.leaderboard):
        y, response = _pool_responses(evaluation, run)
        order = np.argsort(-response, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(response[order])), len(y) - 1)
        hits = np.cumsum(y[order])[ends]
        shown = np.unique(np.linspace(0, len(ends) - 1, 300).astype(int))
        recall, precision = hits / max(y.sum(), 1), hits / (ends + 1)
        axes.plot(
            recall[shown],
            precision[shown],
            linestyle=_line_style(run, evaluation),
            color=_colour(run, evaluation),
            label=format_name(evaluation.family),
            linewidth=2,
        )
    draw_reference(axes, _pool_responses(run.champion, run)[0].mean())
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_ylim(0, min(1.05, axes.get_ylim()[1]))
    add_legend(axes, above=True)


def draw_residuals(run: RowRun, axes: "Axes") -> None:
    """Out-of-fold value against residual."""
    y, response = _pool_responses(run.champion, run)
    rows = np.linspace(0, len(y) - 1, min(len(y), MAX_POINTS)).astype(int)
    axes.plot(response[rows], (y - response)[rows], ".", color=MAIN, markersize=3, alpha=0.5, rasterized=True)
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.set_xlabel(f"predicted {format_name(run.task.target.name)}")
    axes.set_ylabel("label − predicted")


def draw_importance(run: RowRun, axes: "Axes") -> None:
    """Mean absolute contribution of each column to the score, over a sample of rows."""
    rows = np.linspace(0, len(run.examples) - 1, min(len(run.examples), _count_sampled_rows(run.bundle.estimator))).astype(int)
    X = run.bundle.preprocessor.transform(run.examples.X[rows])
    parts = np.abs(run.bundle.estimator.shap_values(X))[..., :-1]
    strength = parts.mean(axis=tuple(range(parts.ndim - 1)))
    names = [column.name for column in run.bundle.preprocessor.outputs]
    strongest = np.argsort(-strength, kind="stable")[:MAX_BARS][::-1]
    set_height(axes, 1.0 + 0.28 * len(strongest))
    axes.barh(range(len(strongest)), strength[strongest], color=MAIN, height=0.6)
    axes.set_yticks(range(len(strongest)), [format_name(names[j]) for j in strongest])
    axes.set_xlabel(f"mean |contribution| ({format_name(run.bundle.schema.score_unit)})")


def _count_sampled_rows(estimator: object) -> int:
    """How many rows' reasons are averaged: fewer where one row's take long."""
    if not isinstance(estimator, Ensemble):
        return SAMPLED_ROWS
    nodes = sum(len(part.nodes.feature) for _, part in estimator.components if isinstance(part, Forest))
    return min(SAMPLED_ROWS_OF_ENSEMBLE, max(MIN_SAMPLED_ROWS, MAX_VISITED_NODES // max(nodes, 1)))


def draw_fold_scores(run: RowRun, axes: "Axes") -> None:
    """The deciding metric of each family on each fold."""
    metric = run.task.target.metric.name
    for evaluation in reversed(run.leaderboard):
        values = evaluation.score(metric).folds
        axes.plot(
            range(1, len(values) + 1),
            values,
            marker="o",
            linestyle=_line_style(run, evaluation),
            color=_colour(run, evaluation),
            label=format_name(evaluation.family),
            linewidth=1,
        )
    axes.set_xlabel("fold")
    axes.set_ylabel(metric)
    axes.set_xticks(range(1, len(run.plan.folds) + 1, max(1, len(run.plan.folds) // 10)))
    add_legend(axes, above=True)


def draw_coverage_by_group(run: RowRun, axes: "Axes") -> None:
    """Coverage of every group, months aside, with its interval."""
    coverage = run.intervals.coverage
    groups = [] if coverage is None else [(f"{t.by} = {g.name}", g) for t in coverage.tables if t.by != MONTH for g in t.groups]
    set_height(axes, 1.0 + 0.28 * len(groups))
    for place, (_, group) in enumerate(reversed(groups)):
        draw_interval(axes, place, group.share, _coverage_colour(group), (2, 6))
    axes.axvline(0.0 if coverage is None else coverage.level, color=MUTED, linewidth=1, linestyle="--")
    label_rows(axes, [name for name, _ in groups])
    axes.set_xlabel("share of outcomes inside")


def draw_coverage_by_month(run: RowRun, axes: "Axes") -> None:
    """Coverage of every month with its interval."""
    coverage = run.intervals.coverage
    months = [] if coverage is None else [group for table in coverage.tables if table.by == MONTH for group in table.groups]
    for place, group in enumerate(months):
        colour = _coverage_colour(group)
        axes.plot([place, place], [group.share.low, group.share.high], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot(place, group.share.value, "o", color=colour, markersize=5)
    draw_reference(axes, 0.0 if coverage is None else coverage.level, MUTED)
    shown = range(0, len(months), max(1, -(-len(months) // 6)))
    axes.set_xticks(list(shown), [months[place].name for place in shown])
    axes.set_ylabel("share of outcomes inside")


def _coverage_colour(group: GroupCoverage) -> str:
    return WARM if group.short else MAIN


TRAINING_FIGURES: tuple[ReportFigure[RowRun], ...] = (
    ReportFigure(
        "leaderboard",
        "Leaderboard",
        "Dot: mean over folds. Bar: 95 % interval. The constant is what doing nothing scores.",
        draw_leaderboard,
    ),
    ReportFigure(
        "calibration",
        "Calibration",
        "On the dashed line, a predicted probability is the share that comes true.",
        draw_calibration,
        lambda run: run.task.target.traits.is_classification,
        height=4.4,
    ),
    ReportFigure(
        "incidence",
        "When it happens",
        "Fifths of the rows by risk, the riskiest in blue. Lines: predicted on average. Dots: observed, with 95 % intervals.",
        draw_cumulative_incidence,
        lambda run: run.task.target.traits.is_time_to_event,
        height=4.4,
    ),
    ReportFigure(
        "horizon_calibration",
        "Calibration by horizon",
        "On the dashed line, a predicted probability is the share that comes true; the deciding horizon is blue.",
        draw_horizon_calibration,
        lambda run: run.task.target.traits.is_time_to_event,
        height=4.4,
    ),
    ReportFigure(
        "precision_recall",
        "Precision and recall",
        "Further up and to the right is better; the dashed line is the share of positives among the rows shown.",
        draw_precision_recall,
        lambda run: run.task.target.traits.has_positive_class,
        height=4.4,
    ),
    ReportFigure(
        "residuals",
        "Residuals",
        "Around zero everywhere: no part of the range is systematically too high or too low.",
        draw_residuals,
        lambda run: run.task.target.traits.is_regression,
    ),
    ReportFigure(
        "coverage_by_group",
        "Coverage by group",
        "Dot: share of outcomes inside, calibrated on other folds. Bar: 95 % interval. Orange: certainly below the dashed "
        "line, the nominal coverage.",
        draw_coverage_by_group,
        lambda run: run.intervals.coverage is not None,
    ),
    ReportFigure(
        "coverage_by_month",
        "Coverage by month",
        "Each month, calibrated on other folds. Orange months are certainly below the dashed line: the rows had changed.",
        draw_coverage_by_month,
        lambda run: run.intervals.coverage is not None and MONTH in {table.by for table in run.intervals.coverage.tables},
    ),
    ReportFigure(
        "importance",
        "What moves the score",
        "Mean size of each column's exact SHAP contribution. It says what the model uses, not what causes the outcome.",
        draw_importance,
        lambda run: run.explanation is None,  # an explanation shows it with intervals
    ),
    ReportFigure(
        "folds",
        "Folds",
        "Broad and grey: training rows. Narrow and blue: test rows. Gaps between them are left out on purpose.",
        draw_folds,
    ),
    ReportFigure(
        "fold_scores",
        "Fold by fold",
        "The deciding metric on every fold: how much of the difference is due to the split.",
        draw_fold_scores,
        lambda run: len(run.plan.folds) > 1,
    ),
)
"""All pictures, in the report's order. A new one is one function and one line here."""


def list_figures(run: RowRun) -> tuple[ReportFigure[RowRun], ...]:
    """The pictures that suit the run's kind of target and have something to show: one fold alone is not compared with others."""
    return tuple(picture for picture in TRAINING_FIGURES if picture.suits(run))


def draw_figures(run: RowRun) -> dict[str, "Figure"]:
    """Every picture that suits the run, drawn, by name."""
    return {picture.name: picture.draw(run) for picture in list_figures(run)}


def describe_folds(plan: FoldPlan) -> str:
    """Folds and repeats in words."""
    folds = "one fold" if plan.n_folds == 1 else f"{plan.n_folds} folds"
    return folds if plan.repeats == 1 else f"{folds}, repeated {plan.repeats} times"
