"""What a doubtful column is worth: the race with it and without it, so that whoever knows the column can decide."""

from collections.abc import Sequence
from dataclasses import replace

from epic22.core.data.formula import drop_formulas
from epic22.core.data.leakage import LABEL_SUSPICIONS, ColumnPrice, Suspicion
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.evaluation.early_exit import restrict_evaluation
from epic22.core.evaluation.significance import compare
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family, is_combination
from epic22.core.progress import Progress
from epic22.core.task import Task

MAX_COLUMNS = 3
"""More doubtful columns than these are told without a price: each costs a fit in every fold."""

MAX_SHARE_OF_LIMIT = 0.1
"""Where the time is limited the race comes after it, and may take this share of the limit more."""


def price_doubtful_columns(
    experiment: Experiment, audit: Sequence[Suspicion], leaderboard: Sequence[Evaluation], progress: Progress, is_planned: bool
) -> tuple[ColumnPrice, ...]:
    """The prices of the columns that may know the label and are used, by the best family of the board as it comes.

    Both are on the folds of the first repeat. Where the board's columns are planned, that family is evaluated without planned
    ones first: others would be planned without the column. Nothing where none is doubtful, it is the only input, or no family
    that learns was evaluated.
    """
    inputs = {column.name for column in experiment.task.input_columns}
    names = [name for name in list_doubtful_columns(audit) if name in inputs][:MAX_COLUMNS]
    learners = _list_learners(leaderboard)
    if not names or not learners or len(inputs) == 1:
        return ()
    # Further repeats take as long each, and say hardly more of the same rows.
    experiment, family = experiment.take_repeats(1), learners[0].family
    with_columns = restrict_evaluation(experiment, learners[0])
    if is_planned:
        with_columns = _evaluate(experiment, family, f"{family} on the columns as they come", "", progress)
    return tuple(_price_column(experiment, with_columns, name, progress) for name in names)


def _evaluate(experiment: Experiment, family: str, what: str, about: str, progress: Progress) -> Evaluation:
    """A family on the experiment's folds, with its default recipe."""
    progress.begin(f"{what}: {len(experiment.plan.folds)} folds", len(experiment.plan.folds), "fold", about)
    return evaluate(experiment, make_candidate(experiment, get_family(family)), progress.step)


def list_doubtful_columns(audit: Sequence[Suspicion]) -> tuple[str, ...]:
    """The columns that may know the label and are used, each once."""
    doubtful = (s.column for s in audit if not s.withheld and s.suspicion in LABEL_SUSPICIONS)
    return tuple(dict.fromkeys(name for name in doubtful if name is not None))


def explain_costly_prices(
    experiment: Experiment, audit: Sequence[Suspicion], leaderboard: Sequence[Evaluation], limit: float
) -> str:
    """Why no doubtful column is raced where the time is limited to so many seconds; "" where the race is cheap."""
    n_columns = min(len(list_doubtful_columns(audit)), MAX_COLUMNS)
    # One more race is with every column, as it comes.
    fits = experiment.plan.n_folds * (n_columns + 1 if n_columns else 0)
    seconds = fits * next((e.fit_seconds for e in _list_learners(leaderboard)), 0.0)
    if seconds <= MAX_SHARE_OF_LIMIT * limit:
        return ""
    return f"training without it takes about {seconds:.1g} s more, too much beside --time-limit {limit:g}"


def _list_learners(leaderboard: Sequence[Evaluation]) -> list[Evaluation]:
    """Those of the board that learn as they come, in its order."""
    return [
        e
        for e in leaderboard
        if not (e.family == INCUMBENT or is_combination(e.family) or get_family(e.family).is_baseline) and e.early_exit is None
    ]


def _price_column(experiment: Experiment, with_column: Evaluation, name: str, progress: Progress) -> ColumnPrice:
    family, metric = with_column.family, experiment.task.target.metric
    evaluation = _evaluate(remove_column(experiment, name), family, f"{family} without …", name, progress)
    verdict = compare(experiment, with_column, evaluation, metric)
    return ColumnPrice(
        name,
        family,
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


def attach_prices(
    task: Task, audit: Sequence[Suspicion], prices: Sequence[ColumnPrice], why_none: str = ""
) -> tuple[Suspicion, ...]:
    """The findings, each with the price of its column where that was measured, else with `why_none`, if there is a reason."""
    inputs, by_column = {column.name for column in task.input_columns}, {price.column: price for price in prices}
    why_none = why_none or (f"no more than {MAX_COLUMNS} columns are raced" if prices else "")
    attached = []
    for one in audit:
        if one.withheld or one.suspicion not in LABEL_SUSPICIONS or one.column not in inputs:
            attached.append(one)
        elif one.column in by_column:
            attached.append(replace(one, price=by_column[one.column]))
        elif why_none:
            unknown = f"What it is worth is not known: {why_none}; --drop {one.column} trains without it."
            attached.append(replace(one, evidence=f"{one.evidence} {unknown}"))
        else:
            attached.append(one)
    return tuple(attached)
