"""What the champion looks at: columns, pairs and shapes, each with an interval, out of fold.

Every fold's own model explains test rows that it never saw, by exact contributions (SHAP values) that sum to the score. It says
what the models use, not what causes the outcome. Of columns that say the same a model may split on either: they share the
credit, and neither's importance is its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.explain.dependence import DependenceProfile, compute_dependence
from epic22.core.evaluation.explain.interactions import Interaction, find_interactions
from epic22.core.evaluation.explain.permutation import compute_permutation_importance
from epic22.core.evaluation.explain.shap_samples import ShapSamples, sample_shap_values
from epic22.core.evaluation.intervals import Estimate, SamplingVariance, compute_sampling_variances, estimate_mean
from epic22.core.experiment import Experiment
from epic22.core.task import Array, Column

Direction = Literal["raises", "lowers", "mixed", "by level", "none"]

N_TOP = 10
N_RANKINGS = 200
MAX_PERMUTED = 30
MIN_SHARE = 0.001
"""A column that moves less of the score than this is not permuted: it has nothing to lose."""
MAX_DEPENDENCES = 8
MIN_CORRELATION = 0.5
"""Size of the rank correlation, of one sign in all folds, from which a column is said to raise or lower the score."""
MIN_WARNING_SHARE = 0.05
"""A column with less of the score's movement than this is not warned of."""

MIN_AGREEMENT = 0.95
"""Rank correlation of numbers, or shared information of categories, from which two columns are near copies."""

MAX_DISTINCT_VALUES = 20

MIN_ROWS_PER_LEVEL = 10
"""A category with fewer rows a level than this agrees with another by chance."""


