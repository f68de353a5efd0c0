"""The opened champions, kept in memory; a new one is picked up by the next request, and one that fails leaves the old one."""

from dataclasses import dataclass, replace
from threading import Lock, Thread
from time import monotonic, perf_counter

import structlog
from pydantic import ValidationError

from epic22.api.responses import ColumnAnswer, DegradedTask, ModelAnswer, TaskAnswer
from epic22.api.task_document import TaskDocument, build_task_document
from epic22.core.artifact.model import Model
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.artifact.request_model import RequestModel
from epic22.core.errors import BundleError, UnknownTaskError, UserError
from epic22.core.lineage import ModelVersion
from epic22.core.ports import Registry
from epic22.core.prediction import PREDICTION_VIEWS
from epic22.core.serialization import to_json

RETRY_SECONDS = 10.0
"""A version that could not be opened is tried again after so long: it may be mended in place."""
QUICK_SECONDS = 0.005
QUICK_ROWS = 50
"""So much may be answered on the event loop, by rows and by the time that they take; more would keep other requests waiting."""
TIMED_ANSWERS = 5
POINTER_UNREADABLE, MODEL_UNREADABLE, MODEL_OPENING = "pointer-unreadable", "model-unreadable", "model-opening"
"""Why a task is degraded, as `/health` says it; the log has the reason."""


@dataclass(frozen=True)
class CachedModel:
    """A champion ready to answer, with all that any answer needs of it: what cannot be made of it fails when it is opened, and
    not in a request. `quick_rows` are so many rows as it answers in `QUICK_SECONDS`."""

    model: Model
    request_model: RequestModel
    task: TaskAnswer
    document: TaskDocument
    quick_rows: int

    @property
    def version(self) -> ModelVersion:
        """Which model it is."""
        return self.model.version


def prepare_model(model: Model) -> CachedModel:
    """The model with its descriptions, timed."""
    request_model = model.request_model()
    return CachedModel(
        model,
        request_model,
        _describe_task(model, request_model),
        build_task_document(model, request_model),
        _count_quick_rows(model, request_model),
    )


def _describe_task(model: Model, request_model: RequestModel) -> TaskAnswer:
    schema = model.schema
    columns = (replace(column, optional=not request_model.must_name(column.name)) for column in request_model.columns)
    return TaskAnswer(
        task=schema.task,
        about=schema.about,
        target=schema.target,
        **to_json(model.describe()),
        model=ModelAnswer(**to_json(model.version, PREDICTION_VIEWS)),
        columns=[ColumnAnswer.model_validate(column, from_attributes=True) for column in columns],
    )


def _count_quick_rows(model: Model, request_model: RequestModel) -> int:
    """How many rows are answered in `QUICK_SECONDS`, by the quickest of a few answers to the example row.

    None of a model of series, whose rows cost what their values do, nor of one that refuses its example. What fails in any other
    way would fail in a request: then it does so here, before the model takes another's place.
    """
    if model.capabilities.needs_sequences:
        return 0
    try:
        request = RowsRequest([request_model.row.model_validate(dict(model.example_row())).model_dump(by_alias=True)])
        seconds = min(_time_answer(model, request) for _ in range(TIMED_ANSWERS))
    except (UserError, ValidationError):
        return 0
    return min(QUICK_ROWS, int(QUICK_SECONDS / max(seconds, 1e-9)))


def _time_answer(model: Model, request: RowsRequest) -> float:
    began = perf_counter()
    model.predict(request)
    return perf_counter() - began


@dataclass(frozen=True)
class _Failure:
    version: ModelVersion
    until: float


