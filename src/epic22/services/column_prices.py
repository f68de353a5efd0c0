"""What a doubtful column is worth: the race with it and without it, so that whoever knows the column can decide."""

from collections.abc import Sequence
from dataclasses import replace

from epic22.core.data.formula import drop_formulas
from epic22.core.data.leakage import LABEL_SUSPICIONS, ColumnPrice, Suspicion
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.evaluation.significance import compare
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import ENSEMBLE, get_family
from epic22.core.progress import Progress

MAX_COLUMNS = 3
"""More doubtful columns than these are told without a price: each costs a fit in every fold."""


def price_doubtful_columns(
    experiment: Experiment, audit: Sequence[Suspicion], leaderboard: Sequence[Evaluation], progress: Progress
) -> tuple[ColumnPrice, ...]:
    """The prices of the columns that may know the label and are used, by the best family of the board as it comes.

    Nothing where none is doubtful, it is the only input, or no family that learns was evaluated.
    """
    inputs = {column.name for column in experiment.task.input_columns}
    doubtful = [s.column for s in audit if not s.withheld and s.suspicion in LABEL_SUSPICIONS and s.column in inputs]
    learners = [e for e in leaderboard if e.family not in (INCUMBENT, ENSEMBLE.name) and not get_family(e.family).is_baseline]
    if not doubtful or not learners or len(inputs) == 1:
        return ()
    names = [name for name in dict.fromkeys(doubtful) if name is not None][:MAX_COLUMNS]
    return tuple(_price_column(experiment, learners[0], name, progress) for name in names)


def _price_column(experiment: Experiment, with_column: Evaluation, name: str, progress: Progress) -> ColumnPrice:
    family, metric = get_family(with_column.family), experiment.task.target.metric
    without = remove_column(experiment, name)
    progress.begin(f"{family.name} without {name}: {len(experiment.plan.folds)} folds", len(experiment.plan.folds))
    evaluation = evaluate(without, make_candidate(without, family), progress.step)
    verdict = compare(experiment, with_column, evaluation, metric)
    return ColumnPrice(
        name,
        family.name,
        metric.name,
        with_column.score(metric.name).value,
        evaluation.score(metric.name).value,
        verdict.difference,
    )


def remove_column(experiment: Experiment, name: str) -> Experiment:
    """The same rows and folds without a column, and without what formulas make of it."""
    task, examples = experiment.task, experiment.examples
    columns = tuple(replace(column, role="never") if column.name == name else column for column in task.columns)
    formulas = drop_formulas(task.formulas, task.input_columns, {name})
    return replace(
        experiment, task=replace(task, columns=columns, formulas=formulas), examples=replace(examples, X=examples.X.drop(name))
    )


def attach_prices(audit: Sequence[Suspicion], prices: Sequence[ColumnPrice]) -> tuple[Suspicion, ...]:
    """The findings, each with the price of its column where that was measured."""
    by_column = {price.column: price for price in prices}
    return tuple(
        replace(s, price=by_column[s.column]) if s.column in by_column and s.suspicion in LABEL_SUSPICIONS else s for s in audit
    )
