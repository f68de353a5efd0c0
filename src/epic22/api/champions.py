"""The opened champions, kept in memory; a new one is picked up by the next request."""

from dataclasses import dataclass
from threading import Lock

import structlog
from pydantic import BaseModel

from epic22.api.bodies import body_model
from epic22.core.bundle import Bundle
from epic22.core.errors import BundleError
from epic22.core.lineage import ModelVersion
from epic22.core.ports import Registry


@dataclass(frozen=True)
class Champion:
    """A champion ready to answer: its version, its opened bundle, and the model its requests must fit."""

    version: ModelVersion
    bundle: Bundle
    body: type[BaseModel]


class Champions:
    """The champions of a registry. A new version that cannot be opened leaves the old one answering."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._opened: dict[str, Champion] = {}
        self._lock = Lock()

    def get(self, task: str) -> Champion:
        """The task's champion. Raises UnknownTaskError; BundleError where none can be opened."""
        kept = self._opened.get(task)
        try:
            version = self.registry.champion(task)
            if kept is not None and kept.version == version:
                return kept
            with self._lock:
                return self._open(task, version)
        except BundleError as error:
            if kept is None:
                raise
            structlog.get_logger().error("new champion not opened, old one answers", task=task, reason=str(error))
            return kept

    def _open(self, task: str, version: ModelVersion) -> Champion:
        kept = self._opened.get(task)
        if kept is None or kept.version != version:
            version, bundle = self.registry.load(task, version.version)
            kept = Champion(version, bundle, body_model(bundle.schema))
            self._opened[task] = kept
        return kept

    def all(self) -> tuple[Champion, ...]:
        """Every champion that can be opened, by task; the others are logged."""
        found = []
        for task in self.registry.tasks():
            try:
                found.append(self.get(task))
            except BundleError as error:
                structlog.get_logger().error("champion not opened", task=task, reason=str(error))
        return tuple(found)
