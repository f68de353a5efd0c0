"""A training once the tables that a task reads have grown by a share."""

from dataclasses import dataclass

from epic22.core.errors import FileError
from epic22.core.retraining.moment import TaskMoment
from epic22.core.retraining.trigger import TriggerKind
from epic22.core.tables.canonical import CANONICAL
from epic22.core.tables.mapping_record import check_record, read_names, read_number

LEAST_SHARE = 0.001


@dataclass(frozen=True)
class OnNewRows:
    """Due where the tables, the task's own where none is named, have this share of rows more than at its last training."""

    share: float
    tables: frozenset[str] = frozenset()

    def find_reason(self, moment: TaskMoment) -> str | None:
        """How much came, or that there is no model yet."""
        if moment.learned is None:
            return "it was never trained"
        tables = self.tables or moment.tables
        before = sum(n for name, n in moment.learned.rows.items() if name in tables)
        new = sum(n for version in moment.newer for name, n in version.added.items() if name in tables)
        if not new or new < self.share * before:
            return None
        return f"{new:,} rows came to the {before:,} that it learned from ({new / max(before, 1):.1%}; limit {self.share:.1%})"


def read_new_rows(place: str, content: object) -> OnNewRows:
    """The trigger of a share, or of a record of `share` and `tables`. Raises FileError."""
    record = content if isinstance(content, dict) else {"share": content}
    check_record(place, record, ("share", "tables"))
    share = read_number(f"{place}.share" if record is content else place, _read_percent(record.get("share")), LEAST_SHARE)
    if share >= 1 and not str(record.get("share")).strip().endswith("%"):
        raise FileError(
            f"{place}: {share:g} may be {share:g} % or {share:g} times the rows; write {share:g}% or {share * 100:g}%."
        )
    names = frozenset(read_names(f"{place}.tables", record["tables"])) if "tables" in record else frozenset[str]()
    unknown = sorted(names - {table.name for table in CANONICAL})
    if unknown:
        raise FileError(f"{place}.tables: there is no table {', '.join(unknown)}.")
    return OnNewRows(share, names)


def _read_percent(content: object) -> object:
    """A share that may be written in percent."""
    text = str(content).strip()
    return float(text[:-1]) / 100 if text.endswith("%") and text[:-1].replace(".", "", 1).isdigit() else content


KIND = TriggerKind("new_rows", "the tables that it reads have grown by a share since the last training", read_new_rows)
