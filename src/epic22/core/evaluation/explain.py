"""What the champion looks at: columns, pairs and shapes, each with an interval, out of fold.

Every fold's own model explains test rows that it never saw, by exact contributions (SHAP values) that sum to the score. It says
what the models use, not what causes the outcome.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.copies import near_copies
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.dependence import Dependence, dependence
from epic22.core.evaluation.estimate import Estimate, Luck, estimate, luck_of
from epic22.core.evaluation.explained import Samples, samples_of
from epic22.core.evaluation.interactions import Interaction, interactions
from epic22.core.evaluation.permutation import permuted
from epic22.core.task import Array, Column, Task

Direction = Literal["raises", "lowers", "mixed", "by level", "none"]

TOP = 10
RANKINGS = 200
MOST_PERMUTED = 30
LEAST_SHARE = 0.001
"""A column that moves less of the score than this is not dealt anew: it has nothing to lose."""
MOST_DEPENDENCES = 8
STEADY = 0.5
"""Size of the rank correlation, of one sign in all folds, from which a column is said to raise or lower the score."""
TELLING_SHARE = 0.05
"""A column with less of the score's movement than this is not warned of."""


@dataclass(frozen=True)
class ColumnImportance:
    """A column of the model. `strength` is its mean |contribution| in the score's unit, `share` that by the sum over columns.

    `direction` is how the contribution goes with the value, by `correlation` (Spearman, mean over folds; NaN for levels), toward
    the class `toward` where there are many. `ranks` are its places by strength, one a fold, and `in_top` the share of folds where
    it is among the first. `loss` is what the deciding metric loses when it is dealt anew; None where it was not tried.
    """

    column: Column
    strength: Estimate
    share: float
    direction: Direction
    correlation: float
    ranks: tuple[float, ...]
    in_top: float
    loss: Estimate | None
    toward: str | None = None


@dataclass(frozen=True)
class Copies:
    """Columns, by name, that say nearly the same, by the weakest `agreement` (1 = the same); what they lose dealt together."""

    columns: tuple[str, ...]
    agreement: float
    loss: Estimate


@dataclass(frozen=True)
class Explanation:
    """What a family's out-of-fold models look at, strongest first.

    `agreement` is how far two trainings on fresh rows would agree on the columns' order, 1 wholly and 0 not at all;
    `fold_agreement` is Kendall's W of the folds' own rankings, which share training rows and so agree more. Both are NaN for one
    fold. `top` is how many places count as the first. `dependences` are those of the strongest columns.
    """

    family: str
    unit: str
    metric: str
    folds: int
    rows: int
    agreement: float
    fold_agreement: float
    top: int
    columns: tuple[ColumnImportance, ...]
    copies: tuple[Copies, ...]
    interactions: tuple[Interaction, ...]
    dependences: tuple[Dependence, ...]
    warnings: tuple[str, ...]


