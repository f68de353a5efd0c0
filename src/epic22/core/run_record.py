"""What a tracker writes down of a training: the run, the families that were raced in it, and the trials of its search."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from epic22.core.column import CellValue
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.lineage import DataVersion, ModelVersion


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a search: what was tried on which training `part`, the deciding metric's mean `value` over its inner folds and
    in each of them, how long it kept the cores busy, and where it was pruned, in words, "" where it was not."""

    number: int
    part: str
    family: str
    parameters: Mapping[str, str]
    metric: str
    value: float
    folds: tuple[float, ...]
    seconds: float
    pruned: str = ""


@dataclass(frozen=True)
class FamilyRecord:
    """A family's figures for a tracker: `scores` by name with value, low and high; `steps` a score's values fold by fold, or
    horizon by horizon; the `trials` of its search, where it is one."""

    family: str
    scores: Mapping[str, tuple[float, float, float]]
    steps: Mapping[str, tuple[float, ...]]
    fit_seconds: float
    ms_per_row: float
    trials: tuple[TrialRecord, ...] = ()

    @classmethod
    def of(cls, evaluation: Evaluation, trials: tuple[TrialRecord, ...] = ()) -> "FamilyRecord":
        """Of an evaluation on folds."""
        scores = {s.metric: (s.value, s.low, s.high) for s in evaluation.scores}
        folds = {f"{s.metric}_fold": s.folds for s in evaluation.scores}
        return cls(evaluation.family, scores, folds, evaluation.fit_seconds, evaluation.ms_per_row, trials)


@dataclass(frozen=True)
class InputRecord:
    """What a model is asked: its columns by name, each with whether it must be there (none of a panel, which is asked as it was
    laid out), and a request that fits."""

    columns: Mapping[str, bool]
    example: Mapping[str, CellValue]


@dataclass(frozen=True)
class RunRecord:
    """What a tracker writes down of a training: one run for each family, below one for the training, whose own `metrics` stand
    beside the scores.

    `environment` is what it ran in and on, by name; `started_at` when it began, in seconds since 1970, None where nobody looked.
    `id` is that of its own run: a later attempt at the same training has the same, and its record takes the place of the first.
    """

    version: ModelVersion
    data_version: DataVersion
    parameters: Mapping[str, str]
    leaderboard: tuple[FamilyRecord, ...]
    bundle: Path
    report: Path
    figures: Mapping[str, bytes]
    metrics: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    started_at: float | None = None
    task_file: Path | None = None
    inputs: InputRecord | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
