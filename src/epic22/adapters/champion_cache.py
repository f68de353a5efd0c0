"""The shared registry as a server reads it: champions from memory, which a thread of its own asks for twice a second, and at each
notice of a promotion."""

from collections.abc import Mapping
from threading import Event, Lock, Thread
from time import monotonic

import structlog

from epic22.adapters.artifacts import Artifacts
from epic22.adapters.metadata.database import Database
from epic22.adapters.model_records import check_task_name
from epic22.adapters.shared_model_store import Notices, SharedModelStore
from epic22.core.errors import BundleError, StorageError, UnknownTaskError
from epic22.core.lineage import ModelVersion

POLL_SECONDS = 0.5
LEAST_SECONDS = 0.01
"""So long is waited between two times at least, however many notices come."""
STALE_SECONDS = 5.0
"""So long the database may be away before `list_tasks` says so; champions are answered from memory all the same."""


def _describe(error: Exception) -> str:
    """Why the champions were not read; of what nobody foresaw its kind and its first line."""
    if isinstance(error, StorageError):
        return str(error)
    return f"our mistake, {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"


class ServedModelStore(SharedModelStore):
    """A registry whose champions are at most `seconds` old, and the last known ones while the database does not answer."""

    def __init__(
        self, database: Database, artifacts: Artifacts, seconds: float = POLL_SECONDS, notices: Notices | None = None
    ) -> None:
        super().__init__(database, artifacts, notices)
        self.seconds = seconds
        self._champions: Mapping[str, ModelVersion] | None = None
        self._last_answer = 0.0
        self._lock, self._stop, self._wake = Lock(), Event(), Event()

    def champion(self, task: str) -> ModelVersion:
        """The task's champion, from memory."""
        champions = self._get_champions()
        if check_task_name(task) not in champions:
            names = ", ".join(sorted(champions)) or "none yet"
            raise UnknownTaskError(f"no champion for task {task!r}; tasks with one: {names}. Train it with 'epic22 train'.")
        return champions[task]

    def list_tasks(self) -> tuple[str, ...]:
        """The tasks that have a champion, by name. Raises BundleError where the database has not answered for seconds."""
        champions = self._get_champions()
        away = monotonic() - self._last_answer
        if away > STALE_SECONDS:
            raise BundleError(f"{self.database.place} has not answered for {away:.0f} s; the champions of before answer.")
        return tuple(sorted(champions))

    def stop(self) -> None:
        """Ask no more; what is known stays."""
        self._stop.set()
        self._wake.set()
        if self.notices is not None:
            self.notices.stop()

    def _get_champions(self) -> Mapping[str, ModelVersion]:
        """The champions by task; the first call waits for the database. Raises StorageError where that does not answer."""
        if self._champions is None:
            with self._lock:
                if self._champions is None:
                    self._champions = self._ask()
                    Thread(target=self._refresh, name="epic22-champions", daemon=True).start()
                    if self.notices is not None:
                        self.notices.listen(self._wake.set)
        return self._champions

    def _ask(self) -> Mapping[str, ModelVersion]:
        champions = self.list_champions()
        self._last_answer = monotonic()
        return champions

    def _is_stopped(self) -> bool:
        """Whether to ask no more, once it is time to ask again or a notice came; notices that come at once are asked for once."""
        self._wake.wait(self.seconds)
        self._stop.wait(LEAST_SECONDS)
        self._wake.clear()
        return self._stop.is_set()

    def _refresh(self) -> None:
        is_away = False
        while not self._is_stopped():
            try:
                self._champions = self._ask()
            except Exception as error:  # noqa: BLE001  whatever it is, it may pass, and without this thread no promotion is seen
                if not is_away:
                    structlog.get_logger().error("champions not read", reason=_describe(error))
                is_away = True
            else:
                if is_away:
                    structlog.get_logger().info("champions read again")
                is_away = False
