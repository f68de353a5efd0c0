"""The receipts of answers given, in the metadata database."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.schema import PREDICTIONS
from epic22.adapters.prediction_log import get_logger, redact_receipt
from epic22.core.errors import StorageError
from epic22.core.lineage import ModelVersion, Node, PredictionRecord, ReceiptBatch
from epic22.core.prediction import Prediction
from epic22.core.tables.erasure import TenantIdentity

BATCH_ROWS = 5_000
BATCH_NAMES = 500
"""Entities asked for at once."""
COLUMNS = [column for column in PREDICTIONS.c if column.name != "id"]


@dataclass(frozen=True)
class PredictionRecords:
    """The prediction log as rows of a database; `log_predictions` writes at once."""

    database: Database

    def log_predictions(self, version: ModelVersion, predictions: Sequence[Prediction], row_from: Node | None = None) -> None:
        """Write these answers' receipts, and what their rows were read from; what cannot be written is logged."""
        v, now = version, datetime.now(UTC).replace(tzinfo=None)
        self.write(PredictionRecord(p.receipt, v.task, v.version, v.model_hash, p.entity, now, row_from) for p in predictions)

    def close(self) -> None:
        """Nothing waits here."""

    def write(self, receipts: Iterable[PredictionRecord]) -> None:
        """Add receipts, all or none; what cannot be written is logged."""
        pending = list(receipts)
        try:
            self.add_receipts(pending)
        except StorageError as error:
            get_logger().warning("receipts not written", count=len(pending), reason=str(error))

    def add_receipts(self, receipts: Sequence[PredictionRecord]) -> None:
        """Add receipts, all or none. Raises StorageError where they cannot be written."""
        rows = [_to_row(receipt) for receipt in receipts]
        if not rows:
            return
        with self.database.write() as connection:
            for start in range(0, len(rows), BATCH_ROWS):
                connection.execute(insert(PREDICTIONS), rows[start : start + BATCH_ROWS])

    def add_batch(self, batch: ReceiptBatch) -> None:
        """Add the receipts of many answers, all or none. Raises StorageError where they cannot be written."""
        self.add_receipts(list(batch))

    def iterate_receipts(self) -> Iterator[PredictionRecord]:
        """All receipts in the order of their rows, a batch in memory at a time; a transaction a batch keeps nobody waiting."""
        last = 0
        while True:
            query = select(PREDICTIONS).where(PREDICTIONS.c.id > last).order_by(PREDICTIONS.c.id).limit(BATCH_ROWS)
            with self.database.read() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            last = rows[-1].id
            yield from map(_to_record, rows)

    def find_receipts(self, prefix: str) -> tuple[PredictionRecord, ...]:
        """Every time an answer was given whose receipt begins so, oldest first."""
        query = select(*COLUMNS).where(PREDICTIONS.c.receipt.startswith(prefix, autoescape=True)).order_by(PREDICTIONS.c.id)
        with self.database.read() as connection:
            return tuple(map(_to_record, connection.execute(query)))

    def count_predictions(self) -> Mapping[tuple[str, str], int]:
        """How many answers each (task, version) gave."""
        by = (PREDICTIONS.c.task, PREDICTIONS.c.version)
        with self.database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(select(*by, func.count()).group_by(*by))}

    def count_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> int:
        """How many rows are about a person, or name the person."""
        return sum(1 for _ in self._find_answers(person, tables))

    def erase_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> None:
        """Remove those about the person, and take the id out of the others, all in one transaction."""
        changes = list(self._find_answers(person, tables))
        with self.database.write() as connection:
            for number, record in changes:
                where = PREDICTIONS.c.id == number
                if record is None:
                    connection.execute(delete(PREDICTIONS).where(where))
                else:
                    connection.execute(update(PREDICTIONS).where(where).values(row_from=_to_row(record)["row_from"]))

    def _find_answers(self, person: TenantIdentity, tables: Mapping[str, str]) -> Iterator[tuple[int, PredictionRecord | None]]:
        """The rows that change, each with what stays of it."""
        names = sorted({person.tenant}.union(*(person.keys.get(table, ()) for table in tables.values())))
        wheres: list[ColumnElement[bool]] = [
            PREDICTIONS.c.entity.in_(names[at : at + BATCH_NAMES]) for at in range(0, len(names), BATCH_NAMES)
        ]
        if person.is_searchable:
            wheres += [PREDICTIONS.c.row_from.contains(spelling, autoescape=True) for spelling in person.spellings]
        with self.database.read() as connection:
            rows = {row.id: row for where in wheres for row in connection.execute(select(PREDICTIONS).where(where))}
        for number, row in sorted(rows.items()):
            record = _to_record(row)
            after = redact_receipt(record, person, tables)
            if after is not record:
                yield number, after


def _to_row(receipt: PredictionRecord) -> dict[str, Any]:
    origin = receipt.row_from and json.dumps((receipt.row_from.type, receipt.row_from.id, receipt.row_from.label))
    return vars(receipt) | {"at": receipt.at.isoformat(), "row_from": origin}


def _to_record(row: "Row[Any]") -> PredictionRecord:
    stored = {name: value for name, value in row._mapping.items() if name != "id"}
    origin = None if stored["row_from"] is None else Node(*json.loads(stored["row_from"]))
    return PredictionRecord(**stored | {"at": datetime.fromisoformat(stored["at"]), "row_from": origin})
