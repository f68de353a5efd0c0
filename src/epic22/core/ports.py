"""What services need from the outside, as protocols; adapters fulfil them and bootstrap brings both together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from epic22.core.bundle import Bundle
from epic22.core.evaluation.compare import Verdict
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.panel_bundle import PanelBundle


class Registry(Protocol):
    """Where bundles are kept, and which of them is champion."""

    def folder(self, task: str, version: str) -> Path:
        """Where a version's files are; the bundle is in `bundle/` below it."""

    def save(self, task: str, family: str, model_hash: str, data_version: str, status: str, folder: Path) -> ModelVersion:
        """Take a written bundle folder in as the task's next version, whole or not at all."""

    def load(self, task: str, version: str | None = None) -> tuple[ModelVersion, Bundle | PanelBundle]:
        """Open a version, the champion where None. Raises UnknownTaskError, BundleError."""

    def champion(self, task: str) -> ModelVersion:
        """The task's champion. Raises UnknownTaskError."""

    def promote(self, task: str, version: str, because: Sequence[Verdict]) -> None:
        """Make a version champion, atomically, with the reasons kept."""

    def history(self, task: str) -> tuple[ModelVersion, ...]:
        """All versions of a task, oldest first."""

    def tasks(self) -> tuple[str, ...]:
        """The tasks that have a champion, by name."""


@dataclass(frozen=True)
class Tracked:
    """A family's figures for a tracker: `scores` by name with value, low and high; `steps` a score's values fold by fold, or
    horizon by horizon."""

    family: str
    scores: Mapping[str, tuple[float, float, float]]
    steps: Mapping[str, tuple[float, ...]]
    fit_seconds: float
    row_ms: float

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Tracked":
        """Of an evaluation on folds."""
        scores = {s.metric: (s.value, s.low, s.high) for s in evaluation.scores}
        folds = {f"{s.metric}_fold": s.folds for s in evaluation.scores}
        return cls(evaluation.family, scores, folds, evaluation.fit_seconds, evaluation.row_ms)


@dataclass(frozen=True)
class RunRecord:
    """What a tracker writes down of a training: one run for each family, below one for the training."""

    version: ModelVersion
    data_version: DataVersion
    parameters: Mapping[str, str]
    leaderboard: tuple[Tracked, ...]
    bundle: Path
    report: Path
    pictures: Mapping[str, bytes]


class Tracker(Protocol):
    """Where runs are written down for people to compare."""

    def record(self, run: RunRecord) -> str:
        """Write a finished training down with its files; gives the tracker's own run id."""

    def mark_champion(self, version: ModelVersion) -> None:
        """Mirror the registry's champion."""
