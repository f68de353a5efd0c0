"""The opened champions, kept in memory; a new one is picked up by the next request."""

from dataclasses import dataclass
from threading import Lock
from time import monotonic

import structlog

from epic22.core.artifact.model import Model
from epic22.core.artifact.request_model import RequestModel
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.lineage import ModelVersion
from epic22.core.ports import Registry

RETRY_SECONDS = 10.0
"""A version that could not be opened is tried again after so long: it may be mended in place."""

UNREADABLE = (BundleError, OSError, LookupError, TypeError, ValueError, AttributeError)
"""What a registry may meet in files that somebody altered or has not finished writing."""


@dataclass(frozen=True)
class CachedModel:
    """A champion ready to answer, with its request model, which is built once."""

    model: Model
    request_model: RequestModel

    @property
    def version(self) -> ModelVersion:
        """Which model it is."""
        return self.model.version


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
        self._lock = Lock()

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
        with self._lock:
            return self._load_current(task, version)

    def load_all(self) -> tuple[CachedModel, ...]:
        """Every champion that can be opened, by task; what cannot is logged."""
        champions = []
        for task in self.registry.list_tasks():
            try:
                champions.append(self.get(task))
            except (BundleError, UnknownTaskError):
                continue
        return tuple(champions)

    def _read_champion(self, task: str) -> ModelVersion:
        """The version the pointer names. Raises UnknownTaskError; BundleError where the pointer leads nowhere."""
        try:
            return self.registry.champion(task)
        except UnknownTaskError:
            if task not in self.registry.list_tasks():
                raise
            raise BundleError(f"{task}: its champion is a version that is not there.") from None
        except UNREADABLE as error:
            raise BundleError(f"{task}: its champion cannot be read ({type(error).__name__}: {error}).") from error

    def _load_current(self, task: str, version: ModelVersion) -> CachedModel:
        previous, failure = self._loaded.get(task), self._failed.get(task)
        if previous is not None and previous.version == version:
            return previous
        if failure is not None and failure.version == version and monotonic() < failure.until:
            return self._use_previous(task)
        try:
            model = self.registry.load(task, version.version)
            loaded = CachedModel(model, model.request_model())
        except (UnknownTaskError, *UNREADABLE) as error:
            self._failed[task] = _Failure(version, monotonic() + RETRY_SECONDS)
            return self._use_previous(task, f"{type(error).__name__}: {error}")
        self._loaded[task] = loaded
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