def explain(
    task: Task, examples: Examples, plan: FoldPlan, evaluation: Evaluation, seed: int = 0, unit: str = "log-odds"
) -> Explanation | None:
    """The explanation of a family whose models were kept (`cross_validate(keep=True)`); None where none was, or nothing moves.

    `unit` is what the scores are measured in.
    """
    samples = samples_of(examples, plan, evaluation, seed)
    if samples is None or not any(sample.parts.any() for sample in samples.folds):
        return None
    sizes = [np.abs(sample.parts).mean(axis=1) for sample in samples.folds]
    folds = np.array([size.mean(axis=0) for size in sizes])
    luck = luck_of(sizes, samples.units)
    order = [int(j) for j in np.argsort(-folds.mean(axis=0), kind="stable")]
    groups = near_copies(samples.columns, [samples.pooled(j) for j in range(len(samples.columns))])
    kind, metric, tried = task.target.kind, task.target.metric, _worth_trying(folds, order)
    losses = permuted(samples, [*((j,) for j in tried), *(members for members, _ in groups)], metric, kind, seed)
    copies = tuple(
        Copies(tuple(samples.columns[j].name for j in members), agreement, loss)
        for (members, agreement), loss in zip(groups, losses[len(tried) :], strict=True)
    )
    board = _Board(samples, folds, luck, task.target.classes if kind == "multiclass" else ())
    alone = dict(zip(tried, losses, strict=False))
    columns = tuple(board.column(j, alone.get(j)) for j in order)
    pairs = interactions(samples, order, kind)
    shapes = tuple(dependence(samples, j, *board.toward(j)) for j in order[:MOST_DEPENDENCES] if folds[:, j].any())
    return Explanation(
        family=evaluation.family,
        unit=unit,
        metric=metric.name,
        folds=len(samples.folds),
        rows=sum(len(sample.rows) for sample in samples.folds),
        agreement=board.agreement(seed),
        fold_agreement=kendalls_w(board.ranks),
        top=board.top,
        columns=columns,
        copies=copies,
        interactions=pairs,
        dependences=shapes,
        warnings=warnings_of(columns, copies, metric.name, board.agreement(seed), len(samples.folds)),
    )


def _worth_trying(folds: Array, order: list[int]) -> list[int]:
    shares = folds.mean(axis=0) / folds.mean(axis=0).sum()
    return [j for j in order[:MOST_PERMUTED] if shares[j] >= LEAST_SHARE]


