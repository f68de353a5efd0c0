"""The families where they are used, for a person at a terminal."""

from epic22.cli.terminal import format_figure, print_line, print_table
from epic22.core.evaluation.cost_per_thousand import CostPer1000
from epic22.core.evaluation.crossval import MetricScore
from epic22.services.train import TrainingRun


def print_comparison(run: TrainingRun) -> None:
    """Short lists and money per 1,000 rows by family, what is as good, and whether more data would help."""
    points = run.comparison.points
    if points:
        rows = [
            ["recall, top 5 % of rows", *(_format_interval(p.recall) for p in points)],
            ["precision, top 5 % of rows", *(_format_interval(p.precision) for p in points)],
            ["accuracy", *(_format_interval(p.accuracy) for p in points)],
        ]
        if any(p.cost is not None for p in points):
            rows.append(["cost per 1,000 rows", *(_format_interval(p.cost) for p in points)])
            rows.append(["less than the constant", *(_format_interval(p.saved) for p in points)])
            rows.append(["rows acted on", *("–" if p.acted is None else f"{p.acted:.1%}" for p in points)])
        print_table("In use", ["", *(p.family for p in points)], rows)
    for test_result in run.comparison.non_inferiority:
        print_line(f"{test_result.words}.")
    if run.comparison.choice is not None:
        print_line(f"Choice: {run.comparison.choice.why}.")
    if run.comparison.curve is not None:
        print_line(f"{run.comparison.curve.words}.")


def _format_interval(score: MetricScore | CostPer1000 | None) -> str:
    return (
        "–" if score is None else f"{format_figure(score.value)} ({format_figure(score.low, 3)}…{format_figure(score.high, 3)})"
    )
