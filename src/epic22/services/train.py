"""From an assignment to a champion: examples, folds, families, verdicts, bundle, registry."""

import tempfile
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.bundle import GOLDEN_ROWS, Bundle, Schema, model_hash, write_bundle
from epic22.core.data.assignment import Assignment
from epic22.core.data.examples import Examples
from epic22.core.data.leakage import Suspicion
from epic22.core.data.split import FoldPlan, SplitRequest, plan_folds
from epic22.core.errors import ColumnError
from epic22.core.evaluation.calibrate import Calibration
from epic22.core.evaluation.compare import Verdict, allowing_for_all, compare
from epic22.core.evaluation.crossval import Contender, Evaluation, FittedFold, declared_alone, evaluate
from epic22.core.evaluation.explain import Explanation, explain
from epic22.core.evaluation.fairness import Override, PromotionDecision
from epic22.core.evaluation.fairness import gate as fairness_gate
from epic22.core.evaluation.learning_curve import FOLDS, SHARES, LearningCurve, learning_curve
from epic22.core.evaluation.yardsticks import INCUMBENT, best_possible_evaluation, incumbent_evaluation
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.catalog import ENSEMBLE, family_named
from epic22.core.ports import Registry
from epic22.core.selection.columns import ColumnPlan, Planner
from epic22.core.selection.search import Found
from epic22.core.task import Column, Task
from epic22.services.comparison import Comparison, compare_in_use, is_baseline
from epic22.services.course import Course, laid_out
from epic22.services.hazard_worth import assess_hazard
from epic22.services.promise import Promise, promised
from epic22.services.starters import Entry, Starters, entered, lined_up
from epic22.services.tune import Tuning
from epic22.services.watch import Watch
from epic22.services.worth import Worth, assess


@dataclass(frozen=True)
class Gate:
    """Who may let a model pass whose fairness is refused or inconclusive, and whether someone did, with a reason."""

    override: Override | None = None
    authorised: Container[str] = frozenset()

    def decide(self, worth: Worth | None, first_model: bool) -> PromotionDecision:
        """Whether the model may become champion."""
        return fairness_gate(None if worth is None else worth.fairness, first_model, self.override, self.authorised)


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
    """All that a training found; reports, tracking and answers are made of this.

    `worth` is what the champion's score is worth, for two classes, `promise` its intervals or sets. `ceiling` is the best
    possible, and `shortfall` the champion's difference to it (below zero: worse), where the truth is known, which it only is of
    simulated tables. `comparison` is of the families where they are used. `rows` is set where `examples` are a sample of a
    larger table. `column_plan` says which columns the champion got, and why, where they were planned.
    """

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
    worth: Worth | None = None
    promotion: PromotionDecision | None = None
    ceiling: Evaluation | None = None
    shortfall: Verdict | None = None
    promise: Promise = field(default_factory=Promise)
    comparison: Comparison = field(default_factory=Comparison)
    explanation: Explanation | None = None
    rows: int | None = None
    column_plan: ColumnPlan | None = None
    found: Found | None = None

    @property
    def learned_from(self) -> int:
        """How many rows the scores are of: all examples, or more where only a sample of them is held."""
        return len(self.examples) if self.rows is None else self.rows