@dataclass(frozen=True)
class ColumnImportance:
    """A column of the model. `strength` is its mean |contribution| in the score's unit, `share` that by the sum over columns.

    `direction` is how the contribution goes with the value, by `correlation` (Spearman, mean over folds; NaN for levels), toward
    the class `toward` where there are many. `ranks` are its places by strength, one a fold, and `in_top` the share of folds where
    it is among the first. `loss` is what the deciding metric loses when it is permuted; None where it was not tried.
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
class NearDuplicates:
    """Columns, by name, that say nearly the same, by the weakest `agreement` (1 = the same); what they lose permuted together."""

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
    near_duplicates: tuple[NearDuplicates, ...]
    interactions: tuple[Interaction, ...]
    dependences: tuple[DependenceProfile, ...]
    warnings: tuple[str, ...]


def explain(experiment: Experiment, evaluation: Evaluation, unit: str = "log-odds") -> Explanation | None:
    """The explanation of a family whose models were kept (`evaluate(keep_models=True)`); None where none was, or nothing moves.

    `unit` is what the scores are measured in.
    """
    task, seed, samples = experiment.task, experiment.seed, sample_shap_values(experiment, evaluation)
    if samples is None or not any(sample.shap_values.any() for sample in samples.folds):
        return None
    sizes = [np.abs(sample.shap_values).mean(axis=1) for sample in samples.folds]
    folds = np.array([size.mean(axis=0) for size in sizes])
    variances = compute_sampling_variances(sizes, samples.clusters)
    order = [int(j) for j in np.argsort(-folds.mean(axis=0), kind="stable")]
    groups = find_near_duplicates(
        samples.columns,
        [np.concatenate([sample.get_values(j) for sample in samples.folds]) for j in range(len(samples.columns))],
    )
    metric, shares = task.target.metric, folds.mean(axis=0) / folds.mean(axis=0).sum()
    permuted_columns = [j for j in order[:MAX_PERMUTED] if shares[j] >= MIN_SHARE]
    losses = compute_permutation_importance(
        samples, [*((j,) for j in permuted_columns), *(members for members, _ in groups)], task.target, seed
    )
    duplicates = tuple(
        NearDuplicates(tuple(samples.columns[j].name for j in members), agreement, loss)
        for (members, agreement), loss in zip(groups, losses[len(permuted_columns) :], strict=True)
    )
    table = _ImportanceTable(samples, folds, variances, task.target.classes if task.target.traits.has_score_per_class else ())
    loss_by_column = dict(zip(permuted_columns, losses, strict=False))
    columns = tuple(table.describe_column(j, loss_by_column.get(j)) for j in order)
    pairs = find_interactions(samples, order, task.target)
    shapes = tuple(compute_dependence(samples, j, *table.find_class(j)) for j in order[:MAX_DEPENDENCES] if folds[:, j].any())
    return Explanation(
        family=evaluation.family,
        unit=unit,
        metric=metric.name,
        folds=len(samples.folds),
        rows=sum(len(sample.rows) for sample in samples.folds),
        agreement=table.compute_agreement(seed),
        fold_agreement=compute_kendalls_w(table.ranks),
        top=table.top,
        columns=columns,
        near_duplicates=duplicates,
        interactions=pairs,
        dependences=shapes,
        warnings=write_warnings(columns, duplicates, metric.name, table.compute_agreement(seed), len(samples.folds)),
    )


class _ImportanceTable:
    """The columns' figures beside one another: strengths of the folds (f, p), their ranks, who is among the first."""

    def __init__(self, samples: ShapSamples, folds: Array, variances: list[SamplingVariance], classes: tuple[str, ...]) -> None:
        self.samples, self.folds, self.classes = samples, folds, classes
        self.strengths = [
            estimate_mean(folds[:, j], variances[j], samples.training_overlap, lower_bound=0.0) for j in range(folds.shape[1])
        ]
        self.ranks = np.array([scipy.stats.rankdata(-fold) for fold in folds])
        # Among few columns nearly all would be among the first ten.
        self.top = min(N_TOP, max(1, folds.shape[1] // 2))
        self.total = float(folds.mean(axis=0).sum())

    def describe_column(self, j: int, loss: Estimate | None) -> ColumnImportance:
        """One column's line."""
        output, toward = self.find_class(j)
        direction, correlation = self._compute_direction(j, output)
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

    def compute_agreement(self, seed: int) -> float:
        """How far two fresh trainings would agree: Kendall's W of rankings drawn from the intervals, put right.

        The figures seen differ by what the columns are worth and by the luck of this training; drawing adds that luck again.
        With V and L for both, W is near (V + L) / (V + 2 L), and fresh trainings agree by V / (V + L) = 2 - 1 / W.
        """
        if len(self.folds) < 2 or self.folds.shape[1] < 2:
            return math.nan
        values, errors = (np.array([getattr(one, name) for one in self.strengths]) for name in ("value", "error"))
        sampled = values + errors * np.random.default_rng([seed, 8]).standard_normal((N_RANKINGS, len(values)))
        w = compute_kendalls_w(np.array([scipy.stats.rankdata(-one) for one in sampled]))
        return max(0.0, 2 - 1 / w) if w > 0 else 0.0

    def find_class(self, j: int) -> tuple[int, str | None]:
        """The output that the column moves most, and the class it stands for where there are many."""
        if not self.classes:
            return 0, None
        sizes = np.mean([np.abs(sample.shap_values[:, :, j]).mean(axis=0) for sample in self.samples.folds], axis=0)
        return int(sizes.argmax()), self.classes[int(sizes.argmax())]

    def _compute_direction(self, j: int, output: int) -> tuple[Direction, float]:
        if not self.folds[:, j].any():
            return "none", math.nan
        if self.samples.columns[j].dtype == "category":
            return "by level", math.nan
        correlations = np.array(
            [_compute_spearman(sample.get_values(j), sample.shap_values[:, output, j]) for sample in self.samples.folds]
        )
        correlations = correlations[~np.isnan(correlations)]
        if not len(correlations):
            return "mixed", math.nan
        mean = float(correlations.mean())
        if abs(mean) < MIN_CORRELATION or (np.sign(correlations) != np.sign(mean)).any():
            return "mixed", mean
        return ("raises" if mean > 0 else "lowers"), mean


def _compute_spearman(value: Array, part: Array) -> float:
    """Rank correlation over rows that have a value; NaN where either is constant."""
    known = ~np.isnan(value)
    if known.sum() < 3 or np.ptp(value[known]) == 0 or np.ptp(part[known]) == 0:
        return math.nan
    return float(scipy.stats.spearmanr(value[known], part[known])[0])


def compute_kendalls_w(ranks: Array) -> float:
    """Agreement of rankings (f, p), 0 to 1, ties put right (Kendall and Smith 1939); NaN for one ranking, or of one thing.

    >>> compute_kendalls_w(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))
    1.0
    """
    f, p = ranks.shape
    if f < 2 or p < 2:
        return math.nan
    spread = float(((ranks.sum(axis=0) - f * (p + 1) / 2) ** 2).sum())
    ties = sum(float((counts**3 - counts).sum()) for counts in (np.unique(one, return_counts=True)[1] for one in ranks))
    most = f**2 * (p**3 - p) - f * ties
    return 12 * spread / most if most > 0 else math.nan


def write_warnings(
    columns: tuple[ColumnImportance, ...], duplicates: tuple[NearDuplicates, ...], metric: str, agreement: float, folds: int
) -> tuple[str, ...]:
    """What a reader of the table could take wrongly, in sentences."""
    sentences = [
        f"{_join_names(group.columns)} are near copies (agreement {group.agreement:.2f}): they share the credit, so neither's "
        f"importance is its own. Permuted together they cost {_format_loss(group.loss)} {metric}."
        for group in duplicates
    ]
    duplicate_names = {name for group in duplicates for name in group.columns}
    doubtful = [
        one
        for one in columns
        if one.loss is not None
        and one.share >= MIN_WARNING_SHARE
        and not one.loss.low > 0
        and one.column.name not in duplicate_names
    ]
    if doubtful:
        named = _join_names(tuple(f"{one.column.name} ({one.share:.0%})" for one in doubtful))
        move, one = ("moves", "it") if len(doubtful) == 1 else ("move", "any one")
        sentences.append(
            f"{named} {move} the score, but without {one} {metric} is not certainly worse on held-out rows: "
            "their information may be in other columns too, or be noise."
        )
    sentences += [_describe_underrated(one, columns, metric) for one in columns if _is_underrated(one, columns)]
    if folds == 1:
        sentences.append("There is one fold: the intervals do not know how much another training would differ.")
    elif agreement < MIN_CORRELATION:
        sentences.append(
            f"Another training would order the columns differently (agreement {agreement:.2f} of 1): do not rely on the order."
        )
    return tuple(sentences)


def _is_underrated(one: ColumnImportance, columns: tuple[ColumnImportance, ...]) -> bool:
    """Certainly worth something, and by that much higher than by what it moves: half the ranking at least."""
    if one.loss is None or not one.loss.low > 0:
        return False
    by_loss = 1 + sum(other.loss is not None and other.loss.value > one.loss.value for other in columns)
    return columns.index(one) + 1 >= 2 * by_loss + 2


def _describe_underrated(one: ColumnImportance, columns: tuple[ColumnImportance, ...], metric: str) -> str:
    place = columns.index(one) + 1
    return (
        f"{one.column.name} is only number {place} by what it moves, but {metric} loses {_format_loss(one.loss)} without it: "
        "it decides few rows, or those that count."
    )


def _format_loss(loss: Estimate | None) -> str:
    return "–" if loss is None else f"{loss.value:.3g} ({loss.low:.3g} to {loss.high:.3g})"


def _join_names(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def find_near_duplicates(columns: Sequence[Column], values: Sequence[Array]) -> list[tuple[tuple[int, ...], float]]:
    """Groups of columns, by place, each a near copy of another in its group, and the weakest such agreement in it.

    `values` (n,) a column: numbers with NaN for missing, levels with None. Numbers agree by the size of Spearman's correlation
    (missing counts as the middle), categories and numbers of few values by mutual information ÷ the larger entropy.
    """
    pairs = [*_compare_numbers(columns, values), *_compare_categories(columns, values)]
    groups: list[tuple[set[int], float]] = []
    for a, b, agreement in pairs:
        touching = [group for group in groups if group[0] & {a, b}]
        joined = ({a, b}.union(*(group[0] for group in touching)), min([agreement, *(group[1] for group in touching)]))
        groups = [group for group in groups if group not in touching] + [joined]
    return [(tuple(sorted(members)), agreement) for members, agreement in groups]


def _compare_numbers(columns: Sequence[Column], values: Sequence[Array]) -> list[tuple[int, int, float]]:
    places = [j for j, column in enumerate(columns) if column.dtype != "category"]
    ranks = [_standardise_ranks(values[j]) for j in places]
    ranked_columns = [(j, rank) for j, rank in zip(places, ranks, strict=True) if rank is not None]
    if len(ranked_columns) < 2:
        return []
    table = np.stack([rank for _, rank in ranked_columns])
    agreement = np.abs(table @ table.T)
    pairs = np.argwhere(np.triu(agreement >= MIN_AGREEMENT, k=1))
    return [(ranked_columns[a][0], ranked_columns[b][0], float(min(agreement[a, b], 1.0))) for a, b in pairs]


def _standardise_ranks(value: Array) -> Array | None:
    """Ranks of length one about zero, missing as zero; None for a constant."""
    known = ~np.isnan(value)
    if not known.any():
        return None
    rank = np.zeros(len(value))
    rank[known] = scipy.stats.rankdata(value[known])
    rank[known] -= rank[known].mean()
    length = float(np.linalg.norm(rank))
    return rank / length if length > 0 else None


def _compare_categories(columns: Sequence[Column], values: Sequence[Array]) -> list[tuple[int, int, float]]:
    """Pairs of which one at least is a category."""
    coded = {}
    for j, (column, value) in enumerate(zip(columns, values, strict=True)):
        named = value.astype(str)
        levels, code = np.unique(named, return_inverse=True)
        enough = 1 < len(levels) <= len(value) / MIN_ROWS_PER_LEVEL
        if enough and (column.dtype == "category" or len(levels) <= MAX_DISTINCT_VALUES):
            coded[j] = code
    pairs = []
    for a in coded:
        for b in coded:
            if a < b and "category" in (columns[a].dtype, columns[b].dtype):
                agreement = _compute_shared_information(coded[a], coded[b])
                if agreement >= MIN_AGREEMENT:
                    pairs.append((a, b, agreement))
    return pairs


def _compute_shared_information(a: Array, b: Array) -> float:
    """Mutual information by the larger of the entropies: 1 where each tells the other."""
    together = np.bincount(a * (int(b.max()) + 1) + b)
    first, second, both = (_compute_entropy(np.bincount(a)), _compute_entropy(np.bincount(b)), _compute_entropy(together))
    return (first + second - both) / max(first, second)


def _compute_entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
