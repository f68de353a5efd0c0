"""`epic22 train`: the user's own table in; a compared, registered, explained model out."""

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22.cli.option_groups import grouped
from epic22.cli.split_options import SplitOptions
from epic22.cli.table_options import Json, LearningOptions, RoleOptions
from epic22.cli.task_options import given_options, options_given, refuse_no_folder, task_asked
from epic22.cli.terminal import figure, print_json, progress, say, table
from epic22.cli.train_feature import train_features
from epic22.cli.train_panel import PanelOptions, forecast, panel_file, refuse_panel_options, refuse_row_options
from epic22.cli.tuning_options import SearchOptions, shared_out, tuning_of
from epic22.cli.use_figures import show_use
from epic22.cli.use_options import UseOptions, refuse_use_options

if TYPE_CHECKING:
    from epic22.bootstrap import Finished
    from epic22.config import Settings
    from epic22.core.evaluation.compare import Verdict
    from epic22.core.evaluation.crossval import Score
    from epic22.features.task_file import SearchAsked, TaskFile
    from epic22.services.tune import Tuning


@dataclass(frozen=True)
class FeatureOptions:
    """With a feature: on which data, and past which gate."""

    data: Annotated[int | None, typer.Option(help="With a feature: a data version; the newest otherwise.")] = None
    override_reason: Annotated[
        str | None,
        typer.Option(help="With a feature: promote against the fairness gate, with the key in EPIC22_KEY; kept in the log."),
    ] = None


@grouped
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
    given = given_options(context)
    if feature is not None:
        refuse_use_options(f"the feature {feature}", given)
        refuse_table_options(given)
        search = task_asked(None, given).search
        tuning = _tuning(search, searching.processes)
        train_features(
            feature, stored.data, split.seed, stored.override_reason, json, tuning, search.engineered, learning.memory_cap
        )
    elif series.panel is not None:
        refuse_use_options("--panel", given)
        csv, label = table_and_label(roles.csv, roles.label)
        refuse_row_options(given)
        file = panel_file(csv, label, roles, split.horizon, series)
        forecast(file, split.holdout_last, series.trend_horizon, split.seed, json)
    else:
        refuse_panel_options(given)
        asked = task_asked(roles.task_file, given)
        train_table(asked, learning.memory_cap, roles.write_task, json, searching.processes)


def train_table(asked: "TaskFile", memory_cap: str | None, write_to: Path | None, json: bool, processes: int = 1) -> None:
    """Train on a table of one's own as it is asked for, and show what was found."""
    from epic22.bootstrap import assemble, train_file
    from epic22.config import Settings
    from epic22.features.task_request import flat_file, split_request, told_by_place
    from epic22.features.task_text import write_task_file

    table_and_label(asked.data.file, asked.roles.label)
    refuse_no_folder(write_to)
    refuse_two_judges(asked)
    with told_by_place(asked):
        file, split, tuning = flat_file(asked), split_request(asked), _tuning(asked.search, processes)
        parts = assemble(capped(Settings.read(), memory_cap))
        with progress() as watch:
            finished = train_file(parts, file, split, watch, asked.search.engineered, tuning, asked)
    if write_to is not None and finished.asked is not None:
        write_task_file(finished.asked, write_to)
    if json:
        from epic22.services.results import run_json

        print_json(run_json(finished.run) | {"report": str(finished.report), "task_file": str(finished.task_file)})
    else:
        show(finished)
        if write_to is not None:
            say(f"Written: {write_to}")


def refuse_two_judges(asked: "TaskFile") -> None:
    """Raise UserError where the search's own folds are to judge, and rows held out as well."""
    from epic22.core.errors import UserError

    held_out = asked.data.test or asked.split.holdout_from or asked.split.holdout_last
    if asked.search.asked and not asked.search.nested and held_out:
        raise UserError("--no-nested judges by the search's own folds; leave --test and the holdout out.")


def _tuning(search: "SearchAsked", processes: int) -> "Tuning | None":
    from epic22.config import Settings

    return shared_out(tuning_of(Settings.read(), search), processes)


def capped(settings: "Settings", memory_cap: str | None) -> "Settings":
    """The settings with another memory cap. Raises UserError for one that is no amount of memory."""
    from epic22.config import memory_bytes

    return settings if memory_cap is None else replace(settings, memory_cap=memory_bytes(memory_cap, "--memory-cap"))


def refuse_table_options(given: Container[str]) -> None:
    """Raise UserError where a feature was named and a table of one's own as well."""
    from epic22.core.errors import UserError

    names = ("--csv", "--label", "--time", "--panel", "--formula", "--loss", "--log", "--exposure", "--task-file", "--write-task")
    stated = options_given(given, *names)
    if stated:
        raise UserError(f"{' and '.join(stated)} go with a table of your own; a feature is trained on the stored tables.")


