"""`epic22 train`: the user's own table in; a compared, registered, explained model out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.forecast_result import print_forecast
from epic22.cli.interruption import explain_interruption
from epic22.cli.options import Json, with_spec_options
from epic22.cli.terminal import print_json, print_line, show_progress
from epic22.cli.training_result import print_assessment, print_training
from epic22.config import Settings, parse_memory
from epic22.core.errors import UserError
from epic22.core.serialization import to_json
from epic22.spec.key import Job
from epic22.spec.training_spec import TrainingSpec, list_options, list_unused

if TYPE_CHECKING:
    from epic22.bootstrap import TrainingResult
    from epic22.services.training_run import RowRun

ALL = "all"
AUTHORISATION_HINT = "Give --override-reason with a key in EPIC22_KEY whose SHA-256 is in EPIC22_AUTHORISED_KEYS."
REFUSALS: Mapping[Job, str] = {
    "table": "only with --panel wide or --panel long.",
    "panel": "not with --panel, which forecasts each series and holds out its last periods (--holdout-last).",
    "feature": "only with a table of your own; a feature is trained on the stored tables.",
}
"""The message for options that a job has no use for."""
FINISHED = "{tasks}: an earlier attempt at this job finished it."
FORECASTS_ONLY = "only where series are forecast, with --panel wide or --panel long or a feature that forecasts; leave it out."
"""The message for options of panels, and of features that forecast, beside a table."""


@with_spec_options(list_options())
def train(
    given: Mapping[str, Any],
    feature: Annotated[
        str | None,
        typer.Argument(help="A feature, such as tenant_churn, or 'all': trained on the stored tables. Or --csv and --label."),
    ] = None,
    data: Annotated[int | None, typer.Option(help="With a feature: a data version; the newest otherwise.")] = None,
    override_reason: Annotated[
        str | None,
        typer.Option(help="With a feature: promote against the fairness gate, with the key in EPIC22_KEY; kept in the log."),
    ] = None,
    json: Json = False,
) -> None:
    """Train a feature on the stored tables, or a task on your own table, and report what is certain.

    Audit it, evaluate the families on folds that leak nothing, register and report the best.

    epic22 train tenant_churn

    epic22 train --csv churn.csv --label churned --time month --id tenant --horizon 90

    epic22 train --task-file task.yaml

    Or on a panel of series, to forecast each of them with intervals:

    epic22 train --csv rents.csv --panel wide --id zip --time month --label rent --frequency M --horizon 12
    """
    job = check_options(feature, given, data, override_reason)
    with explain_interruption():
        if feature is not None:
            train_features(feature, bootstrap.read_spec(given), data, override_reason, json)
        elif job == "panel":
            _require_table("csv" in given, "label" in given)
            train_forecast(bootstrap.read_spec(given), json)
        else:
            train_table(bootstrap.read_spec(given), json)


def check_options(feature: str | None, given: Mapping[str, Any], data: int | None, override_reason: str | None) -> Job:
    """What is trained. Raises UserError for options that it has no use for."""
    job: Job = "feature" if feature is not None else "panel" if "panel" in given else "table"
    unused = list_unused(job, given)
    of_forecasts = [field.key.option for field in unused if job == "table" and field.key.is_used_by("feature")]
    _refuse_options(of_forecasts, FORECASTS_ONLY)
    _refuse_options([field.key.option for field in unused], REFUSALS[job])
    own = {"--data": data, "--override-reason": override_reason}
    if feature is None:
        _refuse_options([name for name, value in own.items() if value is not None], "only with a feature of the stored tables.")
    return job


def _refuse_options(unused: Sequence[str], why: str) -> None:
    if unused:
        raise UserError(f"{', '.join(unused)}: {why}")


def _require_table(has_file: bool, has_label: bool) -> None:
    """Raise UserError for a table without its label or a label without its table; for neither, say what can be trained."""
    if has_file and not has_label:
        raise UserError("give --label COLUMN too, the column that is to be predicted.")
    if has_label and not has_file:
        raise UserError("give --csv FILE too, the table that has the label.")
    if not has_file:
        names = ", ".join(feature.name for feature in bootstrap.FEATURES)
        raise UserError(f"name a feature ({names}, or all), or give --csv FILE and --label COLUMN, or --task-file FILE.")


def train_table(spec: TrainingSpec, json: bool) -> None:
    """Train on a table of one's own and print the result."""
    _require_table(spec.data.file is not None, spec.roles.label is not None)
    settings = read_settings(spec)
    with bootstrap.begin_training(settings, spec.run.device) as decided, show_progress() as bars:
        if decided:
            print_line(FINISHED.format(tasks=", ".join(sorted(decided))))
            return
        result = bootstrap.train_file(bootstrap.assemble(settings), spec, bars)
    if json:
        run = to_json(result.run, bootstrap.VIEWS)
        print_json(run | {"report": str(result.report), "task_file": str(result.task_file)})
        return
    print_training(result)
    if spec.run.write_task is not None:
        print_line(f"Written: {spec.run.write_task}")


