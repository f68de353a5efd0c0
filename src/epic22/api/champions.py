"""The opened champions, kept in memory; a new one is picked up by the next request."""

from dataclasses import dataclass
from threading import Lock
from time import monotonic

import structlog

from epic22.api.bodies import Body, body_of
from epic22.api.panel_bodies import panel_body_of
from epic22.core.bundle import Bundle
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.lineage import ModelVersion
from epic22.core.panel_bundle import PanelBundle
from epic22.core.ports import Registry

RETRY_SECONDS = 10.0
"""A version that could not be opened is tried again after so long: it may be mended in place."""

UNREADABLE = (BundleError, OSError, LookupError, TypeError, ValueError, AttributeError)
"""What a registry may meet in files that somebody altered or has not finished writing."""


@dataclass(frozen=True)
class Champion:
    """A champion ready to answer: its version, its opened bundle, and how it is asked."""

    version: ModelVersion
    bundle: Bundle | PanelBundle
    body: Body


@dataclass(frozen=True)
class _Failure:
    version: ModelVersion
    until: float


class Champions:
    """The champions of a registry. A new version that cannot be opened leaves the old one answering."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._opened: dict[str, Champion] = {}
        self._failed: dict[str, _Failure] = {}
        self._lock = Lock()

    def ready(self, task: str) -> Champion | None:
        """The task's champion where it is open already, without waiting; raises UnknownTaskError."""
        kept = self._opened.get(task)
        if kept is None:
            return None
        try:
            return kept if self._named(task) == kept.version else None
        except BundleError:
            return None

    def get(self, task: str) -> Champion:
        """The task's champion, opened if need be. Raises UnknownTaskError; BundleError where none can be opened."""
        try:
            version = self._named(task)
        except BundleError as error:
            return self._fallback(task, str(error))
        with self._lock:
            return self._current(task, version)

    def all(self) -> tuple[Champion, ...]:
        """Every champion that can be opened, by task; what cannot is logged."""
        found = []
        for task in self.registry.tasks():
            try:
                found.append(self.get(task))
            except (BundleError, UnknownTaskError):
                continue
        return tuple(found)

    def _named(self, task: str) -> ModelVersion:
        """The version the pointer names. Raises UnknownTaskError; BundleError where the pointer leads nowhere."""
        try:
            return self.registry.champion(task)
        except UnknownTaskError:
            if task not in self.registry.tasks():
                raise
            raise BundleError(f"{task}: its champion is a version that is not there.") from None
        except UNREADABLE as error:
            raise BundleError(f"{task}: its champion cannot be told ({type(error).__name__}: {error}).") from error

    def _current(self, task: str, version: ModelVersion) -> Champion:
        kept, failed = self._opened.get(task), self._failed.get(task)
        if kept is not None and kept.version == version:
            return kept
        if failed is not None and failed.version == version and monotonic() < failed.until:
            return self._fallback(task)
        try:
            version, bundle = self.registry.load(task, version.version)
            body = panel_body_of(bundle.schema) if isinstance(bundle, PanelBundle) else body_of(bundle.schema)
            opened = Champion(version, bundle, body)
        except (UnknownTaskError, *UNREADABLE) as error:
            self._failed[task] = _Failure(version, monotonic() + RETRY_SECONDS)
            return self._fallback(task, f"{type(error).__name__}: {error}")
        self._opened[task] = opened
        return opened

    def _fallback(self, task: str, reason: str | None = None) -> Champion:
        """The champion of before; the reason is logged where it is new."""
        kept = self._opened.get(task)
        if reason is not None:
            serving = None if kept is None else kept.version.version
            structlog.get_logger().error("champion not opened", task=task, still_serving=serving, reason=reason)
        if kept is None:
            raise BundleError(f"{task}: no model of it can be opened.")
        return kept