def table_and_label(csv: Path | None, label: str | None) -> tuple[Path, str]:
    """Both, or UserError saying what can be trained."""
    from epic22.core.errors import UserError
    from epic22.features.catalog import FEATURES

    if csv is None or label is None:
        names = ", ".join(feature.name for feature in FEATURES)
        raise UserError(f"name a feature ({names}, or all), or give --csv FILE and --label COLUMN, or --task-file FILE.")
    return csv, label


def show(finished: "Finished") -> None:
    """The result for a person at a terminal."""
    run = finished.run
    for note in run.notes:
        say(f"· {note}", "dim")
    _show_audit(finished)
    say(f"Folds: {run.plan.kind}, {run.plan.n} × {run.plan.repeats}, gap {run.plan.gap:g} days – {run.plan.why}.")
    headers = ["metric", *(e.family for e in run.leaderboard)]
    rows = [[s.metric, *(_interval(e.score(s.metric)) for e in run.leaderboard)] for s in run.champion.scores]
    rows.append(["seconds a fit", *(figure(e.fit_seconds) for e in run.leaderboard)])
    rows.append(["milliseconds a row", *(figure(e.row_ms) for e in run.leaderboard)])
    table(f"{run.task.name}: out-of-fold scores with 95 % intervals, best family first", headers, rows)
    _show_columns(finished)
    for verdict in run.verdicts:
        say(
            f"{run.version.family} against {verdict.against}: {verdict.metric} {figure(verdict.difference)} better "
            f"({figure(verdict.low)} … {figure(verdict.high)}, p = {verdict.p:.2g}); {_sure(verdict)}."
        )
    _show_coverage(finished)
    show_use(run)
    if run.found is not None:
        members = ", ".join(f"{run.found.trials[turn].family} {weight:.0%}" for turn, weight in run.found.weights)
        say(f"Search: {run.found.ended}; {run.found.exhausted.reason}. The champion averages {members}.")
        if run.found.level is not None:
            say(f"{run.found.level.in_words(run.task.target)}.")
    for warning in run.warnings:
        say(f"Warning: {warning}", "bold yellow")
    say(
        f"Champion: {run.version.family}, version {run.version.version} of task {run.task.name} ({run.version.status}).",
        "bold green",
    )
    say(f"Report: {finished.report}")
    if finished.task_file is not None:
        say(f"Task file, to be edited and trained with: {finished.task_file}")
    say(f"Next: epic22 predict {run.task.name} FILE, or epic22 serve")


def _sure(verdict: "Verdict") -> str:
    """Certain or not, with what other tests say of the same pair where they may be asked."""
    asked = [f"{o.test}: {o.metric} {figure(o.difference)}, p = {o.p:.2g}" for o in verdict.opinions if not o.refused]
    return "; ".join(["certain" if verdict.certain else verdict.words, *asked])


def _interval(score: "Score") -> str:
    return f"{figure(score.value)} ({figure(score.low, 3)}…{figure(score.high, 3)})"


def _show_coverage(finished: "Finished") -> None:
    """How often intervals or sets held the outcome, and where they did not."""
    promise = finished.run.promise
    if promise.note:
        say(f"Coverage: {promise.note}.")
    if promise.coverage is not None:
        for finding in promise.coverage.findings:
            say(finding)
        if promise.coverage.shortfall is not None:
            say(promise.coverage.shortfall, "bold yellow")


def _show_columns(finished: "Finished") -> None:
    plan = finished.run.column_plan
    if plan is None:
        return
    rows = [
        [g.change, ", ".join(g.columns[:4]) + (" …" if len(g.columns) > 4 else ""), figure(g.gain), "kept" if g.kept else "no"]
        for g in plan.gains
    ]
    title = f"Columns: held-out {plan.loss} {figure(plan.before)} → {figure(plan.after)} in {plan.folds} inner folds"
    table(title, ["change", "columns", "gain", ""], rows)


def _show_audit(finished: "Finished") -> None:
    audit = finished.run.audit
    if not audit:
        say("Audit: nothing suspicious.")
        return
    rows = [[s.column or "(rows)", s.suspicion, s.evidence, "left out" if s.withheld else "used"] for s in audit]
    table("Audit", ["column", "suspicion", "evidence", "column is"], rows)
    if any(s.withheld for s in audit):
        say("A column left out is taken in with --keep NAME, if you know it to be known before the label.")
