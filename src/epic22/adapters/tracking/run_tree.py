"""A training as a tree of runs: parameters, metrics with a step a fold, what it learned from, its files."""

import json
import math
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from epic22.adapters.tracking.mlflow_model import MODEL, build_model_files
from epic22.adapters.tracking.stored_run import PARENT, Content, DatasetRecord, MetricPoint, RunTree, StoredRun
from epic22.core.address import split_address
from epic22.core.lineage import DataVersion
from epic22.core.run_record import FamilyRecord, RunRecord, TrialRecord

MAX_VALUE, MAX_TAG = 6000, 8000
"""The longest parameter and tag that MLflow keeps."""

MAX_DIGEST, MAX_NAME = 36, 250

VERSION, HASH, TRIAL = "epic22.version", "epic22.model_hash", "epic22.trial"
"""Tags of the registry's number of the version, of the model's hash, and of a trial's number."""


def build_run_tree(record: RunRecord) -> RunTree:
    """The runs of a training and its files, which are read when they are written."""
    now = int(time.time() * 1000)
    parent = _build_training_run(record, now)
    runs = [parent]
    for number, family in enumerate(record.leaderboard, start=1):
        run = _build_family_run(family, parent.id, now + number)
        runs += [run, *(_build_trial_run(trial, run.id, now) for trial in family.trials)]
    return RunTree(record.version.task, tuple(runs), dict(_list_files(record, parent.id)))


def _build_training_run(record: RunRecord, now: int) -> StoredRun:
    version = record.version
    tags = {
        HASH: version.model_hash,
        "epic22.data_version": record.data_version.id,
        VERSION: version.version,
        "epic22.status": version.status,
        **record.environment,
    }
    return StoredRun(
        record.id,
        f"{version.task} v{version.version}",
        "FINISHED",
        now if record.started_at is None else int(record.started_at * 1000),
        now,
        _cut(record.parameters, MAX_VALUE),
        tuple(_list_points(_list_figures(record.leaderboard[0], record.metrics), now)),
        _cut(tags, MAX_TAG),
        (_describe_data(record.data_version, record.parameters.get("rows")),),
    )


def _build_family_run(family: FamilyRecord, parent: str, now: int) -> StoredRun:
    points = tuple(_list_points(_list_figures(family, {}), now))
    return StoredRun(uuid.uuid4().hex, family.family, "FINISHED", now, now, {"family": family.family}, points, {PARENT: parent})


def _build_trial_run(trial: TrialRecord, parent: str, now: int) -> StoredRun:
    steps = [(f"{trial.metric}_inner_fold", value, step) for step, value in enumerate(trial.folds)]
    figures = [(trial.metric, trial.value, 0), ("trial_seconds", trial.seconds, 0), *steps]
    state = f"pruned {trial.pruned}" if trial.pruned else "complete"
    own = {"family": trial.family, "search_part": trial.part, "state": state}
    tags = {PARENT: parent, TRIAL: str(trial.number), "epic22.search_part": trial.part}
    return StoredRun(
        uuid.uuid4().hex,
        f"{trial.part}, trial {trial.number + 1}: {trial.family}"[:MAX_NAME],
        "FINISHED",
        now - int(trial.seconds * 1000),
        now,
        _cut(own | dict(trial.parameters), MAX_VALUE),
        tuple(_list_points(figures, now)),
        tags,
    )


def _cut(texts: Mapping[str, str], length: int) -> dict[str, str]:
    """The texts as the tables take them: no longer than that, and without the character 0, which a column's name may have."""
    return {name: text[:length].replace("\0", "\ufffd") for name, text in texts.items()}


def _list_figures(family: FamilyRecord, more: Mapping[str, float]) -> list[tuple[str, float, int]]:
    """Each score with its interval, its steps, and more metrics: name, value and step."""
    figures = [("fit_seconds", family.fit_seconds, 0), ("row_ms", family.ms_per_row, 0)]
    figures += [(name, value, 0) for name, value in more.items()]
    for name, (value, low, high) in family.scores.items():
        figures += [(name, value, 0), (f"{name}_low", low, 0), (f"{name}_high", high, 0)]
    for name, values in family.steps.items():
        figures += [(name, value, step) for step, value in enumerate(values)]
    return figures


def _list_points(figures: Iterable[tuple[str, float, int]], now: int) -> Iterator[MetricPoint]:
    """The figures as metrics; undefined ones are left out."""
    return (MetricPoint(name, float(value), step, now) for name, value, step in figures if math.isfinite(value))


def _describe_data(data: DataVersion, rows: str | None) -> DatasetRecord:
    """What was learned from: names and digests of what it was read from, without what would let anybody in."""
    sources = [{"name": split_address(name).place, "sha256": digest} for name, digest in data.sources]
    name = f"data version {data.number}" if data.number is not None else _name_sources([s["name"] for s in sources])
    profile = {"data_version": data.id} | ({} if rows is None else {"rows": rows})
    return DatasetRecord(name, data.id[:MAX_DIGEST], "epic22", json.dumps({"sources": sources}), json.dumps(profile))


def _name_sources(names: Sequence[str]) -> str:
    """The first source's own name, and how many there are beside it."""
    if not names:
        return "rows"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{PurePath(names[0]).name[:MAX_NAME]}{more}"


def _list_files(record: RunRecord, run: str) -> Iterator[tuple[str, Content]]:
    """The model with its bundle, the report, the pictures and the task file."""
    yield from build_model_files(record, run).items()
    for path in sorted(record.bundle.rglob("*")):
        if path.is_file():
            yield f"{MODEL}/bundle/{path.relative_to(record.bundle).as_posix()}", path
    yield record.report.name, record.report
    yield from _list_task_file(record.task_file)
    yield from ((f"pictures/{name}.png", picture) for name, picture in record.figures.items())


def _list_task_file(path: Path | None) -> Iterator[tuple[str, Content]]:
    if path is not None:
        yield path.name, path
