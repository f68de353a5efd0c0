"""What answers: an opened, registered model, whatever it was trained on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from polars import DataFrame

from epic22.core.artifact.answer_frame import build_answer_frame
from epic22.core.artifact.panel_bundle import PanelSchema
from epic22.core.artifact.portable_network import PortableNetwork
from epic22.core.artifact.prediction_request import PredictionRequest, RowsRequest
from epic22.core.artifact.request_model import RequestModel
from epic22.core.artifact.sealed import ModelSchema, TrainedBundle
from epic22.core.errors import ColumnError
from epic22.core.lineage import ModelVersion
from epic22.core.models.base import Capabilities
from epic22.core.prediction import Prediction
from epic22.core.task import Array, CellValue, Column, LossName
from epic22.core.time_series import Histories


@dataclass(frozen=True)
class ModelDescription:
    """What is told of a model's answers: the kind of its target, the classes, the share of outcomes that intervals or sets are
    made to hold (None: it states its own quantiles, or none), and of values what it makes small and whether by its logarithm."""

    kind: str
    classes: tuple[str, ...] = ()
    coverage: float | None = None
    loss: LossName | None = None
    log: bool | None = None


@dataclass(frozen=True)
class ModelRecipe:
    """How a model was trained where a family made it as it comes: which family, from which inputs, with which formulas."""

    family: str
    inputs: tuple[str, ...]
    formulas: tuple[str, ...]


class RequestSource(Protocol):
    """A table to be answered, read as a model of rows or of series needs it."""

    def read_rows(self, columns: tuple[Column, ...]) -> DataFrame:
        """The rows of the table, in the types of these columns. Raises FileError, ColumnError."""

    def read_row_batches(self, columns: tuple[Column, ...], n_at_once: int) -> Iterator[DataFrame]:
        """Its rows likewise, so many at a time, where it can be read so; whole otherwise."""

    def read_histories(self, schema: PanelSchema, is_whole: bool = False) -> Histories:
        """Its series as known at its end, laid out as those that the schema was trained on, whose values were whole numbers or
        not. Raises FileError, ColumnError."""


@dataclass(frozen=True)
class Model(ABC):
    """An opened, registered model that answers requests: which one it is, and what it is made of."""

    version: ModelVersion
    bundle: TrainedBundle
    data_type: ClassVar[str]
    """What it predicts from, rows or a panel, as the manifest names it."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """The columns that a row is asked for; none where a series is."""
        return ()

    @property
    def recipe(self) -> ModelRecipe | None:
        """How it was trained, by which another can be; None where a search or planned columns made it, or it answers no rows."""
        return None

    @property
    def name(self) -> str:
        """Which one it is, for messages."""
        return f"{self.version.task} version {self.version.version}"

    @property
    def schema(self) -> ModelSchema:
        """What it was trained to predict."""
        return self.bundle.schema

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What holds of its answers, and what it needs to be asked."""

    @property
    def costs(self) -> Mapping[str, float]:
        """What a miss and a false alarm cost; empty where nothing is decided by it."""
        return {}

    @property
    def floor(self) -> float | None:
        """What no answer of any row lies below; None where nothing is."""
        return None

    @property
    def answers_probability(self) -> bool:
        """Whether the value of an answer is the probability of an event."""
        return False

    @abstractmethod
    def get_network(self, member: str | None = None) -> PortableNetwork:
        """The network that it answers by, or that of a member of its combination. Raises UserError for a model without one."""

    @abstractmethod
    def describe(self) -> ModelDescription:
        """What is reported of its answers."""

    @abstractmethod
    def describe_value(self) -> str:
        """What the value of an answer is, in words."""

    @abstractmethod
    def request_model(self) -> RequestModel:
        """How it is asked."""

    @abstractmethod
    def example_row(self) -> Mapping[str, CellValue]:
        """A row that its request model takes."""

    @abstractmethod
    def read_request(self, source: RequestSource | None) -> PredictionRequest:
        """What a table asks of it; without one, all that it knows by itself. Raises UserError where it needs one."""

    def read_requests(self, source: RequestSource | None, n_at_once: int) -> Iterator[PredictionRequest]:
        """What a table asks of it, so many rows or series at a time."""
        whole = self.read_request(source)
        assert isinstance(whole, RowsRequest)
        for start in range(0, len(whole), n_at_once):
            yield RowsRequest(whole.rows[start : start + n_at_once], start + 1)

    @abstractmethod
    def predict(self, request: PredictionRequest, with_reasons: bool = True) -> tuple[Prediction, ...]:
        """One prediction a row, with its receipt. Raises RowError for a row that cannot be answered."""

    def predict_frame(self, request: PredictionRequest, with_reasons: bool = True) -> DataFrame:
        """The answers of `predict` as a frame, a row for each value (`ANSWER_SCHEMA`)."""
        return build_answer_frame(self.predict(request, with_reasons))

    def compute_responses(self, X: DataFrame) -> Array:
        """What metrics judge of each of these rows of inputs, (n,) or (n, k), uncalibrated; the model may have more.

        Raises ColumnError where it does not answer rows, or a column of its inputs is absent or of another type.
        """
        raise ColumnError(f"it answers a {self.data_type}, not rows")

    def list_warnings(self, row: Mapping[str, Any]) -> list[str]:
        """What the reader of this row's answer should know, in words."""
        return []
