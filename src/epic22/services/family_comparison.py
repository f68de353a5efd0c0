"""Families beside one another on the folds that a training would judge them on: scores, calibration, time, memory, size.

Nothing is registered. No family is fitted twice: all figures are of the same fits.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import median
from typing import Protocol

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.preprocess import PREPROCESSING_VIEWS
from epic22.core.data.task_data import TaskData
from epic22.core.errors import UserError
from epic22.core.evaluation.baselines import evaluate_incumbent
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.evaluation.family_calibration import FamilyCalibration, measure_calibration
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare
from epic22.core.experiment import Experiment
from epic22.core.lineage import canonical_json
from epic22.core.models.base import BaseEstimator, predict_response
from epic22.core.models.catalog import FAMILIES, default_families, get_family, refuse_unfit_families
from epic22.core.models.fit_request import FitMeasurement, FitRequest
from epic22.core.progress import Progress
from epic22.core.serialization import to_json
from epic22.core.task import Kind, Task
from epic22.core.text import describe_difference
from epic22.services.comparison import is_baseline
from epic22.services.pipelines.rows import sort_key
from epic22.services.prepare import prepare

MAX_BATCH_ROWS = 4096
N_TIMED_BATCHES = 3
BUSY_PROCESSOR_SHARE = 0.9
"""Fits that got less of one processor than this waited for others' work."""


class FitBackend(Protocol):
    """Where a family's estimators are fitted, and what that took."""

    def fit(self, request: FitRequest) -> BaseEstimator:
        """The fitted estimator."""

    @property
    def measurement(self) -> FitMeasurement:
        """What all fits until now took."""


OpenBackend = Callable[[], AbstractContextManager[FitBackend]]
"""A new place for the fits of one family."""


@dataclass(frozen=True)
class FamilyCost:
    """What a family takes: the middle fold's `fit_seconds` of its estimator alone, peak `memory_bytes` of its training, the
    `model_bytes` that would be stored, and milliseconds a row, scored alone and among up to 4,096."""

    fit_seconds: float
    memory_bytes: int | None
    model_bytes: int
    ms_alone: float
    ms_in_batch: float


@dataclass(frozen=True)
class ComparedFamily:
    """A family on the board; `cost` is None for the rule of today, `calibration` for values."""

    evaluation: Evaluation
    cost: FamilyCost | None = None
    calibration: FamilyCalibration | None = None

    @property
    def name(self) -> str:
        """The family's name."""
        return self.evaluation.family


@dataclass(frozen=True)
class FamilyVerdict:
    """A family against the reference; the verdict's difference is above zero where the family is the better one."""

    family: str
    verdict: Verdict

    @property
    def words(self) -> str:
        """The verdict as a sentence without its stop."""
        verdict = self.verdict
        p = verdict.p if verdict.p_adjusted is None else verdict.p_adjusted
        figures = f"{verdict.metric} {describe_difference(verdict.difference, f', adjusted p = {p:.2g}')}"
        return f"{self.family} against {verdict.against}: {figures}; {verdict.words}"


@dataclass(frozen=True)
class MachineLoad:
    """How busy the machine was: its processors, the load before the fits (None: not known), and how many processors the fits had
    on average."""

    processors: int
    load: float | None
    processor_share: float

    @property
    def is_busy(self) -> bool:
        """Whether times are of a machine that did other work too."""
        return self.processor_share < BUSY_PROCESSOR_SHARE or (self.load is not None and self.load > self.processors)

    @property
    def words(self) -> str:
        """How times are to be read, as a sentence."""
        load = "" if self.load is None else f", load {self.load:.1f} before the fits"
        machine = f"{self.processors} processors{load}; the fits had {self.processor_share:.2f} of them on average"
        if self.is_busy:
            return f"The machine was busy ({machine}): times are longer than on a quiet one, so read them as orders of magnitude."
        return f"Times are of a machine that was not busy ({machine})."


@dataclass(frozen=True)
class FamilyComparison:
    """Families on the same folds, best first, and each one's verdict against the `reference`."""

    task: Task
    data_version: str
    plan: FoldPlan
    n_rows: int
    seed: int
    threads: int
    reference: str
    families: tuple[ComparedFamily, ...]
    verdicts: tuple[FamilyVerdict, ...]
    load: MachineLoad
    notes: tuple[str, ...] = ()

    def get(self, family: str) -> ComparedFamily:
        """The family of that name; StopIteration where it was not compared."""
        return next(one for one in self.families if one.name == family)

    @property
    def conclusion(self) -> str:
        """What the verdicts say together, as a sentence."""
        rivals = [one for one in self.verdicts if not is_baseline(one.family)]
        better = [one.family for one in rivals if one.verdict.certain and one.verdict.difference.value > 0]
        worse = [one.family for one in rivals if one.verdict.certain and one.verdict.difference.value < 0]
        unclear = [one.family for one in rivals if not one.verdict.certain]
        groups = ((better, "certainly better"), (worse, "certainly worse"), (unclear, "not told apart from it"))
        parts = [f"{what}: {', '.join(names)}" for names, what in groups if names] or ["no other family that learns was compared"]
        return f"Against {self.reference}, {'; '.join(parts)}."


