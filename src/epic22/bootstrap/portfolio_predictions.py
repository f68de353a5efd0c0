"""Predictions of a feature for its whole portfolio: worked out once a request, stored in one commit, with their receipts."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from epic22.adapters.erasure_journal import refuse_pending_erasure
from epic22.adapters.scratch import scratch_folder
from epic22.bootstrap.components import Components
from epic22.bootstrap.predictions import BoundFeature, FeatureMoment, bind_feature
from epic22.bootstrap.stores import SCRATCH, open_lake
from epic22.core.errors import LakeBusyError, UnknownTaskError, UserError
from epic22.core.lineage import Dataset, ModelVersion, Node, ReceiptBatch
from epic22.core.progress import Progress
from epic22.features.catalog import FEATURES
from epic22.services.batch_answers import BatchSettings
from epic22.services.decide import refuse_other_type
from epic22.services.lineage_events import build_model_dataset, emit_lineage, list_table_datasets
from epic22.services.portfolio_predictions import PortfolioRequest, predict_entities

RECEIPTS_AT_ONCE = 50_000


@dataclass(frozen=True)
class PortfolioPredictions:
    """What is stored of a request: where, under which id, in which version of the table, and whether it was there before.

    `entities` is of how many, `listed` how many of them are on the list of decisions, `saving` what acting on these is expected
    to save; None where the model has no costs. `value_name` says what values are, `is_probability` whether they
    are probabilities; `rows` are the stored ones, an entity after another.
    """

    task: str
    request: str
    model: ModelVersion
    at: datetime
    data_version: int
    capacity: int
    in_sample: bool
    table: str
    table_version: int
    is_new: bool
    entities: int
    listed: int
    saving: float | None
    value_name: str
    is_probability: bool
    rows: pl.DataFrame


def predict_portfolio(
    components: Components, query: FeatureMoment, with_reasons: bool = True, progress: Progress = Progress()
) -> PortfolioPredictions:
    """Every eligible entity of a feature at a moment, predicted and stored; what was stored by the same request before is read.

    Raises UserError for a task that is no feature, UnknownTaskError for one without a champion, ColumnError where nobody is
    eligible, LakeBusyError where the data version was changed meanwhile.
    """
    name = query.name
    _refuse_other_tasks(components, name)
    stored = components.table_store.resolve_version(query.data_number)
    with emit_lineage(components.lineage, f"predict.{name}", list_table_datasets(stored)) as work:
        progress.begin(f"{name}: reading the tables", 1)
        bound = bind_feature(components, replace(query, data_number=stored.number), progress)
        refuse_other_type(bound.model, bound.data)
        request = PortfolioRequest(bound.model.version, bound.stored, bound.at, bound.capacity, bound.in_sample, with_reasons)
        progress.step()
        before = components.predictions.find_version(name, request.id)
        version = _predict_and_store(components, bound, request, progress) if before is None else before
        rows = _read_and_note(components, request)
        work.inputs.append(build_model_dataset(request.model))
        work.outputs.append(Dataset("predictions", name, request.id, rows=rows.height))
    listed = rows.filter("is_listed")
    return PortfolioPredictions(
        task=name,
        request=request.id,
        model=request.model,
        at=request.at,
        data_version=request.data.number,
        capacity=request.capacity,
        in_sample=request.in_sample,
        table=components.predictions.files.locate(name),
        table_version=version,
        is_new=before is None,
        entities=rows["entity"].n_unique(),
        listed=listed.height,
        # Exact, so that the order in which a library adds makes no other sum than that of `decide`.
        saving=math.fsum(listed["saving"].drop_nulls()) if rows["saving"].count() else None,
        value_name=bound.model.describe_value(),
        is_probability=bound.model.answers_probability,
        rows=rows,
    )


def _refuse_other_tasks(components: Components, name: str) -> None:
    names = [feature.name for feature in FEATURES]
    if name in names:
        return
    if components.registry.find_champion(name) is None:
        raise UnknownTaskError(f"no feature {name!r}; there are {', '.join(names)}.")
    raise UserError(
        f"task {name} was trained on a file of yours, which is not among the stored tables: name a file with its rows instead of "
        f"--portfolio, which predicts features: {', '.join(names)}."
    )


def _predict_and_store(components: Components, bound: BoundFeature, request: PortfolioRequest, progress: Progress) -> int:
    tables, name = components.predictions, request.model.task
    settings = BatchSettings(components.settings.threads, request.with_reasons)
    with _open_staging(components) as folder:
        parts = predict_entities(bound.model, bound.data, request, folder, settings, progress)
        with tables.lock():
            _refuse_changed_data(components, request)
            version = tables.find_version(name, request.id)
            return tables.add(name, request.id, parts) if version is None else version


@contextmanager
def _open_staging(components: Components) -> Iterator[Path]:
    """A folder on the disk of the tables, so that files are moved and not copied."""
    with scratch_folder(components.predictions.staging or components.settings.home / SCRATCH) as folder:
        yield folder


def _refuse_changed_data(components: Components, request: PortfolioRequest) -> None:
    """Raise LakeBusyError where a person was erased from the data version since it was read."""
    refuse_pending_erasure(open_lake(components.settings).files)
    if components.table_store.version(request.data.number).id != request.data.id:
        raise LakeBusyError(f"data version {request.data.number} was changed by an erasure meanwhile; predict again.")


def _read_and_note(components: Components, request: PortfolioRequest) -> pl.DataFrame:
    """The stored rows of a request, whose receipts are noted; under the lock, so that an erasure finds all that is noted."""
    tables = components.predictions
    with tables.lock():
        rows = tables.scan(request.model.task, request.id).sort("entity", "horizon", maintain_order=True).collect()
        _log_receipts(components, request, rows)
    return rows


def _log_receipts(components: Components, request: PortfolioRequest, rows: pl.DataFrame) -> None:
    """Note the receipts of a request that are not noted yet: a process that was killed may have noted none or some of them."""
    answers = rows.select("receipt", "entity").unique(maintain_order=True)
    origin = Node("data version", str(request.data.number), f"data version {request.data.number}, request {request.id}")
    if not answers.height or _is_noted(components, answers["receipt"][-1], origin):
        return
    noted = {(one.receipt, one.entity) for one in components.prediction_log.iterate_receipts() if one.row_from == origin}
    lacking = answers.filter(pl.Series([row not in noted for row in answers.iter_rows()], dtype=pl.Boolean))
    now = datetime.now(UTC).replace(tzinfo=None)
    for part in lacking.iter_slices(RECEIPTS_AT_ONCE):
        batch = ReceiptBatch(request.model, part["receipt"].to_list(), part["entity"].to_list(), now, origin)
        components.prediction_log.add_batch(batch)


def _is_noted(components: Components, receipt: str, origin: Node) -> bool:
    return any(one.row_from == origin for one in components.prediction_log.find_receipts(receipt))
