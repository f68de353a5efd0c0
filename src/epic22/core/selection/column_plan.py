"""A plan of columns: the recipe, what each change gained, what columns are worth; and how it is kept until a training is done."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

import numpy as np

from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.data.folds import Fold
from epic22.core.experiment import Experiment
from epic22.core.fit_store import FitForm, StoredFit, list_array_bytes
from epic22.core.lineage import sha256
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.column_booster import ColumnStrength
from epic22.core.statistics import Interval
from epic22.core.tables.rowhash import hash_values
from epic22.core.task import Array, Formula


@dataclass(frozen=True)
class Gain:
    """What a change of columns did to the held-out loss, `gain` > 0: it fell; the interval is one standard error around."""

    change: str
    columns: tuple[str, ...]
    gain: Interval
    accepted: bool


@dataclass(frozen=True)
class ColumnPlan:
    """The recipe of the columns, and why. `loss` names what was held out for: log loss or squared error, before and after."""

    recipe: FeatureRecipe
    gains: tuple[Gain, ...]
    strengths: tuple[ColumnStrength, ...]
    loss: str
    before: float
    after: float
    folds: int
    rows: int
    fits: int
    seconds: float = field(compare=False, default=0.0)


def compute_plan_digest(experiment: Experiment, rows: Array, folds: Sequence[Fold], max_fits: int, environment: bytes) -> str:
    """The hash of all that decides the plan of these rows' columns by so many fits on these inner folds."""
    task, plan, part = experiment.task, experiment.plan, experiment.examples.take(rows)
    problem = (LearningProblem.of(task), task.target.classes, task.input_columns, task.formulas)
    split = (plan.strategy, plan.embargo, plan.period, None if part.group is None else [str(group) for group in part.group])
    how = (problem, split, experiment.seed, experiment.threads, max_fits, part.data_version)
    codes = (None if one is None else one[rows] for one in (plan.clusters, plan.groups))
    parts = (array for fold in folds for array in (fold.train, fold.test, fold.follow_up_days))
    arrays = list_array_bytes(hash_values(part.X, part.X.columns), part.y, part.at, *codes, *parts)
    return sha256(b"columns", environment, repr(how).encode(), *arrays)


def _write(plan: ColumnPlan) -> StoredFit:
    """Names and counts as JSON; figures, which may be infinite, as arrays."""
    recipe = plan.recipe
    facts = {
        "inputs": recipe.inputs,
        "formulas": [astuple(one) for one in recipe.formulas],
        "encodings": [astuple(one) for one in recipe.encodings],
        "gains": [(one.change, one.columns, bool(one.accepted)) for one in plan.gains],
        "strengths": [(one.column, bool(one.selected)) for one in plan.strengths],
        "counts": (plan.loss, plan.folds, plan.rows, plan.fits),
        "planning_seconds": plan.seconds,
    }
    strengths = [(one.permutation, one.error, one.contribution, one.stability) for one in plan.strengths]
    figures = {
        "gains": np.array([astuple(one.gain) for one in plan.gains], dtype=np.float64).reshape(-1, 3),
        "strengths": np.array(strengths, dtype=np.float64).reshape(-1, 4),
        "losses": np.array([plan.before, plan.after], dtype=np.float64),
    }
    return StoredFit(arrays=figures, facts=facts)


def _read(stored: StoredFit) -> ColumnPlan:
    facts, figures = stored.facts, {name: array.tolist() for name, array in stored.arrays.items()}
    loss, folds, rows, fits = facts["counts"]
    before, after = figures["losses"]
    return ColumnPlan(
        FeatureRecipe(
            None if facts["inputs"] is None else tuple(facts["inputs"]),
            tuple(Formula(*one) for one in facts["formulas"]),
            tuple(CategoryEncoding(*one) for one in facts["encodings"]),
        ),
        tuple(
            Gain(change, tuple(columns), Interval(*gain), accepted)
            for (change, columns, accepted), gain in zip(facts["gains"], figures["gains"], strict=True)
        ),
        tuple(
            ColumnStrength(column, permutation, error, contribution, stability, selected)
            for (column, selected), (permutation, error, contribution, stability) in zip(
                facts["strengths"], figures["strengths"], strict=True
            )
        ),
        loss,
        before,
        after,
        folds,
        rows,
        fits,
        facts["planning_seconds"],
    )


COLUMN_PLAN_FORM = FitForm(_write, _read)
"""How a plan is kept."""
