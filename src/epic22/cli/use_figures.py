"""The families where they are used, for a person at a terminal."""

from typing import TYPE_CHECKING

from epic22.cli.terminal import figure, say, table

if TYPE_CHECKING:
    from epic22.core.evaluation.crossval import Score
    from epic22.core.evaluation.thousand import PerThousand
    from epic22.services.train import TrainingRun


def show_use(run: "TrainingRun") -> None:
    """Short lists and money per 1,000 rows by family, what is as good, and whether more data would help."""
    points = run.comparison.points
    if points:
        rows = [
            ["recall, top 5 % of rows", *(_interval(p.recall) for p in points)],
            ["precision, top 5 % of rows", *(_interval(p.precision) for p in points)],
            ["accuracy", *(_interval(p.accuracy) for p in points)],
        ]
        if any(p.cost is not None for p in points):
            rows.append(["cost per 1,000 rows", *(_interval(p.cost) for p in points)])
            rows.append(["less than the constant", *(_interval(p.saved) for p in points)])
            rows.append(["rows acted on", *("–" if p.acted is None else f"{p.acted:.1%}" for p in points)])
        table("In use", ["", *(p.family for p in points)], rows)
    for one in run.comparison.weighed:
        say(f"{one.words}.")
    if run.comparison.choice is not None:
        say(f"Choice: {run.comparison.choice.why}.")
    if run.comparison.curve is not None:
        say(f"{run.comparison.curve.words}.")


def _interval(shown: "Score | PerThousand | None") -> str:
    return "–" if shown is None else f"{figure(shown.value)} ({figure(shown.low, 3)}…{figure(shown.high, 3)})"
