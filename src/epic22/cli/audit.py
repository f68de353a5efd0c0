"""`epic22 audit`: what tables give away, and what is wrong in them, before anything is trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.options import Json, with_spec_options
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.spec.training_spec import TrainingSpec, list_options

if TYPE_CHECKING:
    from epic22.core.data.leakage import Suspicion


@with_spec_options(list_options(audit=True))
def audit(
    given: Mapping[str, Any],
    feature: Annotated[
        str | None, typer.Argument(help="A feature whose inputs are audited too; else the stored tables alone, or --csv.")
    ] = None,
    data: Annotated[int | None, typer.Option(help="A data version of the stored tables; the newest otherwise.")] = None,
    json: Json = False,
) -> None:
    """Look for leaks and damage: in the stored tables, in a feature's inputs, or in a table of your own.

    Ids, columns that echo or imply the label or were filled after the event, duplicates, overlaps in time or group, changed
    units, drifting sensors, dates that disagree. Each finding comes with its evidence; nothing is trained or stored.

    epic22 audit --csv churn.csv --label churned --write-task task.yaml
    """
    if "csv" not in given and "task_file" not in given:
        _refuse_table_options(given)
        _audit_stored(feature, data, json)
        return
    _audit_table(bootstrap.read_spec(given), feature, json)


def _refuse_table_options(given: Mapping[str, Any]) -> None:
    """Raise UserError for options of a table of one's own where none is named: they would be ignored."""
    if "write_task" in given:
        raise UserError("--write-task writes the task of a table of your own: give --csv FILE and --label COLUMN.")
    options = [one.key.option for one in list_options(audit=True) if one.parameter in given]
    if options:
        raise UserError(
            f"{', '.join(map(str, options))}: only a table of your own has such columns; name it with --csv FILE or --task-file, "
            "or leave the option out to audit the stored tables."
        )


def _audit_table(spec: TrainingSpec, feature: str | None, json: bool) -> None:
    if feature is not None or spec.roles.label is None:
        raise UserError("with --csv give --label, and no feature; without --csv the stored tables are audited.")
    write_to = spec.run.write_task
    with show_progress() as bars:
        data, suspicions = bootstrap.audit_file(spec, bars)
    if json:
        _print_json({"task": data.task.name, "data_version": data.data_version.id, "audit": suspicions, "notes": data.notes})
        return
    for note in data.notes:
        print_line(f"· {note}", "dim")
    _print_suspicions(suspicions)
    if write_to is not None:
        print_line(f"Written: {write_to}; train with 'epic22 train --task-file {write_to}'.")


def _audit_stored(feature: str | None, data: int | None, json: bool) -> None:
    components = bootstrap.assemble(Settings.read())
    with show_progress() as bars:
        version, findings = bootstrap.audit_stored(components, data, bars)
        suspicions = () if feature is None else bootstrap.audit_feature(components, feature, version.number, bars)
    if json:
        _print_json({"data_version": version.number, "tables": findings, "inputs": suspicions})
        return
    if not findings:
        print_line(f"Data version {version.number}: nothing suspicious in the tables.")
    else:
        rows = [[f.table, f.column or "(rows)", f.what, f.evidence, "grave" if f.grave else "note"] for f in findings]
        print_table(f"Data version {version.number}", ["table", "column", "finding", "evidence", ""], rows)
    if feature is not None:
        _print_suspicions(suspicions)


def _print_json(value: Mapping[str, object]) -> None:
    from epic22.core.data.leakage import SUSPICION_VIEWS
    from epic22.core.quality.finding import FINDING_VIEWS

    print_json(value, SUSPICION_VIEWS | FINDING_VIEWS)


def _print_suspicions(suspicions: "tuple[Suspicion, ...]") -> None:
    if not suspicions:
        print_line("Nothing suspicious in the inputs.")
        return
    rows = [[s.column or "(rows)", s.suspicion, s.evidence, _describe_use(s)] for s in suspicions]
    print_table("Audit", ["column", "suspicion", "evidence", "left out by train"], rows)
    if any(s.withheld for s in suspicions):
        print_line("train leaves out what is marked 'yes' and uses the rest; a table of your own keeps a column by --keep NAME,")
        print_line("if you know it to be known before the label.")
    elif any(s.column is not None for s in suspicions):
        print_line("train uses all of these; a table of your own leaves a column out by --drop NAME.")


def _describe_use(suspicion: "Suspicion") -> str:
    """Whether training leaves the column out; a dash for what is said of rows."""
    if suspicion.column is None:
        return "–"
    return "yes" if suspicion.withheld else "no"
