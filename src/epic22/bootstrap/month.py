"""A month in fast time: daily ingests, trainings that a plan calls for, carried out as jobs, a list each day, all by the
simulator's clock."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from epic22.bootstrap.components import Components
from epic22.bootstrap.ingest_and_audit import IngestOptions, ingest_folder
from epic22.bootstrap.jobs import name_worker, open_job_stores, open_worker_parts
from epic22.bootstrap.predictions import decide_feature
from epic22.bootstrap.retraining import describe_growth, list_task_tables
from epic22.core.data.task_data import TaskData
from epic22.core.errors import InternalError
from epic22.core.job import JobRequest
from epic22.core.lineage import DataVersion
from epic22.core.retraining.moment import DataGrowth, TaskMoment
from epic22.core.retraining.plan import RetrainingPlan, TaskPlan
from epic22.features.catalog import get_feature
from epic22.services.jobs import submit_job
from epic22.services.month import (
    ListMoney,
    Month,
    MonthDay,
    MonthTraining,
    VisitBooks,
    compute_expected_money,
    list_by_rule,
    list_by_truth,
    select_day,
    select_truth_at,
)
from epic22.services.retraining import PastTrainings, find_due_trainings
from epic22.services.work import Worker
from epic22.simulator.portfolio import Portfolio, select_truth

DAYS = 30
LISTED = 100
"""So many places of each day's ranking are looked at for some whom nobody has visited of late."""


@dataclass(frozen=True)
class PlannedTraining:
    """A training that a person calls for on the n-th day, with further words for the call."""

    day: int
    who: str
    reason: str
    options: tuple[str, ...]


