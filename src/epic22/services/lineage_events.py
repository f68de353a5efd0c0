"""Work reported as it happens: a start, then a completion with what came of it, or a failure with its reason."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from epic22.core.lineage import Dataset, DataVersion, ModelVersion, canonical_json, sha256
from epic22.core.ports import LineageEmitter, TableStore
from epic22.core.prediction import Prediction
from epic22.core.tables.versions import LakeVersion


@dataclass
class LineageRun:
    """A piece of work under way; what it read and wrote is added as it becomes known."""

    inputs: list[Dataset]
    outputs: list[Dataset] = field(default_factory=list)


@contextmanager
def emit_lineage(lineage: LineageEmitter, job: str, inputs: Sequence[Dataset]) -> Iterator[LineageRun]:
    """Tell that the work inside begins, and how it ends. An error passes on as it is."""
    work = LineageRun(list(inputs))
    run = lineage.start(job, inputs)
    try:
        yield work
    except BaseException as error:
        lineage.fail(job, run, work.inputs, f"{type(error).__name__}: {error}")
        raise
    lineage.complete(job, run, work.inputs, work.outputs)


def list_table_datasets(version: LakeVersion) -> tuple[Dataset, ...]:
    """The tables of a version that have rows, each at its own version."""
    tables = version.tables.items()
    return tuple(Dataset("table", name, str(t.delta_version), t.digest, t.rows) for name, t in tables if t.rows)


def list_source_datasets(sources: Sequence[tuple[str, str]]) -> tuple[Dataset, ...]:
    """Files as (name, sha256)."""
    return tuple(Dataset("source", name, digest, digest) for name, digest in dict.fromkeys(sources))


def list_data_datasets(data: DataVersion, table_store: TableStore) -> tuple[Dataset, ...]:
    """What a model learns from: the tables of a stored version, else the files."""
    return list_source_datasets(data.sources) if data.number is None else list_table_datasets(table_store.version(data.number))


def build_model_dataset(version: ModelVersion) -> Dataset:
    """A registered model."""
    return Dataset("model", version.task, version.version, version.model_hash)


def build_prediction_dataset(task: str, predictions: Sequence[Prediction]) -> Dataset:
    """A batch of answers, told apart by their receipts."""
    digest = sha256(canonical_json([prediction.receipt for prediction in predictions]))
    return Dataset("predictions", task, digest, digest, len(predictions))
