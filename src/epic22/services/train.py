"""From an assignment to a champion: examples, folds, families, verdicts, bundle, registry."""

import tempfile
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.bundle import GOLDEN_ROWS, Bundle, Schema, model_hash, write_bundle
from epic22.core.data.assignment import Assignment
from epic22.core.data.examples import Examples
from epic22.core.data.formula import without
from epic22.core.data.leakage import Suspicion, audit_folds
from epic22.core.data.split import FoldPlan, SplitRequest, plan_folds
from epic22.core.errors import ColumnError, InternalError
from epic22.core.evaluation.calibrate import Calibration
from epic22.core.evaluation.compare import Verdict, allowing_for_all, compare
from epic22.core.evaluation.coverage import refuse_groups
from epic22.core.evaluation.crossval import Contender, Evaluation, FittedFold, contender_of, declared_alone, evaluate
from epic22.core.evaluation.explain import Explanation, explain
from epic22.core.evaluation.fairness import Override, PromotionDecision
from epic22.core.evaluation.fairness import gate as fairness_gate
from epic22.core.evaluation.learning_curve import FOLDS, SHARES, LearningCurve, learning_curve
from epic22.core.evaluation.yardsticks import INCUMBENT, best_possible_evaluation, incumbent_evaluation
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.catalog import ENSEMBLE, family_named
from epic22.core.ports import Registry
from epic22.core.selection.columns import Budget as ColumnBudget
from epic22.core.selection.columns import ColumnPlan, Planner
from epic22.core.selection.log_target import settle_log
from epic22.core.selection.search import Found
from epic22.core.task import Array, Column, Task
from epic22.services.audit import audit_examples
from epic22.services.comparison import Comparison, compare_in_use
from epic22.services.hazard_worth import assess_hazard
from epic22.services.promise import Promise, promised
from epic22.services.tune import Searcher, Tuning
from epic22.services.worth import Worth, assess


@dataclass(frozen=True)
class Watch:
    """Where progress goes: `begin(what, steps)` opens a bar, `step()` moves it on."""

    begin: Callable[[str, int], None] = lambda what, steps: None
    step: Callable[[], None] = lambda: None


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
    seed = split.seed
    task, examples, suspicions = audited(assignment, seed)
    refuse_groups(task.coverage_by, examples.X)
    assignment = replace(assignment, task=task, suspicions=suspicions)
    plan = plan_folds(examples, task.target.kind, split)
    task, found = settle_log(task, examples, plan, seed, threads)
    assignment = replace(assignment, task=task, notes=(*assignment.notes, *found))
    audit = (*assignment.suspicions, *audit_split(examples, plan))
    rows = champion_rows(assignment, examples)
    asked = Entry(seed, threads, engineer, None if tuning is None else tuning.in_time(len(examples)))
    planner = asked.planner(task, examples, plan)
    contenders = entered(task, plan, asked, planner, rows, watch)
    if asked.judges_itself(task):
        contenders, plan = judged_by_itself(contenders, examples, plan, rows)
    elif planner is not None:
        _plan_folds_columns(planner, plan, watch)
    leaderboard = race(task, examples, plan, contenders, seed, watch, explaining and not asked.limited)
    leaderboard, explanation = explained(task, examples, plan, leaderboard, seed, watch)
    champion, verdicts = judge(task, examples, plan, leaderboard, seed)
    comparison = compare_in_use(task, examples, plan, leaderboard, champion, seed)
    if comparison.choice is not None and comparison.choice.family != champion.family:
        champion, verdicts = judge(task, examples, plan, leaderboard, seed, comparison.choice.family)
        explanation = None  # it is of the best family, whose place another has taken
    if task.learning_curve:
        curve = curve_of(task, examples, plan, leaderboard, champion, asked, watch, planner)
        comparison = replace(comparison, curve=curve)
    honest = honest_scores(task, examples, champion, split, asked, watch)
    ceiling, shortfall = against_truth(task, examples, plan, champion, truth, seed)
    judge_worth = assess_hazard if task.target.kind == "hazard" else assess
    worth = judge_worth(task, examples, plan, champion, leaderboard, ceiling, seed)
    promotion = gate.decide(worth, first_model=task.name not in registry.tasks())
    promise = promised(task, examples, plan, champion, Calibration() if worth is None else worth.calibration)
    column_plan = None if planner is None else planner.plan(rows)
    watch.begin(f"{champion.family}: the champion, on all its rows", 1)
    fitted = next(c for c in contenders if c.name == champion.family).fit(examples, rows)
    watch.step()
    bundle = packed(task, examples, champion, verdicts, worth, promise, fitted, seed)
    if promotion.status != "proven":
        bundle = replace(bundle, status=promotion.status)
    version = register(bundle, examples, registry)
    searcher = next((c.fit for c in contenders if isinstance(c.fit, Searcher)), None)
    if searcher is not None:
        searcher.forget()
    return TrainingRun(
        task=task,
        data_version=assignment.data_version,
        columns=task.columns,
        notes=assignment.notes,
        warnings=(
            *plan.warnings,
            *(() if searcher is None or tuning is None else tuning.warnings),
            *(_gap_in_words(score) for score in honest),
        ),
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
        worth=worth,
        promotion=promotion,
        ceiling=ceiling,
        shortfall=shortfall,
        promise=promise,
        comparison=comparison,
        column_plan=column_plan,
        explanation=explanation,
        found=None if searcher is None or champion.family != ENSEMBLE.name else searcher.of(examples, rows),
    )


