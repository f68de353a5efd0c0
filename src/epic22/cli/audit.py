"""`epic22 audit`: what a table gives away before anything is trained."""

from epic22.cli.table_options import Csv, Drop, Group, Id, Json, Keep, KindOf, Label, Name, Positive, Time, flat_file
from epic22.cli.terminal import print_json, progress, say, table


def audit(
    csv: Csv,
    label: Label,
    time: Time = None,
    group: Group = None,
    id_: Id = None,
    drop: Drop = None,
    keep: Keep = None,
    positive: Positive = None,
    kind: KindOf = None,
    task: Name = None,
    json: Json = False,
) -> None:
    """Look for leaks: ids, columns that echo or imply the label, duplicate rows, overlaps in time or group.

    Each finding comes with its evidence; nothing is trained or stored.
    """
    from epic22.bootstrap import audit_file
    from epic22.services.results import audit_json

    file = flat_file(csv, label, time, group, id_, drop, keep, positive, kind, task)
    with progress() as watch:
        assignment, found = audit_file(file, watch)
    if json:
        print_json({"task": assignment.task.name, "data_version": assignment.data_version.id, "audit": audit_json(found)})
        return
    if not found:
        say("Nothing suspicious.")
        return
    rows = [[s.column or "(rows)", s.suspicion, s.evidence, "yes" if s.withheld else "no"] for s in found]
    table("Audit", ["column", "suspicion", "evidence", "left out by train"], rows)
    say("train leaves these columns out; --keep NAME keeps one, if you know it to be known before the label.")
