"""Where MLflow keeps its tables and the runs' files: what a home and a server have in common."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from epic22.adapters.file_store import FileStore

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class TrackingStore(Protocol):
    """Where MLflow keeps its tables and the runs' files: below a home, or on a server that several machines share."""

    @property
    def place(self) -> str:
        """Where the tables are, for people."""

    @property
    def files(self) -> FileStore:
        """The runs' files, `<task>/<run>/artifacts/…`."""

    def prepare(self) -> None:
        """Mend what can be mended before a training begins. Raises StorageError for what would be refused after it."""

    def lock(self) -> AbstractContextManager[None]:
        """Wait until no other process writes to the store, and keep the others waiting. Raises StorageError, one sentence, for
        what is refused inside."""

    def read(self) -> AbstractContextManager["MlflowClient"]:
        """A client for reading alone, no other process writes meanwhile. Raises StorageError, one sentence, also for what is
        refused inside."""

    def open(self) -> "MlflowClient":
        """A client on the tables, which are made where there are none; to be called under the lock. Raises StorageError."""