def select_families(task: Task, named: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The reference that all others are compared with, and who takes part, in the catalog's order.

    The reference is the first of the names, or where one alone is named the family that a training tries by itself. The baselines
    and the linear family always take part. Raises UserError where there is one family alone, and what
    `refuse_unfit_families` raises.
    """
    names, kind = tuple(dict.fromkeys(named)), task.target.kind
    refuse_unfit_families(names, kind, task.target.offset, task.has_sequence)
    defaults = default_families(kind)
    rival = defaults[-1]
    if names == (rival,):
        raise UserError(
            f"--families {rival}: a comparison needs two families; name another, such as {_name_others(kind, rival)}."
        )
    reference = names[0] if len(names) > 1 else rival
    always = {name for name in defaults if name != rival} if names else set(defaults)
    members = always | set(names) | {reference}
    return reference, tuple(family.name for family in FAMILIES if family.name in members)


def _name_others(kind: Kind, rival: str) -> str:
    others = [family.name for family in FAMILIES if kind in family.kinds and family.name != rival and not family.is_baseline]
    return " or ".join(others)


def compare_families(
    data: TaskData,
    split: SplitRequest,
    threads: int,
    named: Sequence[str],
    open_backend: OpenBackend,
    progress: Progress = Progress(),
) -> FamilyComparison:
    """The named families, the baselines and the linear family on the folds that a training with this split would have.

    Raises what `prepare` and `select_families` raise.
    """
    reference, members = select_families(data.task, named)
    preparation = prepare(replace(data, task=replace(data.task, families=members)), split, threads)
    experiment = preparation.experiment
    load, measurements = read_load(), list[FitMeasurement]()
    families = []
    for name in members:
        progress.begin(f"{name}: {len(experiment.plan.folds)} folds", len(experiment.plan.folds), "fold")
        family, measurement = evaluate_family(experiment, name, open_backend, progress)
        families.append(family)
        measurements.append(measurement)
    incumbent = evaluate_incumbent(experiment)
    if incumbent is not None:
        families.append(ComparedFamily(incumbent))
    metric = experiment.task.target.metric
    families.sort(key=lambda one: sort_key(one.evaluation.score(metric.name).value, metric.greater_is_better))
    return FamilyComparison(
        task=experiment.task,
        data_version=preparation.data.data_version.id,
        plan=experiment.plan,
        n_rows=len(experiment.examples),
        seed=split.seed,
        threads=threads,
        reference=reference,
        families=tuple(families),
        verdicts=compare_with_reference(experiment, [one.evaluation for one in families], reference),
        load=measure_load(load, measurements),
        notes=preparation.remarks,
    )


def evaluate_family(
    experiment: Experiment, name: str, open_backend: OpenBackend, progress: Progress
) -> tuple[ComparedFamily, FitMeasurement]:
    """A family's evaluation on the experiment's folds, and what its fits and its answers took."""
    with open_backend() as backend:
        candidate = make_candidate(experiment, get_family(name), fit=backend.fit)
        evaluation = evaluate(experiment, candidate, progress.step, keep_models=True)
        measurement = backend.measurement
    last = next(part for part in reversed(evaluation.fold_predictions) if part.fitted is not None)
    assert last.fitted is not None
    test = experiment.examples.take(last.fold.test)
    cost = FamilyCost(
        fit_seconds=measurement.median_seconds,
        memory_bytes=measurement.memory_bytes,
        model_bytes=count_model_bytes(last.fitted),
        ms_alone=evaluation.ms_per_row,
        ms_in_batch=measure_ms_in_batch(last.fitted, experiment.task, test),
    )
    evaluation = replace(evaluation.without_models(), fit_seconds=measurement.median_seconds)
    return ComparedFamily(evaluation, cost, measure_calibration(experiment, evaluation)), measurement


def compare_with_reference(
    experiment: Experiment, evaluations: Sequence[Evaluation], reference: str
) -> tuple[FamilyVerdict, ...]:
    """Each evaluation against that of the reference, with p adjusted for all of them; baselines last."""
    first = next(one for one in evaluations if one.family == reference)
    others = sorted((one for one in evaluations if one is not first), key=lambda one: is_baseline(one.family))
    target, effect = experiment.task.target, experiment.task.policy.minimum_effect
    verdicts = adjust_for_multiple_comparisons([compare(experiment, one, first, target.metric, effect) for one in others])
    return tuple(FamilyVerdict(one.family, verdict) for one, verdict in zip(others, verdicts, strict=True))


def count_model_bytes(fitted: FittedFold) -> int:
    """The bytes of a model and its preprocessing as a bundle would hold them, without the manifest."""
    preprocessing = canonical_json(to_json(fitted.preprocessor, PREPROCESSING_VIEWS))
    return len(preprocessing) + sum(len(content) for content in fitted.estimator.files().values())


def measure_ms_in_batch(fitted: FittedFold, task: Task, test: Examples) -> float:
    """Milliseconds a row of scoring a batch of these rows at once, the middle of a few batches."""
    rows, durations = test.X.head(MAX_BATCH_ROWS), []
    for _ in range(N_TIMED_BATCHES):
        began = time.perf_counter()
        predict_response(fitted.estimator, fitted.preprocessor.transform(rows), task.target.kind, task.target.floor)
        durations.append(time.perf_counter() - began)
    return median(durations) * 1000 / rows.height


def read_load() -> float | None:
    """How many processes wanted a processor over the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def measure_load(load: float | None, measurements: Sequence[FitMeasurement]) -> MachineLoad:
    """How busy the machine was before and during these fits."""
    seconds = sum(sum(one.seconds) for one in measurements)
    processor_seconds = sum(one.processor_seconds for one in measurements)
    return MachineLoad(os.cpu_count() or 1, load, processor_seconds / seconds if seconds else 1.0)
