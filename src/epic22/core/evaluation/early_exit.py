"""Families that leave before all repeats of a plan are fitted, because they are certainly worse than the best.

All take part in the first repeat. After each but the last, those behind the second are tested against the leader as verdicts are
(paired, by the jackknife over what is independent), on the folds that were fitted. The level is spent evenly over all looks and
all pairs (Bonferroni), so the chance that any leaves that is no worse is at most `LEVEL`, whichever of them happens to lead and
however the looks hang together. The best two stay to the end: the champion and its best rival are known on all folds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from epic22.core.evaluation.crossval import (
    Candidate,
    EarlyExit,
    Evaluation,
    FoldFits,
    build_evaluation,
    compute_scores,
    fit_folds,
    summarise_folds,
)
from epic22.core.evaluation.significance import compute_paired_difference
from epic22.core.experiment import Experiment
from epic22.core.task import Metric

LEVEL = 0.01
"""The chance that a family leaves that is no worse than the leader: a fifth of a verdict's."""

N_FINALISTS = 2


@dataclass(frozen=True)
class _PartialEvaluation:
    """One that takes part, what was fitted so far, and why it left, if it did."""

    candidate: Candidate
    fits: FoldFits = field(default_factory=FoldFits)
    early_exit: EarlyExit | None = None


def evaluate_with_early_exits(
    experiment: Experiment,
    candidates: Sequence[Candidate],
    progress: Callable[[], None] = lambda: None,
    keep_models: bool = False,
) -> tuple[Evaluation, ...]:
    """Every candidate's evaluation, in their order, on all folds or on the repeats after which it left.

    `progress` is called after each fold; `keep_models` as for `evaluate`.
    """
    plan, partials = experiment.plan, {one.name: _PartialEvaluation(one) for one in candidates}
    level = LEVEL / max(1, (plan.repeats - 1) * math.comb(len(candidates), 2))
    for repeat in range(plan.repeats):
        folds = [fold for fold in plan.folds if fold.repeat == repeat]
        for name, one in partials.items():
            if one.early_exit is None:
                fits = fit_folds(experiment, one.candidate, folds, progress, keep_models)
                partials[name] = replace(one, fits=one.fits.add(fits))
        if repeat < plan.repeats - 1:
            fits_by_name = {name: one.fits for name, one in partials.items() if one.early_exit is None}
            exits = find_early_exits(experiment.take_repeats(repeat + 1), fits_by_name, level, len(plan.folds))
            partials |= {name: replace(partials[name], early_exit=early_exit) for name, early_exit in exits.items()}
    return tuple(_summarise(experiment, one) for one in partials.values())


def find_early_exits(experiment: Experiment, fits: Mapping[str, FoldFits], level: float, n_folds: int) -> dict[str, EarlyExit]:
    """Who is certainly worse than the best of those that were fitted on the experiment's folds, the first of `n_folds`."""
    if len(fits) <= N_FINALISTS:
        return {}
    metric = experiment.task.target.metric
    ranking = _rank([_evaluate_metric(experiment, name, one, metric) for name, one in fits.items()], metric)
    leader, exits = ranking[0], {}
    for other in ranking[N_FINALISTS:]:
        difference = compute_paired_difference(experiment, leader, other, metric)
        if difference.mean > 0 and difference.p <= level:
            exits[other.family] = EarlyExit(len(experiment.plan.folds), n_folds, leader.family, difference.p)
    return exits


def restrict_evaluation(experiment: Experiment, evaluation: Evaluation) -> Evaluation:
    """The evaluation on the experiment's folds alone, which are the first of those it is of, by the metric that decides."""
    fits = FoldFits(evaluation.fold_predictions[: len(experiment.plan.folds)])
    return _evaluate_metric(experiment, evaluation.family, fits, experiment.task.target.metric)


def _evaluate_metric(experiment: Experiment, family: str, fits: FoldFits, metric: Metric) -> Evaluation:
    return build_evaluation(experiment, family, compute_scores(experiment, (metric,), fits.predictions), fits.predictions)


def _rank(evaluations: Sequence[Evaluation], metric: Metric) -> list[Evaluation]:
    """The best first; an undefined score is the worst."""
    sign = 1 if metric.greater_is_better else -1
    values = {one.family: sign * one.score(metric.name).value for one in evaluations}
    return sorted(evaluations, key=lambda one: (values[one.family] == values[one.family], values[one.family]), reverse=True)


def _summarise(experiment: Experiment, one: _PartialEvaluation) -> Evaluation:
    """On the folds that were fitted."""
    exit_ = one.early_exit
    if exit_ is None:
        return summarise_folds(experiment, one.candidate.name, one.fits)
    seen = experiment.take_repeats(exit_.folds // experiment.plan.n_folds)
    evaluation = summarise_folds(seen, one.candidate.name, one.fits).without_models()
    return replace(evaluation, early_exit=exit_)
