"""Prints the result of a training on rows."""

from typing import TYPE_CHECKING

from epic22.cli.terminal import format_interval, print_line, print_table
from epic22.core.evaluation.gate_finding import count_outcomes
from epic22.core.text import describe_difference, format_figure, format_quantity

if TYPE_CHECKING:
    from epic22.bootstrap import TrainingResult
    from epic22.core.data.leakage import Suspicion
    from epic22.core.evaluation.significance import Verdict
    from epic22.services.assess import Assessment
    from epic22.services.training_run import RowRun, TrainingRun


def print_training(result: "TrainingResult[RowRun]") -> None:
    """Print the result: audit, folds, scores, columns, verdicts, coverage, champion."""
    run = result.run
    for note in run.notes:
        print_line(f"· {note}", "dim")
    _print_audit(result)
    print_line(
        f"Folds: {run.plan.strategy}, {run.plan.n_folds} × {run.plan.repeats}, gap {format_quantity(run.plan.embargo, 'days')} – "
        f"{run.plan.why}."
    )
    headers = ["metric", *(e.family for e in run.leaderboard)]
    rows = [[s.metric, *(format_interval(e.score(s.metric)) for e in run.leaderboard)] for s in run.champion.scores]
    rows.append(["seconds a fit", *(format_figure(e.fit_seconds) for e in run.leaderboard)])
    rows.append(["milliseconds a row", *(format_figure(e.ms_per_row) for e in run.leaderboard)])
    print_table(f"{run.task.name}: out-of-fold scores with 95 % intervals, best family first", headers, rows)
    if run.choice_note:
        print_line(run.choice_note)
    for evaluation in run.leaderboard:
        if evaluation.early_exit is not None:
            print_line(f"{evaluation.family} {evaluation.early_exit.words}.")
    _print_columns(result)
    for verdict in run.verdicts:
        print_line(
            f"{run.version.family} against {verdict.against}: {verdict.metric} "
            f"{describe_difference(verdict.difference, f', p = {verdict.p:.2g}')}; {_describe_certainty(verdict)}."
        )
    _print_coverage(result)
    print_comparison(run)
    if run.average_note:
        print_line(run.average_note)
    if run.search_result is not None:
        search = run.search_result
        members = ", ".join(f"{search.trials[turn].family} {weight:.0%}" for turn, weight in search.weights)
        why = f"{search.stop_reason}; {search.stopping_decision.reason}"
        print_line(f"Search: {why}. The champion averages {members}.")
        pruned = [f"{trial.number + 1} ({trial.family}, {trial.end})" for trial in search.trials if trial.pruned_epoch]
        if pruned:
            print_line(f"Pruned by epoch: trials {', '.join(pruned)}.")
        if search.level_shift is not None:
            print_line(f"{search.level_shift.describe(run.task.target)}.")
    for warning in run.warnings:
        print_line(f"Warning: {warning}", "bold yellow")
    print_place(run)
    print_line(f"Report: {result.report}")
    if result.task_file is not None:
        print_line(f"Task file, to be edited and trained with: {result.task_file}")
    print_line(f"Next: epic22 predict {run.task.name} FILE, or epic22 serve")


def print_place(run: "TrainingRun", why: str = "") -> None:
    """Print whether the version serves now, or why another goes on serving and how this one would come to."""
    version, decision = run.version, run.promotion
    name = f"{version.family}, version {version.version} of task {version.task} ({version.status})"
    challenge = None if decision is None else decision.challenge
    if decision is None or decision.promote:
        print_line(f"Champion: {name}{why}.", "bold green")
        if challenge is not None:
            print_line(f"It takes the place of version {challenge.champion}: {challenge.why}.")
    elif decision.status == "challenger":
        on = "No version serves the task, so what is done today goes on"
        if challenge is not None:
            on = f"Version {challenge.champion} goes on serving"
        print_line(f"Challenger: {name}{why}.", "bold yellow")
        print_line(f"{on}: {decision.why}.", "bold yellow")
        print_line(f"To let this one serve all the same: epic22 promote {version.task} {version.version} --reason …")
    else:
        print_line(f"Refused: {name}{why}.", "bold red")
    if decision is not None and decision.gates:
        print_line(f"{count_outcomes(decision.gates)}.", "dim")


def _describe_certainty(verdict: "Verdict") -> str:
    """Whether a verdict is certain, with the supplementary tests of the same pair."""
    other_tests = [
        f"{o.test}: {o.metric} {format_figure(o.difference.value)}, p = {o.p:.2g}"
        for o in verdict.supplementary_tests
        if not o.refusal
    ]
    return "; ".join(["certain" if verdict.certain else verdict.words, *other_tests])


