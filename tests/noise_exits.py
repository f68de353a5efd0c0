"""Families that are all as good, or as bad: what they say of rows is drawn, so that whatever is certain is false."""

from dataclasses import dataclass

import numpy as np

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import Evaluation, FoldFits, summarise_folds
from epic22.core.evaluation.early_exit import LEVEL, find_early_exits, restrict_evaluation
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import adjust_for_multiple_comparisons, compare
from epic22.core.experiment import Experiment
from epic22.core.task import Array
from tests.toy import toy

FAMILIES = ("a", "b", "c", "d")
REPEAT_NOISE = 0.5
"""Of what a family says of a row, the part that is another in each repeat, beside one that stays."""


@dataclass(frozen=True)
class Outcome:
    """Of one table: who left early, and whether anything was called certain, with early exits and without."""

    left: int
    certain_with_exits: bool
    certain_without_exits: bool


def evaluate_noise(n_rows: int, signal: float, seed: int) -> Outcome:
    """Equals on rows whose label each of them tells by `signal` standard deviations, with noise of its own."""
    chance = np.random.default_rng(seed)
    made = toy("binary", n_rows)
    y = made.examples.y
    plan = plan_folds(made.examples, "binary", SplitRequest(seed=seed))
    experiment = Experiment(made.task, made.examples, plan, seed)
    fits = {name: _draw_fits(experiment, signal * y + chance.normal(size=n_rows), chance) for name in FAMILIES}
    level = LEVEL / ((plan.repeats - 1) * len(FAMILIES) * (len(FAMILIES) - 1) / 2)
    left: dict[str, int] = {}
    for repeats in range(1, plan.repeats):
        seen = experiment.take_repeats(repeats)
        running = {n: FoldFits(one.predictions[: len(seen.plan.folds)]) for n, one in fits.items() if n not in left}
        left |= dict.fromkeys(find_early_exits(seen, running, level, len(plan.folds)), repeats)
    board = {name: summarise_folds(experiment, name, one) for name, one in fits.items()}
    return Outcome(len(left), _is_any_certain(experiment, board, left), _is_any_certain(experiment, board, {}))


def _draw_fits(experiment: Experiment, score: Array, chance: np.random.Generator) -> FoldFits:
    predictions = []
    for fold in experiment.plan.folds:
        raw = score[fold.test] + REPEAT_NOISE * chance.normal(size=len(fold.test))
        predictions.append(FoldPredictions(fold, 1 / (1 + np.exp(-raw))))
    return FoldFits(tuple(predictions))


def _is_any_certain(experiment: Experiment, board: dict[str, Evaluation], left: dict[str, int]) -> bool:
    """Whether the champion's verdicts have a certain one."""
    metric = experiment.task.target.metric
    champion = max((e for name, e in board.items() if name not in left), key=lambda e: e.score(metric.name).value)
    verdicts = []
    for name, other in board.items():
        if other is not champion:
            seen = experiment.take_repeats(left.get(name, experiment.plan.repeats))
            verdicts.append(compare(seen, restrict_evaluation(seen, champion), restrict_evaluation(seen, other), metric))
    return any(verdict.certain for verdict in adjust_for_multiple_comparisons(verdicts))
