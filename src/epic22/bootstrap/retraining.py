"""Retraining by a plan: what is due on the stored data, what would have been, and the jobs that follow."""

from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from epic22.adapters.sources.folder import read_yaml
from epic22.bootstrap.components import Components
from epic22.bootstrap.jobs import open_job_stores
from epic22.core.errors import FileError
from epic22.core.job import OPEN_STATES, JobRecord, JobRequest
from epic22.core.lineage import ModelVersion
from epic22.core.ports import Registry
from epic22.core.quality.checks import QualityRules
from epic22.core.retraining.moment import DataGrowth, QualityAlarm, ReadAlarms, TaskMoment
from epic22.core.retraining.plan import RetrainingPlan, read_plan
from epic22.core.tables.canonical import CANONICAL
from epic22.core.tables.versions import LakeVersion
from epic22.features.catalog import get_feature
from epic22.services.jobs import submit_job
from epic22.services.promote import list_models
from epic22.services.quality import assess_quality
from epic22.services.retraining import DueTraining, PastData, PastTrainings, find_due_trainings, replay_plan

PLAN_FILE = "retraining.yaml"


def load_retraining_plan(components: Components, path: Path | None) -> RetrainingPlan:
    """The plan in a YAML file, that of the home where None. Raises FileError where it is none, UnknownTaskError for a task that
    is no feature's."""
    path = components.settings.home / PLAN_FILE if path is None else path
    if not path.is_file():
        raise FileError(f"{path}: there is no plan; write one (see docs/how-to/retrain.md), or name it with --plan FILE.")
    plan = read_plan(path.name, read_yaml(path, "the retraining plan"))
    for task in plan.tasks:
        get_feature(task.task)
    return plan


def find_due(components: Components, plan: RetrainingPlan, now: datetime | None = None) -> tuple[DueTraining, ...]:
    """The trainings of a plan that are due on the newest data. Raises LakeError, StorageError where those cannot be read."""
    now = datetime.now(UTC) if now is None else now
    log, read_alarms = components.table_store.log(), _open_alarms(components)
    records = open_job_stores(components.settings).records
    jobs = [job for job in records.list_jobs((*OPEN_STATES, "dead")) if job.request.verb == "train"]
    versions = {job.id: records.list_versions(job.id) for job in jobs}
    # A job that registered a version counts by that.
    counted = [job for job in jobs if job.is_open or not versions[job.id]]
    left = {(one.task, one.version) for job in jobs if not job.is_open for one in versions[job.id] if not one.is_decided}
    finished = {task.task: _list_finished(components.registry, task.task, left) for task in plan.tasks}
    moments = {name: _look_at(name, models, log, now, read_alarms) for name, models in finished.items()}
    histories = {name: _read_history(components.registry, counted, name) for name in moments}
    return find_due_trainings(plan, moments, histories)


def submit_due_trainings(components: Components, due: Sequence[DueTraining]) -> Mapping[str, int]:
    """Submit the trainings that nothing holds back: the number of each task's job."""
    records, settings = open_job_stores(components.settings).records, components.settings
    return {
        one.task: submit_job(records, JobRequest("train", (one.task, *one.plan.options), Path.cwd(), settings.threads)).id
        for one in due
        if not one.is_held_back
    }


def replay_past(
    components: Components, plan: RetrainingPlan, span: timedelta, now: datetime | None = None
) -> tuple[DueTraining, ...]:
    """What a plan would have trained in a span until now. Raises LakeError where the data versions cannot be read."""
    now = datetime.now(UTC) if now is None else now
    versions = tuple(describe_growth(version) for version in components.table_store.log())
    tables = {task.task: list_task_tables(task.task) for task in plan.tasks}
    return replay_plan(plan, PastData(versions, tables, _open_alarms(components)), now - span, now)


def describe_growth(version: LakeVersion) -> DataGrowth:
    """What triggers see of a data version."""
    rows = {name: table.rows for name, table in version.tables.items()}
    added = {name: table.added for name, table in version.tables.items()}
    return DataGrowth(version.number, _in_utc(version.at), rows, added)


def list_task_tables(task: str) -> frozenset[str]:
    """The tables that a feature's task cannot do without; all where it names none."""
    needs = frozenset(need.table for need in get_feature(task).task.requirements)
    return needs or frozenset(table.name for table in CANONICAL)


def _list_finished(registry: Registry, task: str, left: Container[tuple[str, str]]) -> tuple[ModelVersion, ...]:
    """The versions of a task, oldest first, without those that jobs left as they died and nobody has decided since."""
    models = list_models(registry, task)
    return tuple(one.version for one in models if one.state != "not promoted" or (task, one.version.version) not in left)


def _look_at(
    task: str, models: Sequence[ModelVersion], log: Sequence[LakeVersion], now: datetime, read_alarms: ReadAlarms
) -> TaskMoment:
    newest = models[-1] if models else None
    trained_at = None if newest is None else _in_utc(datetime.fromisoformat(newest.made_at))
    learned = None if newest is None else next((one for one in reversed(log) if newest.data_version in one.ids), None)
    if learned is None and trained_at is not None:
        # The version is not of this store: what was there at the training is as good.
        learned = next((one for one in reversed(log) if _in_utc(one.at) <= trained_at), None)
    newer = tuple(describe_growth(one) for one in log if learned is None or one.number > learned.number)
    seen = None if learned is None else describe_growth(learned)
    return TaskMoment(task, now, trained_at, seen, newer, list_task_tables(task), read_alarms)


def _open_alarms(components: Components) -> Callable[[int], tuple[QualityAlarm, ...]]:
    """The alarms of data versions, each version checked once."""

    @cache
    def read_alarms(number: int) -> tuple[QualityAlarm, ...]:
        alarms = assess_quality(components.table_store, number, QualityRules()).alarms
        return tuple(
            QualityAlarm(number, one.finding.table, one.level, f"{one.finding.table}: {one.finding.what}, {one.finding.evidence}")
            for one in alarms
        )

    return read_alarms


def _list_trainings(registry: Registry, task: str) -> tuple[datetime, ...]:
    return tuple(sorted(_in_utc(datetime.fromisoformat(version.made_at)) for version in registry.list_versions(task)))


def _read_history(registry: Registry, jobs: Sequence[JobRecord], task: str) -> PastTrainings:
    """When a task was trained, and what became of its jobs, of which those that are open or died without a version are given."""
    own = [job for job in jobs if job.request.verb == "train" and {task, "all"} & set(job.request.arguments)]
    died = tuple(sorted(job.ended_at for job in own if job.state == "dead" and job.ended_at is not None))
    return PastTrainings(_list_trainings(registry, task), any(job.is_open for job in own), died)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
