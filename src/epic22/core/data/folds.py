"""The records of a split: a fold, the plan of folds, and what is asked of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from epic22.core.lineage import sha256
from epic22.core.task import Array

FoldStrategy = Literal["walk_forward", "by_group", "repeated_stratified", "repeated", "holdout"]

Period = Literal["day", "week", "month"]


@dataclass(frozen=True)
class Fold:
    """Row numbers of one training and one test part; `repeat` counts the repeated splits from 0.

    `follow_up_days` (training rows,) of a hazard's inner fold: the days each was followed before the test part began. What came
    later must not be learned from.
    """

    train: Array
    test: Array
    repeat: int = 0
    follow_up_days: Array | None = None


@dataclass(frozen=True)
class SplitRequest:
    """What the user asked of the split. `horizon` and `label_delay`, from its end until a label is known, in days;
    `holdout_from` a moment, UTC.

    `test_rows`: the last n rows came from a test file of their own. `separate_groups`: no group is on both sides of a fold
    of timed rows either; rows without a time are always split so. `classes`: the names of the label's classes, for messages.
    """

    horizon: float = 0.0
    label_delay: float = 0.0
    group_by: Period | None = None
    holdout_from: np.datetime64 | None = None
    holdout_last: int | None = None
    test_rows: int = 0
    random_rows_despite_time: bool = False
    seed: int = 0
    n_folds: int = 5
    repeats: int = 5
    separate_groups: bool = False
    classes: tuple[str, ...] = ()

    def name_class(self, code: float) -> str:
        """The class of a code, for messages."""
        return f"class {self.classes[int(code)]!r}" if self.classes else f"class {code:g}"

    def advise_regression(self) -> str:
        """The way out of a message for a label of whole numbers that count or measure; empty where its classes are names.

        >>> SplitRequest(classes=("0", "1", "2")).advise_regression()
        '; --kind regression predicts whole numbers as a value'
        >>> SplitRequest(classes=("no", "yes")).advise_regression()
        ''
        """
        are_numbers = len(self.classes) > 2 and all(name.removeprefix("-").isdecimal() for name in self.classes)
        return "; --kind regression predicts whole numbers as a value" if are_numbers else ""

    @property
    def embargo(self) -> float:
        """Days from a row until its label is known."""
        return self.horizon + self.label_delay


@dataclass(frozen=True)
class FoldPlan:
    """The folds and how they came about: `why` says it in words; `warnings` go into every report.

    `embargo` are the days from a row until its label is known. Where time goes forward, training ends that long before the test
    part; folds that do not go forward have it too, and apply none.

    `clusters` (n,) are codes of what must stay together and is resampled together; None = every row for itself. `groups` (n,) are
    codes of what inner folds of timed rows keep apart as well; None where time alone parts them.
    """

    strategy: FoldStrategy
    folds: tuple[Fold, ...]
    repeats: int
    embargo: float
    why: str
    period: Period | None = None
    clusters: Array | None = None
    groups: Array | None = None
    warnings: tuple[str, ...] = ()

    @property
    def n_folds(self) -> int:
        """Folds in one repeat."""
        return len(self.folds) // self.repeats

    @property
    def is_repeated(self) -> bool:
        """Whether rows were split several times over, so that each is tested more than once."""
        return self.strategy in ("repeated", "repeated_stratified")

    def fingerprint(self, data_version: str) -> str:
        """Equal for two evaluations exactly when they saw the same rows in the same folds."""
        parts = (part for fold in self.folds for part in (fold.train.tobytes(), fold.test.tobytes()))
        return sha256(data_version.encode(), self.strategy.encode(), *parts)
