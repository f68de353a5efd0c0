"""What a family builds an estimator for: input columns and the target as models learn it, nothing of where rows come from."""

from dataclasses import dataclass, replace
from typing import Self

from epic22.core.data.sequence_columns import arrange_steps
from epic22.core.models.loss import SQUARED, Loss, needs_smearing
from epic22.core.targets import TargetKind, get_kind
from epic22.core.task import Kind, Task


@dataclass(frozen=True)
class LearningProblem:
    """The matrix's columns by name, which of them are `categorical`, and the target: `kind`, `n_classes`, `horizons`, `loss`.

    With `log` models learn the logarithm of the label, else its distance from `center` in parts of `scale`; with `smearing`
    exponentials are put right to be means. `offset` is the column whose logarithm is added to the score. It is plain data, so
    that another process builds the same estimators. `steps` (s, c) are positions of the columns that are steps of a sequence.
    No answer lies below the `floor`: models do not know of it, who chooses among them by their values does.
    """

    kind: Kind
    columns: tuple[str, ...]
    categorical: tuple[bool, ...]
    n_classes: int = 0
    horizons: tuple[float, ...] = ()
    loss: Loss = SQUARED
    log: bool = False
    smearing: bool = False
    offset: str | None = None
    center: float = 0.0
    scale: float = 1.0
    steps: tuple[tuple[int, ...], ...] = ()
    floor: float | None = None

    @classmethod
    def of(cls, task: Task) -> Self:
        """The problem of a task's inputs and the target that decides."""
        target = task.target
        return cls(
            target.kind,
            tuple(column.name for column in task.input_columns),
            tuple(column.dtype == "category" for column in task.input_columns),
            len(target.classes),
            target.horizons,
            Loss.of(target),
            bool(target.log),
            bool(target.log) and needs_smearing(target),
            target.offset,
            target.center,
            target.scale,
            arrange_steps(task.input_columns),
            target.floor,
        )

    @property
    def traits(self) -> TargetKind:
        """What differs by the kind of target."""
        return get_kind(self.kind, self.loss.name)

    def drop_column(self, name: str) -> Self:
        """The problem without one of the columns."""
        positions = [position for position, column in enumerate(self.columns) if column != name]
        columns, categorical = tuple(self.columns[i] for i in positions), tuple(self.categorical[i] for i in positions)
        place = {position: new for new, position in enumerate(positions)}
        steps = tuple(tuple(place[position] for position in step if position in place) for step in self.steps)
        return replace(self, columns=columns, categorical=categorical, steps=steps)
