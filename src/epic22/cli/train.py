"""`epic22 train`: the user's own table in; a compared, registered, explained model out."""

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from epic22.bootstrap import TrainingResult, assemble, train_file
from epic22.cli.comparison import print_comparison
from epic22.cli.option_groups import flatten_options
from epic22.cli.split_options import SplitOptions
from epic22.cli.table_options import Json, LearningOptions, RoleOptions
from epic22.cli.task_options import build_task_file, read_given_options, refuse_missing_folder, select_given_options
from epic22.cli.terminal import format_figure, print_json, print_line, print_table, show_progress
from epic22.cli.train_feature import train_features
from epic22.cli.train_panel import PanelOptions, build_panel_file, refuse_panel_options, refuse_row_options, train_forecast
from epic22.cli.tuning_options import SearchOptions, build_tuning, set_processes
from epic22.cli.use_options import UseOptions, refuse_use_options
from epic22.config import Settings, parse_memory
from epic22.core.errors import UserError
from epic22.core.evaluation.crossval import MetricScore
from epic22.core.evaluation.significance import Verdict
from epic22.core.serialization import to_json
from epic22.features.catalog import FEATURES
from epic22.reports.json import VIEWS
from epic22.services.tune import Tuning
from epic22.spec.task_file import SearchAsked, TaskFile
from epic22.spec.task_request import build_flat_file, build_split_request, locate_errors
from epic22.spec.task_yaml import write_task_file


@dataclass(frozen=True)
class FeatureOptions:
    """With a feature: on which data, and past which gate."""

    data: Annotated[int | None, typer.Option(help="With a feature: a data version; the newest otherwise.")] = None
    override_reason: Annotated[
        str | None,
        typer.Option(help="With a feature: promote against the fairness gate, with the key in EPIC22_KEY; kept in the log."),
    ] = None


@flatten_options
def train(
    context: typer.Context,
    stored: FeatureOptions,
    roles: RoleOptions,
    learning: LearningOptions,
    use: UseOptions,
    searching: SearchOptions,
    split: SplitOptions,
    series: PanelOptions,
    feature: Annotated[
        str | None,
        typer.Argument(help="A feature, such as tenant_churn, or 'all': trained on the stored tables. Or --csv and --label."),
    ] = None,
    json: Json = False,
) -> None:
    """Train a feature on the stored tables, or a task on your own table, and report what is certain.

    Audit it, race the families on honest folds, register and report the best.

    epic22 train tenant_churn

    epic22 train --csv churn.csv --label churned --time month --id tenant --horizon 90

    epic22 train --task-file task.yaml

    Or on a panel of series, to forecast each of them with intervals:

    epic22 train --csv rents.csv --panel wide --id zip --time month --label rent --frequency M --horizon 12
    """
    given = read_given_options(context)
    if feature is not None:
        refuse_use_options(f"the feature {feature}", given)
        refuse_table_options(given)
        search = build_task_file(None, given).search
        tuning = _build_tuning(search, searching.processes)
        train_features(
            feature, stored.data, split.seed, stored.override_reason, json, tuning, search.uses_engineering, learning.memory_cap
        )
    elif series.panel is not None:
        refuse_use_options("--panel", given)
        csv, label = require_table_and_label(roles.csv, roles.label)
        refuse_row_options(given)
        file = build_panel_file(csv, label, roles, split.horizon, series)
        train_forecast(file, split.holdout_last, series.trend_horizon, split.seed, json)
    else:
        refuse_panel_options(given)
        task_file = build_task_file(roles.task_file, given)
        train_table(task_file, learning.memory_cap, roles.write_task, json, searching.processes)


def train_table(task_file: TaskFile, memory_cap: str | None, write_to: Path | None, json: bool, processes: int = 1) -> None:
    """Train on a table of one's own as it is asked for, and show what was found."""
    require_table_and_label(task_file.data.file, task_file.roles.label)
    refuse_missing_folder(write_to)
    refuse_two_evaluations(task_file)
    with locate_errors(task_file):
        file, split, tuning = (
            build_flat_file(task_file),
            build_split_request(task_file),
            _build_tuning(task_file.search, processes),
        )
        components = assemble(apply_memory_cap(Settings.read(), memory_cap))
        with show_progress() as bars:
            result = train_file(components, file, split, bars, task_file.search.uses_engineering, tuning, task_file)
    if write_to is not None and result.task_spec is not None:
        write_task_file(result.task_spec, write_to)
    if json:
        print_json(to_json(result.run, VIEWS) | {"report": str(result.report), "task_file": str(result.task_file)})
    else:
        print_training(result)
        if write_to is not None:
            print_line(f"Written: {write_to}")


def refuse_two_evaluations(task_file: TaskFile) -> None:
    """Raise UserError where the search's own folds are to judge, and rows held out as well."""
    has_test_rows = task_file.data.test or task_file.split.holdout_from or task_file.split.holdout_last
    if task_file.search.is_requested and not task_file.search.nested and has_test_rows:
        raise UserError("--no-nested judges by the search's own folds; leave --test and the holdout out.")