@dataclass
class MonthInFastTime:
    """The month of one task on a portfolio's tables; `tell` gets a sentence for whoever watches."""

    components: Components
    portfolio: Portfolio
    plan: RetrainingPlan
    folder: Path
    capacity: int
    tell: Callable[[str], None]
    planned: tuple[PlannedTraining, ...] = ()
    books: VisitBooks = field(default_factory=VisitBooks.open)
    growth: list[DataGrowth] = field(default_factory=list)
    trained: list[tuple[datetime, DataGrowth]] = field(default_factory=list)
    trainings: list[MonthTraining] = field(default_factory=list)

    @property
    def task(self) -> TaskPlan:
        """The task that the month is of."""
        return self.plan.tasks[0]

    @property
    def begin(self) -> datetime:
        """The moment of the first version, a month before the portfolio's end."""
        return self.portfolio.end - timedelta(days=DAYS)

    def run(self) -> Month:
        """Go through the month."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._take_in(None, self.begin)
        self._train("the first model", "it was never trained", self.begin, self.task.options)
        days = tuple(self._run_day(number) for number in range(1, DAYS + 1))
        return Month(self.task.task, self.capacity, days, tuple(self.trainings))

    def _run_day(self, number: int) -> MonthDay:
        moment = self.begin + timedelta(days=number)
        growth = self._take_in(moment - timedelta(days=1), moment)
        self._train_where_due(number, moment)
        listed, money = self._decide(moment)
        champion = self.components.registry.champion(self.task.task)
        new_rows = sum(growth.added.values())
        self.tell(
            f"{moment:%Y-%m-%d}: {new_rows:,} rows; version {champion.version} lists {', '.join(listed) or 'nobody'}; worth "
            f"{money.model:,.0f} (rule {money.rule:,.0f}, best possible {money.best:,.0f})."
        )
        return MonthDay(moment.date(), growth.number, new_rows, champion.version, listed, money)

    def _take_in(self, begin: datetime | None, end: datetime) -> DataGrowth:
        """Ingest what became known until a moment."""
        folder = self.folder / f"{end:%Y-%m-%d}"
        folder.mkdir(parents=True)
        for name, frame in select_day(self.portfolio.tables, begin, end).items():
            frame.write_parquet(folder / f"{name}.parquet")
        ingest_folder(self.components, folder, options=IngestOptions(end, "sample"))
        self.growth.append(replace(describe_growth(self.components.table_store.resolve_version()), at=end.replace(tzinfo=UTC)))
        return self.growth[-1]

    def _train_where_due(self, number: int, moment: datetime) -> None:
        at, learned = self.trained[-1]
        newer = tuple(one for one in self.growth if one.number > learned.number)
        tables, name = list_task_tables(self.task.task), self.task.task
        now = TaskMoment(name, moment.replace(tzinfo=UTC), at, learned, newer, tables, lambda version: ())
        history = PastTrainings(tuple(at for at, _ in self.trained))
        for due in find_due_trainings(self.plan, {name: now}, {name: history}):
            if not due.is_held_back:
                self._train(due.trigger, due.reason, moment, self.task.options)
        for planned in self.planned:
            if planned.day == number:
                self._train(planned.who, planned.reason, moment, planned.options)

    def _train(self, trigger: str, reason: str, moment: datetime, options: tuple[str, ...]) -> None:
        """Submit a training as a job, have a worker carry it out, and note what was decided of its model."""
        settings, name = self.components.settings, self.task.task
        self.tell(f"{moment:%Y-%m-%d}: training ({trigger}: {reason})")
        records = open_job_stores(settings).records
        job = submit_job(records, JobRequest("train", (name, *options), Path.cwd(), settings.threads))
        worker = name_worker()
        Worker(worker, open_worker_parts(settings, worker), lambda text: None).work(until_idle=True)
        done = records.get(job.id)
        if done.state != "done":
            raise InternalError(f"job {job.id} of the month is {done.state}: {done.reason}")
        version = records.list_versions(job.id)[-1].version
        decision = next(one for one in reversed(self.components.registry.list_decisions(name)) if one.version == version)
        champion = self.components.registry.champion(name)
        self.trained.append((moment.replace(tzinfo=UTC), self.growth[-1]))
        training = MonthTraining(
            moment.date(), trigger, reason, job.id, version, champion.version == version, f"{decision.status}: {decision.why}"
        )
        self.trainings.append(training)
        self.tell(f"  job {job.id}, version {version}: {'serves' if training.promoted else 'does not serve'}; {training.why}")

    def _decide(self, moment: datetime) -> tuple[tuple[str, ...], ListMoney]:
        """The day's list, and what it and the two others are worth."""
        costs = get_feature(self.task.task).task.costs
        decisions = decide_feature(self.components, self.task.task, moment, LISTED)
        cases = self._read_cases(moment)
        known = set(cases["entity"])
        ranked = [case.prediction.entity for case in decisions.listed if case.prediction.entity in known]
        listed = self.books.model.choose_next(ranked, moment, self.capacity)
        by_rule = self.books.rule.choose_next(list_by_rule(cases), moment, self.capacity)
        best = self.books.best.choose_next(list_by_truth(cases, costs), moment, self.capacity)
        money = (compute_expected_money(cases, names, costs) for names in (listed, by_rule, best))
        return listed, ListMoney(*money)

    def _read_cases(self, moment: datetime) -> pl.DataFrame:
        """Whom the task is asked of at a moment: [entity, rule, truth]; the truth is that of the week's first day."""
        feature, version = get_feature(self.task.task), self.components.table_store.resolve_version()
        data = feature.bind(feature.task, self.components.table_store.tables(version.number), DataVersion(version.id, ()))
        if not isinstance(data, TaskData) or feature.task.incumbent is None:
            raise InternalError(f"task {feature.name} has no rows with a rule of today; a month is of one that has.")
        eligible = data.list_eligible(moment)
        rule = pl.Series("rule", feature.task.incumbent.respond(data.tables.as_of(eligible)))
        truth = select_truth_at(select_truth(self.portfolio, feature.name), moment)
        return eligible.with_columns(rule).join(truth, on="entity", maintain_order="left")
