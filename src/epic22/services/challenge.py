"""A new version against the one that serves: opened, asked for the same rows, and compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from polars import DataFrame

from epic22.core.artifact.model import Model
from epic22.core.errors import BundleError, ColumnError, UnknownTaskError, UserError
from epic22.core.evaluation.challenge import Challenge, challenge_champion, select_compared_rows
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.evaluation.held_out import HeldOutPredictions
from epic22.core.experiment import Experiment
from epic22.core.lineage import ModelVersion
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_family, refuse_unfit_families
from epic22.core.models.loss import Loss
from epic22.core.ports import Registry
from epic22.core.progress import Progress
from epic22.core.tables.rowhash import hash_values
from epic22.core.targets import lift_to_floor
from epic22.core.task import Array, LossName, Target, Task

OWN_TASK = "give another question a --task of its own"


@dataclass(frozen=True)
class ServingModel:
    """The model that serves a task, opened, and what was kept of its held-out rows; None where a release before kept nothing, or
    that is damaged."""

    version: ModelVersion
    model: Model
    held_out: HeldOutPredictions | None

    @property
    def number(self) -> str:
        """The number of its version."""
        return self.version.version

    @property
    def loss(self) -> LossName | None:
        """The loss that it makes small, of values."""
        return self.model.describe().loss

    @property
    def quantile(self) -> float | None:
        """The quantile of outcomes that its values are, where that was written down."""
        return None if self.held_out is None else self.held_out.quantile

    @property
    def lacks_quantile(self) -> bool:
        """Whether its values are a quantile of outcomes, and nobody wrote down which: by a release before, or that is damaged."""
        return self.loss == "quantile" and self.quantile is None


def open_serving_model(registry: Registry, task: str, progress: Progress = Progress()) -> ServingModel | None:
    """The model that serves the task; None where none does, or what does cannot be opened: another then takes its place, which is
    said."""
    try:
        version = registry.champion(task)
        return ServingModel(version, registry.load(task, version.version), _load_held_out(registry, version))
    except UnknownTaskError:
        return None
    except UserError as error:
        progress.note(f"What served {task} cannot be opened, so the new version is compared with none: {error}")
        return None


def _load_held_out(registry: Registry, version: ModelVersion) -> HeldOutPredictions | None:
    try:
        return registry.load_held_out(version.task, version.version)
    except BundleError:
        # The model itself answers: it goes on serving, compared with nothing.
        return None


def challenge_with_rows(experiment: Experiment, challenger: Evaluation, constant: Evaluation, serving: ServingModel) -> Challenge:
    """The challenge of a model of rows: on the rows that the champion never learned from it is asked itself, on those that it did
    its out-of-fold responses stand for it."""
    try:
        refuse_other_target(experiment.task, serving.model)
        refuse_other_estimate(experiment.task.target, serving)
        responses = collect_responses(experiment, serving)
        refuse_other_shape(challenger, responses)
    except ColumnError as error:
        return refuse_comparison(serving, str(error))
    challenge = challenge_champion(select_compared_rows(experiment, challenger, constant, responses), serving.number)
    if not serving.lacks_quantile:
        return challenge
    note = f"no release wrote down which quantile version {serving.number} answers, so that it is taken for the one asked for now"
    return replace(challenge, why=f"{challenge.why}; {note}")


def find_recipe(task: Task, serving: ServingModel) -> Family | None:
    """The family that the champion was trained by as it comes, from the inputs and formulas that the task has now; None where a
    search or planned columns made it, the columns are others, or the family cannot take part."""
    recipe, columns = serving.model.recipe, {column.name for column in task.input_columns}
    if recipe is None or set(recipe.inputs) != columns or recipe.formulas != tuple(one.name for one in task.formulas):
        return None
    try:
        refuse_unfit_families((recipe.family,), task.target.kind, task.target.offset, task.has_sequence)
    except UserError:
        return None
    return get_family(recipe.family)


def evaluate_recipe(experiment: Experiment, board: Sequence[Evaluation], family: Family) -> Evaluation:
    """A family as it comes on the folds of an experiment: as the board of such families has it, else fitted in each fold."""
    on_board = next((one for one in board if one.family == family.name), None)
    return on_board or evaluate(experiment, make_candidate(experiment, family))


def refuse_comparison(serving: ServingModel, why: str) -> Challenge:
    """The challenge of two that cannot be compared: the one that serves goes on."""
    return Challenge(serving.number, False, f"it cannot be compared with version {serving.number}: {why}")


def refuse_other_target(task: Task, model: Model) -> None:
    """Raise ColumnError where the model predicts something else than the task."""
    description, target = model.describe(), task.target
    for what, old, new in (
        ("label", model.schema.target, target.name),
        ("kind of label", description.kind, target.kind),
        ("classes", ", ".join(description.classes), ", ".join(target.classes)),
    ):
        if old != new:
            raise ColumnError(f"its {what}: {old or 'none'} before, {new or 'none'} now; {OWN_TASK}")


def refuse_other_estimate(target: Target, serving: ServingModel) -> None:
    """Raise ColumnError where the champion answers another value of the label than the loss asks for, as the median.

    A quantile that nobody wrote down may be the one that is asked for: it is compared, and `challenge_with_rows` says so.
    """
    loss, quantile = serving.loss, serving.quantile
    if loss is None or (target.loss == "quantile" and serving.lacks_quantile):
        return
    old = "a quantile" if serving.lacks_quantile else Loss(loss, quantile or 0.5).estimate
    new = Loss.of(target).estimate
    if old != new:
        raise ColumnError(f"its answer: {old} before, {new} now; {OWN_TASK}")


def refuse_other_shape(challenger: Evaluation, responses: Array) -> None:
    """Raise ColumnError where the two answer other horizons."""
    if challenger.fold_predictions[0].response.shape[1:] != responses.shape[1:]:
        raise ColumnError("it answers other horizons")


def find_responses(X: DataFrame, serving: ServingModel) -> Array:
    """The champion's held-out responses to rows that it learned from, (n,) or (n, k); NaN for all others.

    Raises ColumnError where its columns are not in `X`, or nothing was kept.
    """
    held_out = serving.held_out
    if held_out is None:
        raise ColumnError("its held-out predictions were not kept by the release that trained it, or are damaged")
    for name in held_out.columns:
        if name not in X.columns:
            raise ColumnError(f"its column {name!r} is not among the inputs now")
    position = held_out.find_rows(hash_values(X, held_out.columns))
    responses = held_out.responses[position]
    responses[position < 0] = np.nan
    return responses


def collect_responses(experiment: Experiment, serving: ServingModel) -> Array:
    """The champion's honest responses to the tested rows, (n,) or (n, k), NaN where it has none.

    Raises ColumnError where its inputs are not among the examples'.
    """
    X, held_out = experiment.examples.X, serving.held_out
    # Versions before kept what the model said, and serve none of it that lies below the floor.
    responses = lift_to_floor(find_responses(X, serving), serving.model.floor)
    if held_out is None or not held_out.has_all_rows:
        return responses
    tested = np.unique(np.concatenate([fold.test for fold in experiment.plan.folds]))
    new_rows = tested[held_out.find_rows(hash_values(X[tested], held_out.columns)) < 0]
    if len(new_rows):
        responses[new_rows] = serving.model.compute_responses(X[new_rows])
    return responses
