"""Answers written to a file: of the rows of a file, a batch at a time however many there are, or of a stored portfolio."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from epic22.adapters.answer_files import check_answer_file, open_answer_file
from epic22.adapters.export_log import note_export
from epic22.bootstrap.components import Components
from epic22.bootstrap.portfolio_predictions import PortfolioPredictions
from epic22.bootstrap.predictions import ALL_SERIES, RequestFile
from epic22.core.artifact.answer_frame import find_first_rows
from epic22.core.artifact.model import Model
from epic22.core.data.files import hash_file
from epic22.core.errors import UserError
from epic22.core.lineage import Dataset, ModelVersion, Node, ReceiptBatch, file_sha256
from epic22.core.progress import Progress
from epic22.services.batch_answers import BatchSettings, answer_batches, count_rows_at_once
from epic22.services.lineage_events import build_model_dataset, emit_lineage, list_source_datasets


@dataclass(frozen=True)
class FileRequest:
    """The rows of a file, or without one all series that a forecast knows, for a task's champion or a version of it."""

    task: str
    path: Path | None = None
    version: str | None = None
    with_reasons: bool = True


@dataclass(frozen=True)
class WrittenAnswers:
    """A file of answers: whose they are, how many rows of answers it has and of how many rows or series, where it is."""

    task: str
    model: ModelVersion
    rows: int
    answers: int
    path: Path


def write_answers(components: Components, request: FileRequest, out: Path, progress: Progress = Progress()) -> WrittenAnswers:
    """Predict a file into another, in bounded memory on as many threads as the settings say.

    Raises UserError for a file whose name ends otherwise than a format's, FileError, ColumnError and RowError for rows that
    cannot be read.
    """
    check_answer_file(out)
    if request.path is not None and request.path.resolve() == out.resolve():
        raise UserError(f"--out {out} is the file that is predicted; name another, so that its rows stay.")
    note_export(components.settings.home, out, request.task)
    with emit_lineage(components.lineage, f"predict.{request.task}", ()) as work:
        model = components.registry.load(request.task, request.version)
        path = request.path
        row_from = Node("source", hash_file(path), str(path)) if path is not None else _describe_training(model)
        work.inputs += () if path is None else list_source_datasets([(row_from.label, row_from.id)])
        counts = _write_batches(components, model, request, out, row_from, progress)
        work.inputs.append(build_model_dataset(model.version))
        work.outputs.append(Dataset("predictions", request.task, file_sha256(out), rows=counts.rows))
    return WrittenAnswers(request.task, model.version, counts.rows, counts.answers, out)


def export_portfolio(components: Components, predicted: PortfolioPredictions, out: Path) -> WrittenAnswers:
    """Write the stored rows of a request to a file, those that are acted on first."""
    rows = predicted.rows.sort("rank", nulls_last=True, maintain_order=True)
    check_answer_file(out)
    note_export(components.settings.home, out, predicted.task)
    with open_answer_file(out) as add_answers:
        add_answers(rows)
    return WrittenAnswers(predicted.task, predicted.model, rows.height, predicted.entities, out)


def _describe_training(model: Model) -> Node:
    return Node("data version", model.version.data_version, "the last known values of training")


@dataclass
class _Counts:
    rows: int = 0
    answers: int = 0


def _write_batches(
    components: Components, model: Model, request: FileRequest, out: Path, row_from: Node, progress: Progress
) -> _Counts:
    n_at_once, counts = count_rows_at_once(model), _Counts()
    source = None if request.path is None else RequestFile(request.path, progress.note)
    n_rows = None if source is None else source.count_rows()
    if request.path is not None or model.capabilities.needs_sequences:
        what, about = (ALL_SERIES, "") if request.path is None else ("predicting …", request.path.name)
        progress.begin(what, 0 if n_rows is None else -(-n_rows // n_at_once), about=about)
    settings = BatchSettings(components.settings.threads, request.with_reasons)
    with open_answer_file(out) as add_answers:
        for answers in answer_batches(model, model.read_requests(source, n_at_once), settings):
            add_answers(answers)
            batch = _build_receipts(model.version, answers, row_from)
            components.prediction_log.add_batch(batch)
            counts.rows, counts.answers = counts.rows + answers.height, counts.answers + len(batch.receipts)
            progress.step()
    return counts


def _build_receipts(version: ModelVersion, answers: pl.DataFrame, row_from: Node) -> ReceiptBatch:
    """The receipts of answers, of which one with several horizons has as many rows."""
    firsts = answers[find_first_rows(answers)]
    now = datetime.now(UTC).replace(tzinfo=None)
    return ReceiptBatch(version, firsts["receipt"].to_list(), firsts["entity"].to_list(), now, row_from)