def _print_coverage(result: "TrainingResult[RowRun]") -> None:
    """Print how often intervals or sets covered the outcome, and where they did not."""
    intervals = result.run.intervals
    if intervals.note:
        print_line(f"Coverage: {intervals.note}.")
    if intervals.coverage is not None:
        for finding in intervals.coverage.findings:
            print_line(finding)
        if intervals.coverage.warning is not None:
            print_line(intervals.coverage.warning, "bold yellow")


def _print_columns(result: "TrainingResult[RowRun]") -> None:
    plan = result.run.column_plan
    if plan is None:
        return
    rows = [
        [
            g.change,
            ", ".join(g.columns[:4]) + (" …" if len(g.columns) > 4 else ""),
            format_figure(g.gain.value),
            "kept" if g.accepted else "no",
        ]
        for g in plan.gains
    ]
    if not rows:
        print_line("Columns: as they come; no change of them was tried.")
        return
    title = (
        f"Columns: held-out {plan.loss} {format_figure(plan.before)} → {format_figure(plan.after)} in {plan.folds} inner folds"
    )
    print_table(title, ["change", "columns", "gain", ""], rows)


def _print_audit(result: "TrainingResult[RowRun]") -> None:
    audit = result.run.audit
    if not audit:
        print_line("Audit: nothing suspicious.")
        return
    rows = [[s.column or "(rows)", s.suspicion, s.words, _describe_use(s)] for s in audit]
    print_table("Audit", ["column", "suspicion", "evidence", "column is"], rows)
    if any(s.withheld for s in audit):
        print_line("A column left out is taken in with --keep NAME, if you know it to be known before the label.")


def _describe_use(suspicion: "Suspicion") -> str:
    if suspicion.column is None:
        return "–"
    return "left out" if suspicion.withheld else "used"


def print_comparison(run: "RowRun") -> None:
    """Print short lists and costs per 1,000 rows by family, non-inferior families, and whether more data would help."""
    points = run.comparison.operating_points
    if points:
        rows = [
            ["recall, top 5 % of rows", *(format_interval(p.recall) for p in points)],
            ["precision, top 5 % of rows", *(format_interval(p.precision) for p in points)],
            ["accuracy", *(format_interval(p.accuracy) for p in points)],
        ]
        if any(p.cost is not None for p in points):
            rows.append(["cost per 1,000 rows", *(format_interval(p.cost) for p in points)])
            rows.append(["saved against the constant", *(format_interval(p.saved) for p in points)])
            rows.append(["rows acted on", *("–" if p.acted is None else f"{p.acted:.1%}" for p in points)])
        print_table("Operating points", ["", *(p.family for p in points)], rows)
    for test_result in run.comparison.non_inferiority:
        print_line(f"{test_result.words}.")
    if run.comparison.preferred is not None:
        print_line(f"Choice: {run.comparison.preferred.why}.")
    if run.comparison.curve is not None:
        print_line(f"{run.comparison.curve.words}.")


def print_assessment(assessment: "Assessment") -> None:
    """Print calibration, savings, risk bands and fairness in a few lines."""
    print_line(
        f"Calibration: {assessment.calibration.method}; expected calibration error "
        f"{format_figure(assessment.before.error)} before, "
        f"{format_figure(assessment.after.error)} after (noise alone {format_figure(assessment.after.floor)})."
    )
    savings = assessment.savings
    for name, saving in (("at capacity", savings.limited), ("at the threshold", savings.unlimited)):
        if saving is not None:
            phrases = [
                f"{saving.yearly}",
                *(
                    f"{describe_difference(d.saved, directions=('more', 'less'))} than the {d.against}"
                    for d in saving.differences
                ),
            ]
            print_line(f"Saving {name}, a year and 1,000 entities: {'; '.join(phrases)}.")
    if assessment.band_order is not None:
        rows = [
            [
                b.name,
                f"{b.n:,}",
                format_figure(b.predicted),
                format_interval(b.observed),
            ]
            for b in assessment.band_figures
        ]
        print_table("Bands of expected loss", ["band", "rows", "predicted", "observed"], rows)
        print_line(f"{assessment.band_order.words}.")
    if assessment.fairness is not None:
        print_line(f"Fairness ({assessment.fairness.status}), the worst class: {assessment.fairness.why}.")