def train(
    assignment: Assignment,
    split: SplitRequest,
    registry: Registry,
    threads: int,
    watch: Watch = Watch(),
    truth: pl.DataFrame | None = None,
    gate: Gate = Gate(),
    engineer: bool = False,
    explaining: bool = True,
    tuning: Tuning | None = None,
) -> TrainingRun:
    """Race the task's families on honest folds, judge them, and register the best as a version (promotion is another step).

    With `tuning` a search takes part, which searches anew in every training part.

    With `engineer`, each fold's models get the columns that are planned on its training rows (`selection/columns.py`).

    `truth` [entity, cutoff, truth] holds the true probabilities or medians of simulated rows; it is only ever compared with.
    `explaining` keeps the best family's models of the folds until it is told what they look at.

    Raises SplitError where no honest split exists, ColumnError where the tables do not give what the task declares, or a column
    of `coverage_by` makes no groups.
    """
    seed, course = split.seed, laid_out(assignment, split, threads)
    asked = Entry(seed, threads, engineer, None if tuning is None else tuning.in_time(len(course.examples)))
    starters, course = lined_up(course, asked, watch)
    outcome = decided(course, starters, asked, explaining, watch)
    task, examples, plan, champion = course.task, course.examples, course.plan, outcome.champion
    honest = honest_scores(task, examples, champion, split, asked, watch)
    ceiling, shortfall = against_truth(task, examples, plan, champion, truth, seed)
    judge_worth = assess_hazard if task.target.kind == "hazard" else assess
    worth = judge_worth(task, examples, plan, champion, outcome.leaderboard, ceiling, seed)
    promotion = gate.decide(worth, first_model=task.name not in registry.tasks())
    promise = promised(task, examples, plan, champion, Calibration() if worth is None else worth.calibration)
    column_plan = None if starters.planner is None else starters.planner.plan(course.rows)
    fitted = starters.fitted(champion.family, course, watch)
    bundle = packed(task, examples, champion, outcome.verdicts, worth, promise, fitted, seed, promotion)
    version = register(bundle, examples, registry)
    searcher = starters.searcher
    if searcher is not None:
        searcher.forget()
    return TrainingRun(
        task=task,
        data_version=course.assignment.data_version,
        columns=task.columns,
        notes=course.assignment.notes,
        warnings=(
            *plan.warnings,
            *(() if searcher is None else searcher.tuning.warnings),
            *(_gap_in_words(score) for score in honest),
        ),
        audit=course.audit,
        plan=plan,
        examples=examples,
        leaderboard=outcome.leaderboard,
        champion=champion,
        verdicts=outcome.verdicts,
        bundle=bundle,
        honest=honest,
        seed=seed,
        version=version,
        worth=worth,
        promotion=promotion,
        ceiling=ceiling,
        shortfall=shortfall,
        promise=promise,
        comparison=outcome.comparison,
        column_plan=column_plan,
        explanation=outcome.explanation,
        found=None if searcher is None or champion.family != ENSEMBLE.name else searcher.of(examples, course.rows),
    )


@dataclass(frozen=True)
class Outcome:
    """Who won, and why: the board, best family first, the champion and its verdicts, what the families are worth in use, and
    what the champion looks at."""

    leaderboard: tuple[Evaluation, ...]
    champion: Evaluation
    verdicts: tuple[Verdict, ...]
    comparison: Comparison
    explanation: Explanation | None


def decided(course: Course, starters: Starters, asked: Entry, explaining: bool, watch: Watch) -> Outcome:
    """The race and who wins it: the best family, or the one that is preferred in use."""
    task, examples, plan, seed = course.task, course.examples, course.plan, asked.seed
    leaderboard = race(task, examples, plan, starters.contenders, seed, watch, explaining and not asked.limited)
    leaderboard, explanation = explained(task, examples, plan, leaderboard, seed, watch)
    champion, verdicts = judge(task, examples, plan, leaderboard, seed)
    comparison = compare_in_use(task, examples, plan, leaderboard, champion, seed)
    if comparison.choice is not None and comparison.choice.family != champion.family:
        champion, verdicts = judge(task, examples, plan, leaderboard, seed, comparison.choice.family)
        explanation = None  # it is of the best family, whose place another has taken
    if task.learning_curve:
        curve = curve_of(task, examples, plan, leaderboard, champion, asked, watch, starters.planner)
        comparison = replace(comparison, curve=curve)
    return Outcome(leaderboard, champion, verdicts, comparison, explanation)


