"""A control group of Linux, version 2, that holds the memory of a job's processes: by option, and measured on no machine yet."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from epic22.core.errors import UserError
from epic22.core.job import AttemptId


def require_memory_control(folder: Path) -> None:
    """Raise UserError for a folder of no control group, or of one whose groups cannot hold memory."""
    control = folder / "cgroup.subtree_control"
    if not control.is_file() or "memory" not in control.read_text().split():
        raise UserError(
            f"--control-group {folder}: its groups cannot hold memory; name a folder of control groups, version 2, whose "
            "cgroup.subtree_control has 'memory', or leave it out."
        )


@dataclass(frozen=True)
class ControlGroup:
    """A group for an attempt, below a folder that the user may make groups in and whose `cgroup.subtree_control` has memory.

    The kernel then ends all its processes at once where they would hold more than the limit, between two looks of the worker too.
    """

    parent: Path
    attempt: AttemptId

    @property
    def folder(self) -> Path:
        """The group's own folder."""
        return self.parent / f"epic22-{self.attempt.job}-{self.attempt.number}"

    def hold(self, process_id: int, limit: int | None) -> None:
        """Take a process into the group, whose processes together hold at most `limit` bytes. Raises UserError."""
        try:
            self.folder.mkdir(exist_ok=True)
            if limit is not None:
                (self.folder / "memory.max").write_text(str(limit))
                (self.folder / "memory.oom.group").write_text("1")
            (self.folder / "cgroup.procs").write_text(str(process_id))
        except OSError as error:
            raise UserError(
                f"{self.parent}: no control group for memory can be made there ({error.strerror}); name a folder of the second "
                "version of control groups that was handed to this user, or leave it out."
            ) from None

    def remove(self) -> None:
        """Remove the group, once its processes have ended."""
        with suppress(OSError):
            self.folder.rmdir()
