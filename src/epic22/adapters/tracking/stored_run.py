"""Runs as plain values: what MLflow's tables keep of them, and what an exported file has.

A training is a tree: its own run, below it a run for each family that was raced, below a search's a run for each of its trials.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
"""The tags by which MLflow's own page knows which run is below which, and what each is called."""


@dataclass(frozen=True)
class MetricPoint:
    """A metric's value at a step; `at` is in milliseconds since 1970."""

    name: str
    value: float
    step: int
    at: int


@dataclass(frozen=True)
class DatasetRecord:
    """What a run learned from: `digest` tells its states apart, `source` and `profile` are JSON."""

    name: str
    digest: str
    source_type: str
    source: str
    profile: str
    context: str = "training"


@dataclass(frozen=True)
class StoredRun:
    """A run that has ended. `start` and `end` are in milliseconds since 1970."""

    id: str
    name: str
    status: str
    start: int
    end: int
    parameters: Mapping[str, str]
    metrics: tuple[MetricPoint, ...]
    tags: Mapping[str, str]
    datasets: tuple[DatasetRecord, ...] = ()

    @property
    def parent(self) -> str | None:
        """The run that it is below; None for a training's own."""
        return self.tags.get(PARENT)


Content = bytes | Path | Callable[[], bytes]
"""A file's bytes, where they are, or what reads them."""


@dataclass(frozen=True)
class RunTree:
    """A training with all that is below it: its own run comes first. `files` are those of its own run, by their names."""

    task: str
    runs: tuple[StoredRun, ...]
    files: Mapping[str, Content] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of the training's own run."""
        return self.runs[0].id


def read_content(content: Content) -> bytes:
    """A file's bytes."""
    if isinstance(content, bytes):
        return content
    return content.read_bytes() if isinstance(content, Path) else content()