def race(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    contenders: Sequence[Contender],
    seed: int,
    watch: Watch,
    keep: bool = False,
) -> tuple[Evaluation, ...]:
    """Every contender on the same folds, best first by the deciding metric; `keep` holds on to the best one's models."""
    evaluations: list[Evaluation] = []
    for contender in contenders:
        watch.begin(f"{contender.name}: {len(plan.folds)} folds", len(plan.folds))
        fresh = evaluate(task, examples, plan, contender, seed, watch.step, keep)
        best, *others = _best_first(task, [*evaluations, fresh])
        evaluations = [best, *(other.without_models() for other in others)]
    incumbent = incumbent_evaluation(task, examples, plan, seed)
    return tuple(_best_first(task, evaluations if incumbent is None else [*evaluations, incumbent]))


def _best_first(task: Task, evaluations: list[Evaluation]) -> list[Evaluation]:
    metric = task.target.metric
    return sorted(evaluations, key=lambda e: ranked(e.score(metric.name).value, metric.greater_is_better))


def explained(
    task: Task, examples: Examples, plan: FoldPlan, leaderboard: tuple[Evaluation, ...], seed: int, watch: Watch
) -> tuple[tuple[Evaluation, ...], Explanation | None]:
    """The board without models, and what those that were kept, of the best family, look at; None where none was kept."""
    best = best_family(leaderboard)
    if not any(part.fitted for part in best.parts):
        return leaderboard, None
    watch.begin(f"{best.family}: what it looks at", 1)
    found = explain(task, examples, plan, best, seed, Schema.of(task).score_unit)
    watch.step()
    return tuple(evaluation.without_models() for evaluation in leaderboard), found


def best_family(leaderboard: tuple[Evaluation, ...]) -> Evaluation:
    """The best of the board that is a family, not the rule of today."""
    return next(e for e in leaderboard if e.family != INCUMBENT)


def ranked(value: float, greater_is_better: bool) -> float:
    """A number that is the smaller, the better the score; an undefined score is the worst."""
    if np.isnan(value):
        return float("inf")
    return -value if greater_is_better else value


def judge(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    leaderboard: tuple[Evaluation, ...],
    seed: int,
    chosen: str | None = None,
) -> tuple[Evaluation, tuple[Verdict, ...]]:
    """The champion is the best family of the board, or the one that was `chosen`; its verdicts are against each baseline, the
    incumbent among them, then against each other family, best first, with p adjusted for all of them."""
    champion = best_family(leaderboard) if chosen is None else next(e for e in leaderboard if e.family == chosen)
    others = [e for e in leaderboard if e is not champion]
    others.sort(key=lambda e: not is_baseline(e.family))
    target = task.target
    return champion, allowing_for_all(
        [compare(champion, other, target.metric, examples, plan, target.kind, seed, task.least) for other in others]
    )


def curve_of(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    leaderboard: tuple[Evaluation, ...],
    champion: Evaluation,
    asked: Entry,
    watch: Watch,
    planner: Planner | None = None,
) -> LearningCurve | None:
    """Whether more data would help the champion's family, with the columns that were planned on each whole training part.

    A search is not repeated on shares of the rows: the best family as it comes stands for it; None where none is on the board.
    """
    if champion.family == ENSEMBLE.name:
        others = [e for e in leaderboard if e is not champion and not is_baseline(e.family)]
        if not others:
            return None
        champion = others[0]
    family = family_named(champion.family)
    recipes = declared_alone if planner is None or family.is_baseline else planner.recipe
    watch.begin(f"{family.name}: learning curve", FOLDS * (len(SHARES) - 1))
    return learning_curve(task, examples, plan, family, champion, asked.seed, asked.threads, step=watch.step, recipes=recipes)


