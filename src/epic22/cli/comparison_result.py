"""Prints families that were compared, and a family without its parts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from epic22.cli.terminal import format_interval, print_line, print_table
from epic22.core.text import format_figure, format_quantity

if TYPE_CHECKING:
    from epic22.bootstrap import AblationResult, ComparisonResult
    from epic22.core.data.folds import FoldPlan
    from epic22.services.ablation import AblatedPart
    from epic22.services.family_comparison import ComparedFamily, FamilyCost


def print_comparison_result(result: "ComparisonResult") -> None:
    """Print notes, scores, calibration, what each family takes, verdicts, and the page's place."""
    comparison = result.comparison
    _print_setting(comparison.notes, comparison.plan)
    families = comparison.families
    headers = ["metric", *(family.name for family in families)]
    metric = comparison.task.target.metric.name
    rows = [[metric, *(format_interval(family.evaluation.score(metric)) for family in families)]]
    for score in (score for score in families[0].evaluation.scores if score.metric != metric):
        # Their intervals are on the page: here they would leave no column its width.
        rows.append([score.metric, *(format_figure(family.evaluation.score(score.metric).value) for family in families)])
    if any(family.calibration is not None for family in families):
        rows.append(["calibration error", *(_format_calibration(family) for family in families)])
    title = f"{comparison.task.name}: out-of-fold scores, best family first; {metric} decides, with its 95 % interval"
    print_table(title, headers, rows)
    print_table("What each family takes", ["", *headers[1:]], _list_costs(families))
    for verdict in comparison.verdicts:
        print_line(f"{verdict.words}.")
    print_line(comparison.conclusion, "bold")
    print_line(comparison.load.words, "bold yellow" if comparison.load.is_busy else "")
    _print_warnings(comparison.plan)
    print_line("Nothing was registered; epic22 train registers the best.")
    print_line(f"Report: {result.report}")


def print_ablation_result(result: "AblationResult") -> None:
    """Print notes, the parts with what each is worth in words, and the page's place."""
    ablation = result.ablation
    _print_setting(ablation.notes, ablation.plan)
    metric = ablation.task.target.metric.name
    rows = [["(the whole)", format_interval(ablation.whole.score(metric)), "–", "–"]]
    rows += [_format_part(part, metric) for part in ablation.parts]
    title = f"{ablation.task.name}: {ablation.family} without one part at a time"
    print_table(title, ["without", metric, "better with it by", "adjusted p"], rows)
    for part in ablation.parts:
        print_line(f"{part.words}.")
    if ablation.absent:
        print_line(f"Not on this data: {', '.join(ablation.absent)}.", "dim")
    print_line(ablation.conclusion, "bold")
    _print_warnings(ablation.plan)
    print_line(f"Report: {result.report}")


def _print_setting(notes: Sequence[str], plan: "FoldPlan") -> None:
    for note in notes:
        print_line(f"· {note}", "dim")
    print_line(
        f"Folds: {plan.strategy}, {plan.n_folds} × {plan.repeats}, gap {format_quantity(plan.embargo, 'days')} – {plan.why}."
    )


def _print_warnings(plan: "FoldPlan") -> None:
    for warning in plan.warnings:
        print_line(f"Warning: {warning}", "bold yellow")


def _format_calibration(family: "ComparedFamily") -> str:
    """The error and what noise alone would show."""
    calibration = family.calibration
    return "–" if calibration is None else f"{format_figure(calibration.error, 3)} (noise {format_figure(calibration.floor, 2)})"


COSTS: tuple[tuple[str, Callable[["FamilyCost"], float | None]], ...] = (
    ("seconds to train a fold", lambda cost: cost.fit_seconds),
    ("memory of its training, MB", lambda cost: None if cost.memory_bytes is None else cost.memory_bytes / 1e6),
    ("stored model, kB", lambda cost: cost.model_bytes / 1e3),
    ("ms a row, alone", lambda cost: cost.ms_alone),
    ("ms a row, in a batch", lambda cost: cost.ms_in_batch),
)
"""The lines of what a family takes, each with its figure."""


def _list_costs(families: "Sequence[ComparedFamily]") -> list[list[str]]:
    costs = [family.cost for family in families]
    return [[name, *("–" if cost is None else format_figure(read(cost), 3) for cost in costs)] for name, read in COSTS]


def _format_part(part: "AblatedPart", metric: str) -> list[str]:
    verdict, score = part.verdict, format_interval(part.evaluation.score(metric))
    if verdict is None:
        return [part.part.name, score, "nothing changes", "–"]
    return [part.part.name, score, format_interval(verdict.difference), format_figure(verdict.p_adjusted, 2)]