@dataclass(frozen=True)
class Entry:
    """How contenders learn: the seed, threads, whether columns are engineered, and the search, if there is one."""

    seed: int
    threads: int
    engineer: bool = False
    tuning: Tuning | None = None

    def planner(self, task: Task, examples: Examples, plan: FoldPlan) -> Planner | None:
        """Who plans the columns of each training part; None where they are taken as declared."""
        if not self.engineer or task.target.kind == "hazard":
            return None
        seconds = None if self.tuning is None else self.tuning.seconds_for_columns(plan)
        return Planner(task, examples, plan, self.seed, self.threads, ColumnBudget(seconds=seconds))

    @property
    def limited(self) -> bool:
        """Whether the time is limited: then nothing is explained but each row's own answer."""
        return self.tuning is not None and self.tuning.budget.seconds is not None

    def judges_itself(self, task: Task) -> bool:
        """Whether there is one search, whose own inner folds judge."""
        return self.tuning is not None and not self.tuning.nested and task.target.kind != "hazard"


def judged_by_itself(
    contenders: tuple[Contender, ...], examples: Examples, plan: FoldPlan, rows: Array
) -> tuple[tuple[Contender, ...], FoldPlan]:
    """The contenders with a search that was made and judged by its inner folds, and the plan of those folds, which judge all.

    Raises InternalError where there is no search.
    """
    searcher = next((c.fit for c in contenders if isinstance(c.fit, Searcher)), None)
    if searcher is None:
        raise InternalError("there is no search to judge itself.")
    parts = searcher.of(examples, rows).parts
    judged = tuple(replace(c, judged=parts) if c.fit is searcher else c for c in contenders)
    why = f"{plan.why}; the search's own inner folds judge (--no-nested)"
    own = replace(plan, folds=tuple(part.fold for part in parts), repeats=1, why=why, warnings=(*plan.warnings, NOT_NESTED))
    return judged, own


NOT_NESTED = (
    "the score is of rows that the search watched: its weights were chosen on other folds, but rounds were stopped by these rows "
    "and parameters suggested by what they scored, so it is a little too good; without --no-nested other folds judge."
)


def entered(
    task: Task,
    plan: FoldPlan,
    asked: Entry,
    planner: Planner | None,
    last: Array,
    watch: Watch,
) -> tuple[Contender, ...]:
    """Who takes part: the task's families as they come, and the search where one was asked for; `last` are the champion's rows.

    Under a time limit, baselines alone take part beside the search, which has the other families within it. A hazard is not
    searched.
    """
    families, tuning = [family_named(name) for name in task.families], asked.tuning
    tuned = tuning is not None and task.target.kind != "hazard"
    limited = tuned and tuning is not None and tuning.budget.seconds is not None
    contenders = [
        contender_of(
            family,
            task,
            plan,
            asked.seed,
            asked.threads,
            declared_alone if planner is None or family.is_baseline else planner.recipe,
        )
        for family in families
        if family.is_baseline or not limited
    ]
    if tuned and tuning is not None:
        judged = any(np.array_equal(fold.train, last) for fold in plan.folds)
        recipes = declared_alone if planner is None else planner.recipe
        searcher = Searcher(tuning, task, plan, asked.seed, asked.threads, recipes, judged, watch.begin, watch.step)
        contenders.append(Contender(ENSEMBLE.name, searcher))
    return tuple(contenders)


def _plan_folds_columns(planner: Planner, plan: FoldPlan, watch: Watch) -> None:
    """The columns of every fold, before its first model is fitted, so that no family's time holds them."""
    watch.begin(f"columns: {len(plan.folds)} folds", len(plan.folds))
    for fold in plan.folds:
        planner.plan(fold.train)
        watch.step()


def audited(assignment: Assignment, seed: int) -> tuple[Task, Examples, tuple[Suspicion, ...]]:
    """The examples of a task on canonical tables without the columns that the audit withholds; a file's were audited before."""
    task, examples = assignment.task, assignment.examples()
    if task.entities is None:
        return task, examples, assignment.suspicions
    found = audit_examples(task, examples, assignment.findings, seed)
    withheld = {suspicion.column for suspicion in found if suspicion.withheld and suspicion.column is not None}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in task.columns)
    kept = replace(task, columns=columns, formulas=without(task.formulas, task.input_columns, withheld))
    inputs = examples.X.select([column.name for column in kept.input_columns])
    return kept, replace(examples, X=inputs), (*assignment.suspicions, *found)


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


def is_baseline(name: str) -> bool:
    """Whether a name on the board is a rule to be beaten."""
    return name == INCUMBENT or family_named(name).is_baseline


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


def champion_rows(assignment: Assignment, examples: Examples) -> Array:
    """The rows that the champion is fitted on: all but those of a test file that may train."""
    rows = np.arange(len(examples) - assignment.test_rows)
    return rows if examples.learned is None else rows[examples.learned[rows]]


def packed(
    task: Task,
    examples: Examples,
    champion: Evaluation,
    verdicts: tuple[Verdict, ...],
    worth: Worth | None,
    promise: Promise,
    fitted: FittedFold,
    seed: int,
) -> Bundle:
    """A fitted champion with all that its answers need."""
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
    return replace(bundle, model_hash=model_hash(bundle))


def register(bundle: Bundle, examples: Examples, registry: Registry) -> ModelVersion:
    """Write the bundle aside and hand it to the registry, whole."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as aside:
        folder = Path(aside) / "bundle"
        write_bundle(folder, bundle, examples.X.head(GOLDEN_ROWS))
        task, family = bundle.schema.task, bundle.family
        return registry.save(task, family, bundle.model_hash, bundle.data_version, bundle.status, folder)