def against_truth(
    task: Task, examples: Examples, plan: FoldPlan, champion: Evaluation, truth: pl.DataFrame | None, seed: int
) -> tuple[Evaluation | None, Verdict | None]:
    """The best possible on the same folds, and the champion's difference to it; nothing where the truth is not known.

    Of a hazard the truth has a column `truth_90` a horizon that is known.

    Raises ColumnError where the truth lacks a row of the examples.
    """
    if truth is None:
        return None, None
    asked = pl.DataFrame({"entity": examples.entity, "cutoff": examples.at})
    joined = asked.join(truth, on=["entity", "cutoff"], how="left", maintain_order="left")
    told = joined.drop("entity", "cutoff")
    unknown = told.select(pl.max_horizontal(pl.all().is_null())).to_series().sum() if told.width else len(examples)
    if unknown:
        raise ColumnError(f"task {task.name}: the truth is not stated for {unknown:,} of {len(examples):,} examples.")
    if task.target.kind == "hazard":
        names = [f"truth_{horizon:g}" for horizon in task.target.horizons]
        known = np.column_stack([told[n].to_numpy() if n in told.columns else np.full(len(told), np.nan) for n in names])
    else:
        known = told["truth"].to_numpy()
    ceiling = best_possible_evaluation(task, examples, plan, known, seed)
    return ceiling, compare(champion, ceiling, task.target.metric, examples, plan, task.target.kind, seed)


def honest_scores(
    task: Task, examples: Examples, champion: Evaluation, split: SplitRequest, asked: Entry, watch: Watch
) -> tuple[HonestScore, ...]:
    """Where rows were forced despite their time: the champion again, on the folds that would have been right."""
    if not (split.random_rows_despite_time and examples.timed):
        return ()
    right = plan_folds(examples, task.target.kind, replace(split, random_rows_despite_time=False))
    watch.begin(f"{champion.family} on honest folds", len(right.folds))
    contenders = entered(task, right, asked, asked.planner(task, examples, right), right.folds[-1].train, watch)
    contender = next(c for c in contenders if c.name == champion.family)
    again = evaluate(task, examples, right, contender, split.seed, watch.step)
    return tuple(
        HonestScore(score.metric, score.value, again.score(score.metric).value, right.kind, right.why)
        for score in champion.scores
    )


def _gap_in_words(score: HonestScore) -> str:
    return f"{score.metric}: {score.forced:.4g} by random rows, {score.honest:.4g} by honest folds ({score.kind}: {score.why})."


def packed(
    task: Task,
    examples: Examples,
    champion: Evaluation,
    verdicts: tuple[Verdict, ...],
    worth: Worth | None,
    promise: Promise,
    fitted: FittedFold,
    seed: int,
    promotion: PromotionDecision,
) -> Bundle:
    """A fitted champion with all that its answers need; proven where it beats the constant and the gate lets it pass so."""
    proven = any(v.against == "constant" and v.better for v in verdicts)
    bundle = Bundle(
        schema=Schema.of(task),
        family=champion.family,
        preprocessor=fitted.preprocessor,
        estimator=fitted.estimator,
        band=promise.band,
        sets=promise.sets,
        status="proven" if proven else "provisional",
        model_hash="",
        data_version=examples.data_version,
        seed=seed,
        positive_share=float(examples.y.mean()) if task.target.kind == "binary" else None,
        calibration=Calibration() if worth is None else worth.calibration,
        costs=task.costs,
        risk_bands=None if worth is None else worth.bands,
    )
    status = bundle.status if promotion.status == "proven" else promotion.status
    return replace(bundle, model_hash=model_hash(bundle), status=status)


def register(bundle: Bundle, examples: Examples, registry: Registry) -> ModelVersion:
    """Write the bundle aside and hand it to the registry, whole."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as aside:
        folder = Path(aside) / "bundle"
        write_bundle(folder, bundle, examples.X.head(GOLDEN_ROWS))
        task, family = bundle.schema.task, bundle.family
        return registry.save(task, family, bundle.model_hash, bundle.data_version, bundle.status, folder)