class _Board:
    """The columns' figures beside one another: strengths of the folds (f, p), their ranks, who is among the first."""

    def __init__(self, samples: Samples, folds: Array, luck: list[Luck], classes: tuple[str, ...]) -> None:
        self.samples, self.folds, self.classes = samples, folds, classes
        self.strengths = [estimate(folds[:, j], luck[j], samples.shared, least=0.0) for j in range(folds.shape[1])]
        self.ranks = np.array([stats.rankdata(-fold) for fold in folds])
        # Among few columns nearly all would be among the first ten.
        self.top = min(TOP, max(1, folds.shape[1] // 2))
        self.total = float(folds.mean(axis=0).sum())

    def column(self, j: int, loss: Estimate | None) -> ColumnImportance:
        """One column's line."""
        output, toward = self.toward(j)
        direction, correlation = self._direction(j, output)
        return ColumnImportance(
            column=self.samples.columns[j],
            strength=self.strengths[j],
            share=float(self.folds[:, j].mean()) / self.total,
            direction=direction,
            correlation=correlation,
            ranks=tuple(self.ranks[:, j].tolist()),
            in_top=float((self.ranks[:, j] <= self.top).mean()),
            loss=loss,
            toward=toward,
        )

    def agreement(self, seed: int) -> float:
        """How far two fresh trainings would agree: Kendall's W of rankings drawn from the intervals, put right.

        The figures seen differ by what the columns are worth and by the luck of this training; drawing adds that luck again.
        With V and L for both, W is near (V + L) / (V + 2 L), and fresh trainings agree by V / (V + L) = 2 - 1 / W.
        """
        if len(self.folds) < 2 or self.folds.shape[1] < 2:
            return math.nan
        values, errors = (np.array([getattr(one, name) for one in self.strengths]) for name in ("value", "error"))
        drawn = values + errors * np.random.default_rng([seed, 8]).standard_normal((RANKINGS, len(values)))
        w = kendalls_w(np.array([stats.rankdata(-one) for one in drawn]))
        return max(0.0, 2 - 1 / w) if w > 0 else 0.0

    def toward(self, j: int) -> tuple[int, str | None]:
        """The output that the column moves most, and the class it stands for where there are many."""
        if not self.classes:
            return 0, None
        sizes = np.mean([np.abs(sample.parts[:, :, j]).mean(axis=0) for sample in self.samples.folds], axis=0)
        return int(sizes.argmax()), self.classes[int(sizes.argmax())]

    def _direction(self, j: int, output: int) -> tuple[Direction, float]:
        if not self.folds[:, j].any():
            return "none", math.nan
        if self.samples.columns[j].dtype == "category":
            return "by level", math.nan
        found = np.array([_spearman(sample.values(j), sample.parts[:, output, j]) for sample in self.samples.folds])
        found = found[~np.isnan(found)]
        if not len(found):
            return "mixed", math.nan
        mean = float(found.mean())
        if abs(mean) < STEADY or (np.sign(found) != np.sign(mean)).any():
            return "mixed", mean
        return ("raises" if mean > 0 else "lowers"), mean


def _spearman(value: Array, part: Array) -> float:
    """Rank correlation over rows that have a value; NaN where either is constant."""
    known = ~np.isnan(value)
    if known.sum() < 3 or np.ptp(value[known]) == 0 or np.ptp(part[known]) == 0:
        return math.nan
    return float(stats.spearmanr(value[known], part[known])[0])


def kendalls_w(ranks: Array) -> float:
    """Agreement of rankings (f, p), 0 to 1, ties put right (Kendall and Smith 1939); NaN for one ranking, or of one thing.

    >>> kendalls_w(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))
    1.0
    """
    f, p = ranks.shape
    if f < 2 or p < 2:
        return math.nan
    spread = float(((ranks.sum(axis=0) - f * (p + 1) / 2) ** 2).sum())
    ties = sum(float((counts**3 - counts).sum()) for counts in (np.unique(one, return_counts=True)[1] for one in ranks))
    most = f**2 * (p**3 - p) - f * ties
    return 12 * spread / most if most > 0 else math.nan


def warnings_of(
    columns: tuple[ColumnImportance, ...], copies: tuple[Copies, ...], metric: str, agreement: float, folds: int
) -> tuple[str, ...]:
    """What a reader of the table could take wrongly, in sentences."""
    said = [
        f"{_listed(group.columns)} are near copies (agreement {group.agreement:.2f}): they share the credit, so neither's "
        f"importance is its own. Dealt together they cost {_told(group.loss)} {metric}."
        for group in copies
    ]
    copied = {name for group in copies for name in group.columns}
    doubtful = [
        one
        for one in columns
        if one.loss is not None and one.share >= TELLING_SHARE and not one.loss.low > 0 and one.column.name not in copied
    ]
    if doubtful:
        named = _listed(tuple(f"{one.column.name} ({one.share:.0%})" for one in doubtful))
        move, one = ("moves", "it") if len(doubtful) == 1 else ("move", "any one")
        said.append(
            f"{named} {move} the score, but without {one} {metric} is not certainly worse on held-out rows: "
            "what is said there may be in other columns too, or be noise."
        )
    said += [_decides_few(one, columns, metric) for one in columns if _is_underrated(one, columns)]
    if folds == 1:
        said.append("There is one fold: the intervals do not know how much another training would differ.")
    elif agreement < STEADY:
        said.append(
            f"Another training would order the columns otherwise (agreement {agreement:.2f} of 1): the order says little."
        )
    return tuple(said)


def _is_underrated(one: ColumnImportance, columns: tuple[ColumnImportance, ...]) -> bool:
    """Certainly worth something, and by that much higher than by what it moves: half the ranking at least."""
    if one.loss is None or not one.loss.low > 0:
        return False
    by_loss = 1 + sum(other.loss is not None and other.loss.value > one.loss.value for other in columns)
    return columns.index(one) + 1 >= 2 * by_loss + 2


def _decides_few(one: ColumnImportance, columns: tuple[ColumnImportance, ...], metric: str) -> str:
    place = columns.index(one) + 1
    return (
        f"{one.column.name} is only number {place} by what it moves, but {metric} loses {_told(one.loss)} without it: "
        "it decides few rows, or those that count."
    )


def _told(loss: Estimate | None) -> str:
    return "–" if loss is None else f"{loss.value:.3g} ({loss.low:.3g} to {loss.high:.3g})"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
