"""`epic22 audit`: what tables give away, and what is wrong in them, before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22.cli.option_groups import grouped
from epic22.cli.table_options import Json, RoleOptions
from epic22.cli.task_options import given_options, refuse_no_folder, task_asked
from epic22.cli.terminal import print_json, progress, say, table

if TYPE_CHECKING:
    from epic22.core.data.leakage import Suspicion
    from epic22.features.task_file import TaskFile


@grouped
def audit(
    context: typer.Context,
    roles: RoleOptions,
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
    given = given_options(context)
    if roles.csv is None and roles.task_file is None:
        if roles.write_task is not None:
            from epic22.core.errors import UserError

            raise UserError("--write-task writes the task of a table of your own: give --csv FILE and --label COLUMN.")
        _audit_stored(feature, data, json)
        return
    _audit_table(task_asked(roles.task_file, given), feature, roles.write_task, json)


def _audit_table(asked: "TaskFile", feature: str | None, write_to: Path | None, json: bool) -> None:
    from epic22.bootstrap import audit_file, task_of_audit
    from epic22.core.errors import UserError
    from epic22.features.task_request import flat_file, split_request, told_by_place
    from epic22.features.task_text import write_task_file
    from epic22.services.results import audit_json

    if feature is not None or asked.roles.label is None:
        raise UserError("with --csv give --label, and no feature; without --csv the stored tables are audited.")
    refuse_no_folder(write_to)
    with told_by_place(asked), progress() as watch:
        assignment, found = audit_file(flat_file(asked), watch, split_request(asked))
    if write_to is not None:
        write_task_file(task_of_audit(asked, assignment, found), write_to)
    if json:
        print_json({"task": assignment.task.name, "data_version": assignment.data_version.id, "audit": audit_json(found)})
        return
    _show_suspicions(found)
    if write_to is not None:
        say(f"Written: {write_to}; train with 'epic22 train --task-file {write_to}'.")


def _audit_stored(feature: str | None, data: int | None, json: bool) -> None:
    from epic22.bootstrap import assemble, audit_feature, audit_stored
    from epic22.config import Settings

    parts = assemble(Settings.read())
    with progress() as watch:
        version, findings = audit_stored(parts, data, watch)
        suspicions = () if feature is None else audit_feature(parts, feature, version.number, watch)
    if json:
        print_json(stored_json(version.number, findings, suspicions))
        return
    if not findings:
        say(f"Data version {version.number}: nothing suspicious in the tables.")
    else:
        rows = [[f.table, f.column or "(rows)", f.what, f.evidence, "grave" if f.grave else "told"] for f in findings]
        table(f"Data version {version.number}", ["table", "column", "finding", "evidence", ""], rows)
    if feature is not None:
        _show_suspicions(suspicions)


def stored_json(version: int, findings: tuple[Any, ...], suspicions: tuple["Suspicion", ...]) -> dict[str, Any]:
    """The findings as JSON."""
    from epic22.services.results import audit_json

    told = [{"table": f.table, "column": f.column, "what": f.what, "evidence": f.evidence, "grave": f.grave} for f in findings]
    return {"data_version": version, "tables": told, "inputs": audit_json(suspicions)}


def _show_suspicions(found: tuple["Suspicion", ...]) -> None:
    if not found:
        say("Nothing suspicious in the inputs.")
        return
    rows = [[s.column or "(rows)", s.suspicion, s.evidence, "yes" if s.withheld else "no"] for s in found]
    table("Audit", ["column", "suspicion", "evidence", "left out by train"], rows)
    say("train leaves these columns out; --keep NAME keeps one, if you know it to be known before the label.")