def _build_tuning(search: SearchAsked, processes: int) -> Tuning | None:

    return set_processes(build_tuning(Settings.read(), search), processes)


def apply_memory_cap(settings: Settings, memory_cap: str | None) -> Settings:
    """The settings with another memory cap. Raises UserError for one that is no amount of memory."""
    return settings if memory_cap is None else replace(settings, memory_cap=parse_memory(memory_cap, "--memory-cap"))


def refuse_table_options(given: Container[str]) -> None:
    """Raise UserError where a feature was named and a table of one's own as well."""
    names = ("--csv", "--label", "--time", "--panel", "--formula", "--loss", "--log", "--exposure", "--task-file", "--write-task")
    options = select_given_options(given, *names)
    if options:
        raise UserError(f"{' and '.join(options)} go with a table of your own; a feature is trained on the stored tables.")


def require_table_and_label(csv: Path | None, label: str | None) -> tuple[Path, str]:
    """Both, or UserError saying what can be trained."""
    if csv is None or label is None:
        names = ", ".join(feature.name for feature in FEATURES)
        raise UserError(f"name a feature ({names}, or all), or give --csv FILE and --label COLUMN, or --task-file FILE.")
    return csv, label


def print_training(result: TrainingResult) -> None:
    """The result for a person at a terminal."""
    run = result.run
    for note in run.notes:
        print_line(f"· {note}", "dim")
    _print_audit(result)
    print_line(f"Folds: {run.plan.kind}, {run.plan.n} × {run.plan.repeats}, gap {run.plan.gap:g} days – {run.plan.why}.")
    headers = ["metric", *(e.family for e in run.leaderboard)]
    rows = [[s.metric, *(_format_score(e.score(s.metric)) for e in run.leaderboard)] for s in run.champion.scores]
    rows.append(["seconds a fit", *(format_figure(e.fit_seconds) for e in run.leaderboard)])
    rows.append(["milliseconds a row", *(format_figure(e.row_ms) for e in run.leaderboard)])
    print_table(f"{run.task.name}: out-of-fold scores with 95 % intervals, best family first", headers, rows)
    _print_columns(result)
    for verdict in run.verdicts:
        print_line(
            f"{run.version.family} against {verdict.against}: {verdict.metric} {format_figure(verdict.difference.value)} better "
            f"({format_figure(verdict.difference.low)} … {format_figure(verdict.difference.high)}, p = {verdict.p:.2g}); "
            f"{_describe_certainty(verdict)}."
        )
    _print_coverage(result)
    print_comparison(run)
    if run.search_result is not None:
        members = ", ".join(f"{run.search_result.trials[turn].family} {weight:.0%}" for turn, weight in run.search_result.weights)
        print_line(
            f"Search: {run.search_result.stop_reason}; {run.search_result.exhausted.reason}. The champion averages {members}."
        )
        if run.search_result.level_shift is not None:
            print_line(f"{run.search_result.level_shift.in_words(run.task.target)}.")
    for warning in run.warnings:
        print_line(f"Warning: {warning}", "bold yellow")
    print_line(
        f"Champion: {run.version.family}, version {run.version.version} of task {run.task.name} ({run.version.status}).",
        "bold green",
    )
    print_line(f"Report: {result.report}")
    if result.task_file is not None:
        print_line(f"Task file, to be edited and trained with: {result.task_file}")
    print_line(f"Next: epic22 predict {run.task.name} FILE, or epic22 serve")


def _describe_certainty(verdict: Verdict) -> str:
    """Certain or not, with what other tests say of the same pair where they may be asked."""
    other_tests = [
        f"{o.test}: {o.metric} {format_figure(o.difference.value)}, p = {o.p:.2g}" for o in verdict.opinions if not o.refused
    ]
    return "; ".join(["certain" if verdict.certain else verdict.words, *other_tests])


def _format_score(score: MetricScore) -> str:
    return f"{format_figure(score.value)} ({format_figure(score.low, 3)}…{format_figure(score.high, 3)})"


def _print_coverage(result: TrainingResult) -> None:
    """How often intervals or sets held the outcome, and where they did not."""
    promise = result.run.intervals
    if promise.note:
        print_line(f"Coverage: {promise.note}.")
    if promise.coverage is not None:
        for finding in promise.coverage.findings:
            print_line(finding)
        if promise.coverage.shortfall is not None:
            print_line(promise.coverage.shortfall, "bold yellow")


def _print_columns(result: TrainingResult) -> None:
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
    title = (
        f"Columns: held-out {plan.loss} {format_figure(plan.before)} → {format_figure(plan.after)} in {plan.folds} inner folds"
    )
    print_table(title, ["change", "columns", "gain", ""], rows)


def _print_audit(result: TrainingResult) -> None:
    audit = result.run.audit
    if not audit:
        print_line("Audit: nothing suspicious.")
        return
    rows = [[s.column or "(rows)", s.suspicion, s.evidence, "left out" if s.withheld else "used"] for s in audit]
    print_table("Audit", ["column", "suspicion", "evidence", "column is"], rows)
    if any(s.withheld for s in audit):
        print_line("A column left out is taken in with --keep NAME, if you know it to be known before the label.")
