"""What each part of a family is worth: it is trained again without the part, on the same folds, and tested against the whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.task_data import TaskData
from epic22.core.errors import UserError
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator, Family, Hyperparameters
from epic22.core.models.catalog import FAMILIES, get_family, refuse_unfit_families
from epic22.core.models.fit_request import FitRequest
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.problem_parts import PROBLEM_PARTS
from epic22.core.progress import Progress
from epic22.core.statistics import Interval
from epic22.core.task import Task
from epic22.core.text import describe_difference, format_figure
from epic22.services.prepare import prepare


@dataclass(frozen=True)
class Part:
    """A part of a family on one task: its name, and the constructor arguments that switch it off; without any it is one that
    the problem has (`PROBLEM_PARTS`)."""

    name: str
    params: Hyperparameters

    def fit_without(self, request: FitRequest) -> BaseEstimator:
        """The estimator of a request, fitted without the part."""
        problem = request.problem if self.params else PROBLEM_PARTS[self.name](request.problem)
        return replace(request, problem=problem, params=self.params).fit()


@dataclass(frozen=True)
class AblatedPart:
    """A part, and how the family does without it. `verdict` is of the whole against the family without the part, above zero where
    the part helps; None where the predictions are equal."""

    part: Part
    evaluation: Evaluation
    verdict: Verdict | None

    @property
    def changes_nothing(self) -> bool:
        """Whether every prediction is the same without the part."""
        return self.verdict is None

    @property
    def is_dispensable(self) -> bool:
        """Whether it can be left out: it changes nothing, certainly harms, or helps by less than the least that matters."""
        if self.verdict is None:
            return True
        is_small = self.verdict.power is not None and self.verdict.difference.high < self.verdict.power.minimum_effect
        return is_small or (self.verdict.certain and self.verdict.difference.value < 0)

    @property
    def gain(self) -> Interval | None:
        """How much better the family is with the part, in the metric's unit; None where it changes nothing."""
        return None if self.verdict is None else self.verdict.difference

    @property
    def advice(self) -> str:
        """What follows for the part, in words without figures of the difference."""
        if self.verdict is None:
            return "changes nothing here, every prediction is the same without it; it can be left out"
        is_certain, helps = self.verdict.certain, self.verdict.difference.value > 0
        if is_certain and not helps:
            return "certainly harms; leave it out"
        if self.is_dispensable:
            least = format_figure(0.0 if self.verdict.power is None else self.verdict.power.minimum_effect, 2)
            return f"helps by no more than {least}, the least that matters; it can be left out"
        return "certainly helps; keep it" if is_certain else self.verdict.words

    @property
    def words(self) -> str:
        """What the part is worth and what follows, as a sentence without its stop."""
        if self.verdict is None:
            return f"{self.part.name}: {self.advice}"
        p = self.verdict.p if self.verdict.p_adjusted is None else self.verdict.p_adjusted
        difference = describe_difference(self.verdict.difference, f", adjusted p = {p:.2g}")
        return f"{self.part.name}: {self.verdict.metric} {difference} with it; {self.advice}"


@dataclass(frozen=True)
class Ablation:
    """A family as it comes, and without each of its parts; `absent` are the names of parts that this task's problem lacks."""

    task: Task
    data_version: str
    plan: FoldPlan
    n_rows: int
    seed: int
    family: str
    whole: Evaluation
    parts: tuple[AblatedPart, ...]
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def conclusion(self) -> str:
        """What to keep and what can be left out, as a sentence."""
        needed = [one.part.name for one in self.parts if one.verdict and one.verdict.better and not one.is_dispensable]
        dispensable = [one.part.name for one in self.parts if one.is_dispensable]
        unclear = [one.part.name for one in self.parts if one.part.name not in (*needed, *dispensable)]
        groups = (("keep", needed), ("can be left out, one at a time", dispensable), ("not told by these rows", unclear))
        phrases = [f"{what}: " + ", ".join(names) for what, names in groups if names]
        return f"Of {self.family}, {'; '.join(phrases)}."


def ablate(data: TaskData, split: SplitRequest, threads: int, family: str, progress: Progress = Progress()) -> Ablation:
    """The family without each of its parts on the folds that a training with this split would have, each tested against the whole
    with Holm's correction over the parts.

    Raises what `prepare` raises, UserError for a family without parts, and what `refuse_unfit_families` raises.
    """
    refuse_unfit_families([family], data.task.target.kind, data.task.target.offset, data.task.has_sequence)
    if not get_family(family).parts:
        others = ", ".join(one.name for one in FAMILIES if one.parts and data.task.target.kind in one.kinds)
        raise UserError(f"--family {family} has no parts that could be switched off; name one of {others}.")
    preparation = prepare(replace(data, task=replace(data.task, families=(family,))), split, threads)
    experiment = preparation.experiment
    present, absent = list_parts(get_family(family), LearningProblem.of(experiment.task))
    whole = evaluate_without(experiment, family, None, progress)
    evaluations = [evaluate_without(experiment, family, part, progress) for part in present]
    return Ablation(
        task=experiment.task,
        data_version=preparation.data.data_version.id,
        plan=experiment.plan,
        n_rows=len(experiment.examples),
        seed=split.seed,
        family=family,
        whole=whole,
        parts=compare_with_whole(experiment, whole, present, evaluations),
        absent=absent,
        notes=preparation.remarks,
    )


def list_parts(family: Family, problem: LearningProblem) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The parts that a family has on a problem, and the names of those that the problem lacks."""
    absent = tuple(name for name, switch_off in PROBLEM_PARTS.items() if switch_off(problem) == problem)
    of_problem = [Part(name, {}) for name in PROBLEM_PARTS if name not in absent]
    return (*(Part(name, params) for name, params in family.parts.items()), *of_problem), absent


def evaluate_without(experiment: Experiment, family: str, part: Part | None, progress: Progress) -> Evaluation:
    """The evaluation of a family without a part, or of the whole."""
    name = family if part is None else f"{family} without {part.name}"
    fit = FitRequest.fit if part is None else part.fit_without
    progress.begin(f"{name}: {len(experiment.plan.folds)} folds", len(experiment.plan.folds), "fold")
    candidate = make_candidate(experiment, get_family(family), fit=fit)
    return evaluate(experiment, replace(candidate, name=name), progress.step)


def compare_with_whole(
    experiment: Experiment, whole: Evaluation, parts: Sequence[Part], evaluations: Sequence[Evaluation]
) -> tuple[AblatedPart, ...]:
    """Each part with the verdict on the whole, the most helpful first; p is adjusted for all parts that change a prediction."""
    target, effect = experiment.task.target, experiment.task.policy.minimum_effect
    changed = [not predicts_equally(whole, one) for one in evaluations]
    verdicts = iter(
        adjust_for_multiple_comparisons(
            [
                compare(experiment, whole, one, target.metric, effect)
                for one, is_changed in zip(evaluations, changed, strict=True)
                if is_changed
            ]
        )
    )
    ablated = [
        AblatedPart(part, one, next(verdicts) if is_changed else None)
        for part, one, is_changed in zip(parts, evaluations, changed, strict=True)
    ]
    return tuple(sorted(ablated, key=lambda one: 0.0 if one.gain is None else -one.gain.value))


def predicts_equally(a: Evaluation, b: Evaluation) -> bool:
    """Whether two evaluations have the same response to every test row, to the last bit."""
    pairs = zip(a.fold_predictions, b.fold_predictions, strict=True)
    return all(np.array_equal(first.response, second.response, equal_nan=True) for first, second in pairs)
