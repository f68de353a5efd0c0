"""From an assignment to a champion: examples, folds, families, verdicts, bundle, registry."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epic22.core.bundle import GOLDEN_ROWS, Bundle, Schema, model_hash, write_bundle
from epic22.core.data.assignment import Assignment
from epic22.core.data.examples import Examples
from epic22.core.data.leakage import Suspicion, audit_folds
from epic22.core.data.split import FoldPlan, SplitRequest, plan_folds
from epic22.core.evaluation.compare import Verdict, compare
from epic22.core.evaluation.conformal import fit_band
from epic22.core.evaluation.crossval import Evaluation, cross_validate, fit_family
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.base import Family
from epic22.core.models.catalog import family_named
from epic22.core.ports import Registry
from epic22.core.task import Column, Task


@dataclass(frozen=True)
class Watch:
    """Where progress goes: `begin(what, steps)` opens a bar, `step()` moves it on."""

    begin: Callable[[str, int], None] = lambda what, steps: None
    step: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class HonestScore:
    """Where rows were forced: the champion's score by those folds beside its score by the folds that were right."""

    metric: str
    forced: float
    honest: float
    kind: str
    why: str


@dataclass(frozen=True)
class TrainingRun:
    """All that a training found; reports, tracking and answers are made of this."""

    task: Task
    data_version: DataVersion
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    audit: tuple[Suspicion, ...]
    plan: FoldPlan
    examples: Examples
    leaderboard: tuple[Evaluation, ...]
    champion: Evaluation
    verdicts: tuple[Verdict, ...]
    bundle: Bundle
    honest: tuple[HonestScore, ...]
    seed: int
    version: ModelVersion


def train(assignment: Assignment, split: SplitRequest, registry: Registry, threads: int, watch: Watch = Watch()) -> TrainingRun:
    """Race the task's families on honest folds, judge them, and register the best as a version (promotion is another step).

    Raises SplitError where no honest split exists, ColumnError where the tables do not give what the task declares.
    """
    task, seed = assignment.task, split.seed
    examples = assignment.examples()
    plan = plan_folds(examples, task.target.kind, split)
    audit = (*assignment.suspicions, *audit_split(examples, plan))
    families = [family_named(name) for name in task.families]
    leaderboard = race(task, examples, plan, families, seed, threads, watch)
    champion, verdicts = judge(task, examples, plan, leaderboard, seed)
    honest = honest_scores(task, examples, plan, champion, split, threads, watch)
    bundle = fit_champion(assignment, examples, plan, champion, verdicts, seed, threads)
    version = register(bundle, examples, registry)
    return TrainingRun(
        task=task,
        data_version=assignment.data_version,
        columns=task.columns,
        notes=assignment.notes,
        warnings=(*plan.warnings, *(_gap_in_words(score) for score in honest)),
        audit=audit,
        plan=plan,
        examples=examples,
        leaderboard=leaderboard,
        champion=champion,
        verdicts=verdicts,
        bundle=bundle,
        honest=honest,
        seed=seed,
        version=version,
    )


def audit_split(examples: Examples, plan: FoldPlan) -> tuple[Suspicion, ...]:
    """What the audit finds in the folds themselves."""
    pairs = [(fold.train, fold.test) for fold in plan.folds if fold.repeat == 0]
    at = examples.at if examples.timed else None
    gap = np.timedelta64(round(plan.gap * 86_400_000_000), "us").astype(object)
    return audit_folds(examples.X, pairs, at, gap, examples.group)


def race(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    families: list[Family],
    seed: int,
    threads: int,
    watch: Watch,
) -> tuple[Evaluation, ...]:
    """Every family on the same folds, best first by the deciding metric."""
    evaluations = []
    for family in families:
        watch.begin(f"{family.name}: {len(plan.folds)} folds", len(plan.folds))
        evaluations.append(cross_validate(task, examples, plan, family, seed, threads, watch.step))
    metric = task.target.metric
    return tuple(sorted(evaluations, key=lambda e: _rank(e.score(metric.name).value, metric.greater_is_better)))


def _rank(value: float, greater_is_better: bool) -> float:
    if np.isnan(value):
        return float("inf")
    return -value if greater_is_better else value


def judge(
    task: Task, examples: Examples, plan: FoldPlan, leaderboard: tuple[Evaluation, ...], seed: int
) -> tuple[Evaluation, tuple[Verdict, ...]]:
    """The champion is the best of the board; its verdicts are against each baseline and against the best other family."""
    champion, others = leaderboard[0], leaderboard[1:]
    baselines = [e for e in others if family_named(e.family).is_baseline]
    rivals = [e for e in others if not family_named(e.family).is_baseline][:1]
    target = task.target
    return champion, tuple(
        compare(champion, other, target.metric, examples, plan, target.kind, seed) for other in [*baselines, *rivals]
    )


def honest_scores(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    champion: Evaluation,
    split: SplitRequest,
    threads: int,
    watch: Watch,
) -> tuple[HonestScore, ...]:
    """Where rows were forced despite their time: the champion again, on the folds that would have been right."""
    if not (split.random_rows_despite_time and examples.timed):
        return ()
    right = plan_folds(examples, task.target.kind, replace(split, random_rows_despite_time=False))
    watch.begin(f"{champion.family} on honest folds", len(right.folds))
    again = cross_validate(task, examples, right, family_named(champion.family), split.seed, threads, watch.step)
    return tuple(
        HonestScore(score.metric, score.value, again.score(score.metric).value, right.kind, right.why)
        for score in champion.scores
    )


def _gap_in_words(score: HonestScore) -> str:
    return f"{score.metric}: {score.forced:.4g} by random rows, {score.honest:.4g} by honest folds ({score.kind}: {score.why})."


def fit_champion(
    assignment: Assignment,
    examples: Examples,
    plan: FoldPlan,
    champion: Evaluation,
    verdicts: tuple[Verdict, ...],
    seed: int,
    threads: int,
) -> Bundle:
    """Fit the champion's family on all rows but those of a test file, and pack it."""
    task = assignment.task
    rows = np.arange(len(examples) - assignment.test_rows)
    fitted = fit_family(family_named(champion.family), task, examples, plan, rows, seed, threads)
    proven = any(v.against == "constant" and v.low > 0 for v in verdicts)
    bundle = Bundle(
        schema=Schema.of(task),
        family=champion.family,
        preprocessor=fitted.preprocessor,
        estimator=fitted.estimator,
        band=fit_band(champion, examples, task.target.kind),
        status="proven" if proven else "provisional",
        model_hash="",
        data_version=examples.data_version,
        seed=seed,
        positive_share=float(examples.y.mean()) if task.target.kind == "binary" else None,
    )
    return replace(bundle, model_hash=model_hash(bundle))


def register(bundle: Bundle, examples: Examples, registry: Registry) -> ModelVersion:
    """Write the bundle aside and hand it to the registry, whole."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as aside:
        folder = Path(aside) / "bundle"
        write_bundle(folder, bundle, examples.X.head(GOLDEN_ROWS))
        task, family = bundle.schema.task, bundle.family
        return registry.save(task, family, bundle.model_hash, bundle.data_version, bundle.status, folder)