def read_settings(spec: TrainingSpec) -> Settings:
    """The settings, with the memory cap of the specification. Raises UserError for one that is no amount of memory."""
    settings, cap = Settings.read(), spec.run.memory_cap
    return settings if cap is None else replace(settings, memory_cap=parse_memory(cap, "--memory-cap"))


def train_forecast(spec: TrainingSpec, json: bool) -> None:
    """Train on a panel and print the result."""
    settings = Settings.read()
    with bootstrap.begin_training(settings) as decided, show_progress() as bars:
        if decided:
            print_line(FINISHED.format(tasks=", ".join(sorted(decided))))
            return
        result = bootstrap.train_panel_file(bootstrap.assemble(settings), spec, bars)
    print_result(result, json)


def train_features(name: str, spec: TrainingSpec, data: int | None, reason: str | None, json: bool) -> None:
    """Train the feature of that name, or all of them, and print the results."""
    tuning, settings = bootstrap.build_tuning(Settings.read(), spec), read_settings(spec)
    components, refusals = bootstrap.assemble(settings), []
    override, engineer = bootstrap.override_by_key(reason), spec.search.uses_engineering
    config = bootstrap.FeatureConfig(
        spec.split.seed,
        override=override,
        tuning=tuning,
        engineer=engineer,
        families=spec.families,
        device=spec.run.device,
        detectors=spec.forecast.detectors,
        also=spec.forecast.also,
    )
    rows_only = replace(config, detectors=(), also=())
    configs = {f.name: config if f.task.frequency else rows_only for f in bootstrap.FEATURES} if name == ALL else {name: config}
    for number, (feature_name, own_config) in enumerate(configs.items()):
        with bootstrap.begin_training(settings, spec.run.device) as decided, show_progress() as bars:
            if feature_name in decided:
                print_line(FINISHED.format(tasks=feature_name))
                continue
            # Else the first would be searched for all the time that the command has.
            share = None if tuning is None else tuning.take_share(1 / (len(configs) - number))
            result = bootstrap.train_feature(components, feature_name, data, bars, replace(own_config, tuning=share))
        print_result(result, json)
        refusals += explain_refusal(result)
    if refusals:
        raise UserError(" ".join(refusals))


def explain_refusal(result: "TrainingResult[Any]") -> list[str]:
    """The message for an override that was requested and refused; nothing otherwise."""
    decision = result.run.promotion
    if decision is None or decision.status != "refused" or decision.override is None:
        return []
    version = result.run.version
    return [f"{version.task} version {version.version} was not promoted: {decision.why}. {AUTHORISATION_HINT}"]


def _print_rows(result: "TrainingResult[RowRun]") -> None:
    print_training(result)
    if result.run.assessment is not None:
        print_assessment(result.run.assessment)


def print_result(result: "TrainingResult[Any]", json: bool) -> None:
    """Print the result of a feature or a panel, as text or as JSON."""
    if json:
        print_json(to_json(result.run, bootstrap.VIEWS) | {"report": str(result.report)})
        return
    rows, series = bootstrap.RowRun.data_type, bootstrap.SeriesRun.data_type
    printers: Mapping[str, Callable[[TrainingResult[Any]], None]] = {rows: _print_rows, series: print_forecast}
    printers[result.run.data_type](result)
    decision = result.run.promotion
    if decision is None or decision.status in ("challenger", "promoted"):
        return
    if not decision.promote:
        print_line(f"Not promoted: {decision.why}.", "bold red")
        print_line("With a key: EPIC22_KEY=… epic22 train FEATURE --override-reason 'why'", "dim")
    else:
        status = "" if decision.status == "promoted" else f" as {decision.status}"
        print_line(f"Promoted{status}: {decision.why}.", "dim")