class ModelCache:
    """The champions of a registry. A new version that cannot be opened leaves the old one answering."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._loaded: dict[str, CachedModel] = {}
        self._failed: dict[str, _Failure] = {}
        # One a task: a model that is slow to open keeps no other task waiting.
        self._locks: dict[str, Lock] = {}
        self._opening: Thread | None = None
        self._opening_lock = Lock()

    def peek(self, task: str) -> CachedModel | None:
        """The task's champion where it is open already, without waiting; raises UnknownTaskError."""
        loaded = self._loaded.get(task)
        if loaded is None:
            return None
        try:
            return loaded if self._read_champion(task) == loaded.version else None
        except BundleError:
            return None

    def get(self, task: str) -> CachedModel:
        """The task's champion, opened if need be. Raises UnknownTaskError; BundleError where none can be opened."""
        try:
            version = self._read_champion(task)
        except BundleError as error:
            return self._use_previous(task, str(error))
        with self._locks.setdefault(task, Lock()):
            return self._load_current(task, version)

    def list_tasks(self) -> tuple[str, ...]:
        """The tasks of the registry, by name; where that cannot be read, those that are open."""
        return self.registry.list_tasks() if self.can_list_tasks() else tuple(sorted(self._loaded))

    def can_list_tasks(self) -> bool:
        """Whether the registry says which tasks there are; why not is logged."""
        try:
            self.registry.list_tasks()
        except BundleError as error:
            structlog.get_logger().error("tasks not listed", reason=str(error))
            return False
        return True

    def load_all(self) -> tuple[CachedModel, ...]:
        """Every champion that can be opened, by task; what cannot is logged."""
        champions = []
        for task in self.list_tasks():
            try:
                champions.append(self.get(task))
            except (BundleError, UnknownTaskError):
                continue
        return tuple(champions)

    def list_degraded(self, seconds: float) -> tuple[DegradedTask, ...]:
        """The tasks whose champion does not answer, by name. Those that nobody asked yet are opened first, in a thread that is
        waited for so long."""
        states = [self._check_task(task) for task in self.list_tasks()]
        is_new = any(state.reason == MODEL_OPENING for state in states)
        if is_new or any(state.expired for state in states):
            self._open_all(seconds if is_new else 0.0)
            states = [self._check_task(state.task) for state in states]
        return tuple(
            DegradedTask(task=state.task, reason=state.reason, serving=self._get_serving(state.task))
            for state in states
            if state.reason is not None
        )

    def _check_task(self, task: str) -> "_TaskState":
        try:
            version = self._read_champion(task)
        except BundleError:
            return _TaskState(task, POINTER_UNREADABLE)
        except UnknownTaskError:
            return _TaskState(task)
        loaded, failure = self._loaded.get(task), self._failed.get(task)
        if loaded is not None and loaded.version == version:
            return _TaskState(task)
        if failure is not None and failure.version == version:
            return _TaskState(task, MODEL_UNREADABLE, expired=monotonic() >= failure.until)
        return _TaskState(task, MODEL_OPENING)

    def _open_all(self, seconds: float) -> None:
        with self._opening_lock:
            if self._opening is None or not self._opening.is_alive():
                # A daemon: a model that is slow to open keeps nobody from stopping the server.
                self._opening = Thread(target=self.load_all, name="epic22-open", daemon=True)
                self._opening.start()
            opening = self._opening
        opening.join(seconds)

    def _get_serving(self, task: str) -> str | None:
        loaded = self._loaded.get(task)
        return None if loaded is None else loaded.version.version

    def _read_champion(self, task: str) -> ModelVersion:
        """The version the pointer names. Raises UnknownTaskError; BundleError where the pointer leads nowhere."""
        try:
            return self.registry.champion(task)
        except UnknownTaskError:
            if task not in self.registry.list_tasks():
                raise
            raise BundleError(f"{task}: its champion is a version that is not there.") from None
        except Exception as error:
            raise BundleError(f"{task}: its champion cannot be read ({type(error).__name__}: {error}).") from error

    def _load_current(self, task: str, version: ModelVersion) -> CachedModel:
        previous, failure = self._loaded.get(task), self._failed.get(task)
        if previous is not None and previous.version == version:
            return previous
        if failure is not None and failure.version == version and monotonic() < failure.until:
            return self._use_previous(task)
        try:
            loaded = prepare_model(self.registry.load(task, version.version))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever is wrong with one task's files, a library's panic too
            self._failed[task] = _Failure(version, monotonic() + RETRY_SECONDS)
            return self._use_previous(task, f"{type(error).__name__}: {error}")
        self._loaded[task] = loaded
        self._failed.pop(task, None)
        return loaded

    def _use_previous(self, task: str, reason: str | None = None) -> CachedModel:
        """The champion of before; the reason is logged where it is new."""
        previous = self._loaded.get(task)
        if reason is not None:
            serving = None if previous is None else previous.version.version
            structlog.get_logger().error("champion not opened", task=task, still_serving=serving, reason=reason)
        if previous is None:
            raise BundleError(f"{task}: no model of it can be opened.")
        return previous


@dataclass(frozen=True)
class _TaskState:
    """What is known of a task's champion: why it is degraded, and whether it is time to try it again."""

    task: str
    reason: str | None = None
    expired: bool = False
