"""Columns that know too much of the future: filled after the event, or better by themselves than all others together.

Three tests:

* No cause knows the horizon. As an event comes nearer, a real precursor rises when it will; the label rises at the horizon. A
  column that jumps at just that cutoff, and neither before nor after, was filled with the label in hand. A column that moves
  on there as it does from any cutoff to the next, as days since a visit do, was not: where failures keep a calendar, the rate
  of failures by its value may step at the horizon without any leak.
* Gaps in records tell little. A column that is there for most of one class and missing in most of the other was filled for it.
* One column that tells the classes apart better than all the others together is either the whole story or the label's shadow.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy

from epic22.core.data.column_scores import (
    N_BINS,
    assign_folds,
    bin_values,
    bound_auc,
    compute_risk,
    encode_entities,
    sample_entities,
    score_boosting,
)
from epic22.core.data.leakage import Suspicion
from epic22.core.targets import TargetKind
from epic22.core.task import Array, Column

SIGNIFICANCE = 1e-4
MIN_EVENTS = 15
MIN_EDGE_RATIO = 3.0
"""A column's rise at the label's edge must be this many times its rise a cutoff before and a cutoff after."""

MIN_CLOCK_SHARE = 0.8
"""A column that moves by its usual step at this share of the edges counts time, and was filled by nobody."""

MAX_EXCESS_P_VALUE = 1e-3
"""The chance that so much more happens at the edge than beside it."""

MIN_ROWS = 200
MIN_POSITIVES = 30
MIN_AUC = 0.7
MIN_AUC_ALONE = 0.85
"""In a table of one's own, of which nothing is known, a column must be better than this to be asked about."""

MAX_OPEN_ALONE = 0.1
MIN_OPEN_RATIO = 3.0
N_FINE_BINS = 250
"""A single number leaves at most this share of the labels' order open, the others at least this, and so many times its own."""

MAX_LATE = 0.05
MIN_FILLED_AUC = 0.68
"""Gaps that alone tell the classes apart this well: on ten clean public sets no column's gaps reach 0.60."""

MIN_FILLED_AUC_BOUND = 0.62
MIN_LEAD = 0.02
"""How much ROC AUC the single column must be ahead of all others by."""


@dataclass(frozen=True)
class Jump:
    """Mean change, in a column's standard deviations, at the label's edge, a cutoff before and one after; its chance."""

    edge: float
    before: float
    after: float
    p_value: float


@dataclass(frozen=True)
class LabelledFolds:
    """Rows to be scored out of fold: label (n,) of 0 or 1, whose row each is (n,), its fold (n,); `seed` draws what is drawn."""

    y: Array
    entity: Array
    fold: Array
    seed: int


def audit_target_leakage(
    inputs: pl.DataFrame,
    columns: tuple[Column, ...],
    y: Array,
    entity: Array,
    at: Array | None,
    seed: int = 0,
) -> tuple[Suspicion, ...]:
    """Columns filled after the event, and a single column that scores implausibly well; at most one finding a column.

    `inputs` (n, p) holds the columns; `y` (n,) is 0 or 1; `entity` (n,) and `at` (n,) say whose row it is and when its cutoff
    lies, None where the label does not lie after a cutoff. Without cutoffs, or with one an entity, the first test is mute. The
    second and third test look at about 20,000 rows at most, entities whole. Only the first withholds a column.
    """
    names = [column.name for column in columns if column.role == "input"]
    if len(y) < MIN_ROWS or min(y.sum(), len(y) - y.sum()) < MIN_POSITIVES:
        return ()
    suspicions = _find_post_event_columns(inputs.select(names), y, entity, at, seed) if at is not None else []
    rows = sample_entities(entity, seed)
    inputs, y, entity = inputs[rows], y[rows], entity[rows]
    if min(y.sum(), len(y) - y.sum()) < MIN_POSITIVES:
        return tuple(suspicions)
    suspicions += _find_filled_columns(
        inputs, [name for name in names if name not in {s.column for s in suspicions}], y, entity, seed
    )
    fold = assign_folds(entity, seed)
    risks = {name: compute_risk(inputs[name], y, fold) for name in names if name not in {s.column for s in suspicions}}
    return (*suspicions, *_find_implausible_column(inputs, risks, LabelledFolds(y, entity, fold, seed)))


def audit_single_columns(
    inputs: pl.DataFrame, label: pl.Series, kind: TargetKind, clusters: pl.Series | None, seed: int = 0
) -> tuple[Suspicion, ...]:
    """Of a table of one's own: columns filled for one class, and one that scores implausibly beside all others; none is withheld.

    `inputs` are the columns that are learned from, `label` (n,) classes or numbers; rows of a cluster are one piece of evidence.
    """
    entity = np.arange(len(label)) if clusters is None else clusters.cast(pl.String).fill_null("missing").to_numpy()
    if len(label) < MIN_ROWS or not inputs.width:
        return ()
    rows = sample_entities(entity, seed)
    inputs, label, entity = inputs[rows], label[rows], entity[rows]
    if kind.is_regression:
        return tuple(_find_implausible_number(inputs, label.cast(pl.Float64).to_numpy(), entity, seed))
    y = (label == label.unique().sort()[-1]).to_numpy().astype(int)
    n_entities = min(len(np.unique(encode_entities(entity)[y == one])) for one in (0, 1))
    if not kind.has_positive_class or n_entities < MIN_POSITIVES:
        return ()
    filled = _find_filled_columns(inputs, inputs.columns, y, entity, seed)
    fold, named = assign_folds(entity, seed), {s.column for s in filled}
    risks = {name: compute_risk(inputs[name], y, fold) for name in inputs.columns if name not in named}
    return (*filled, *_find_implausible_column(inputs, risks, LabelledFolds(y, entity, fold, seed), MIN_AUC_ALONE))


def find_late_dates(inputs: pl.DataFrame, at: pl.Series) -> tuple[Suspicion, ...]:
    """Columns of times that lie after the rows' own times `at` (n,) in more than one row in twenty: planned, or filled later."""
    suspicions = []
    for series in inputs:
        if not series.dtype.is_temporal() or series.dtype == pl.Time:
            continue
        is_late = series.cast(pl.Datetime("us")) > at.cast(pl.Datetime("us"))
        share = is_late.fill_null(value=False).to_numpy().mean() if len(series) else 0.0
        if share > MAX_LATE:
            evidence = (
                f"it lies after the row's own time in {share:.1%} of the rows: was it planned by then, or filled afterwards?"
            )
            suspicions.append(Suspicion(series.name, "post-event column", evidence, False))
    return tuple(suspicions)


def _find_implausible_number(inputs: pl.DataFrame, y: Array, entity: Array, seed: int) -> list[Suspicion]:
    """The column that orders the labels almost entirely, where all others together leave several times as much open."""
    rank, fold = scipy.stats.rankdata(y) / len(y), assign_folds(entity, seed)
    if inputs.width < 3 or rank.var() == 0:
        return []
    strength = {name: _measure_rank_correlation(inputs[name], rank) for name in inputs.columns}
    best = max(strength, key=lambda name: strength[name])
    if 1 - strength[best] ** 2 > MAX_OPEN_ALONE:
        return []

    def measure_open(names: list[str]) -> float:
        matrix = np.column_stack([bin_values(inputs[name], N_FINE_BINS) for name in names])
        return float(((score_boosting(matrix, rank, fold, seed, "reg:squarederror") - rank) ** 2).mean() / rank.var())

    alone, together = measure_open([best]), measure_open([name for name in inputs.columns if name != best])
    if together < max(MAX_OPEN_ALONE, MIN_OPEN_RATIO * alone):
        return []
    evidence = (
        f"by itself it explains {1 - alone:.1%} of the order of the labels, all {inputs.width - 1} other columns together "
        f"{1 - together:.1%}: known before the label, it would be nearly the whole story."
    )
    return [Suspicion(best, "implausible score", evidence, False)]


def _measure_rank_correlation(series: pl.Series, rank: Array) -> float:
    """|Spearman| of a column of numbers or times with the labels' ranks, over the rows that have it; 0 for others."""
    if not (series.dtype.is_numeric() or series.dtype.is_temporal()):
        return 0.0
    both = pl.DataFrame({"x": series.to_physical().cast(pl.Float64), "y": rank}).drop_nulls()
    if both.height < max(MIN_ROWS, 0.9 * len(series)):
        return 0.0
    correlation = both.select(pl.corr("x", "y", method="spearman")).item()
    return 0.0 if correlation is None or np.isnan(correlation) else abs(float(correlation))


def _find_post_event_columns(inputs: pl.DataFrame, y: Array, entity: Array, at: Array, seed: int) -> list[Suspicion]:
    """Columns that jump at the cutoff at which the label rises, and neither at the cutoff before nor at the one after."""
    edges, order = _find_label_edges(y, entity, at)
    if len(edges) < MIN_EVENTS:
        return []
    fold, suspicions = assign_folds(entity, seed), []
    for name in inputs.columns:
        if _is_clock(inputs[name], order, edges, entity):
            continue
        jumps = [_measure_jump(level[order], edges, 2 * inputs.width) for level in _compute_levels(inputs[name], y, fold)]
        best = min((jump for jump in jumps if jump is not None), key=lambda jump: jump.p_value, default=None)
        if best is None:
            continue
        evidence = (
            f"it jumps at the very cutoff at which the label comes into its horizon: over {len(edges):,} events by "
            f"{best.edge:+.2f} of its standard deviations, against {best.before:+.2f} a cutoff before and {best.after:+.2f} a "
            f"cutoff after (chance {max(best.p_value, 1e-99):.0e}); no cause knows the horizon."
        )
        suspicions.append(Suspicion(name, "post-event column", evidence, True))
    return suspicions


def _is_clock(series: pl.Series, order: Array, edges: Array, entity: Array) -> bool:
    """Whether a number moves at nearly all edges by the one step, not zero, that it mostly takes from cutoff to cutoff."""
    if not series.dtype.is_numeric():
        return False
    steps = np.diff(series.cast(pl.Float64).fill_null(np.nan).to_numpy()[order])
    usual = np.nanmedian(np.where(entity[order][1:] == entity[order][:-1], steps, np.nan)) if np.isfinite(steps).any() else 0.0
    as_ever = np.isclose(steps[edges - 1], usual, rtol=1e-6, atol=0.0)
    return bool(usual != 0.0 and as_ever.mean() >= MIN_CLOCK_SHARE)


def _compute_levels(series: pl.Series, y: Array, fold: Array) -> list[Array]:
    """What a column says, as numbers (n,): the label's rate at its value, learned elsewhere; the rank of numbers."""
    levels = [compute_risk(series, y, fold)]
    if series.dtype.is_numeric() and series.n_unique() > 2 * N_BINS:
        rank = series.cast(pl.Float64).fill_nan(None).rank().fill_null((len(series) + 1) / 2)
        levels.append(scipy.stats.norm.ppf(rank.to_numpy() / (len(series) + 1)))
    return levels


def _measure_jump(level: Array, edges: Array, n_tests: int) -> Jump | None:
    """The jump at the edges, where it is beyond chance and some times what it is a cutoff before and after."""
    spread = level.std()
    if spread == 0:
        return None
    steps = np.diff(level) / spread
    before, edge, after = (steps[edges + k - 1] for k in (-1, 0, 1))
    sign = np.sign(edge.mean())
    excess = sign * (edge - (before + after) / 2)
    if sign * edge.mean() < MIN_EDGE_RATIO * max(sign * before.mean(), sign * after.mean(), 0.0):
        return None
    p_value = 2 * _compute_p_value(sign * edge) * n_tests
    return (
        None
        if p_value > SIGNIFICANCE or _compute_p_value(excess) > MAX_EXCESS_P_VALUE
        else Jump(float(edge.mean()), float(before.mean()), float(after.mean()), p_value)
    )


def _compute_p_value(values: Array) -> float:
    """Student's one-sided chance of so high a mean."""
    spread = values.std(ddof=1)
    return float(scipy.stats.t.sf(values.mean() / (spread / np.sqrt(len(values))), len(values) - 1)) if spread > 0 else 1.0


def _find_label_edges(y: Array, entity: Array, at: Array) -> tuple[Array, Array]:
    """Positions, in the order by entity and cutoff, where a label rises with regular cutoffs of the entity around; the order."""
    order = pl.DataFrame({"e": entity, "at": at}).select(pl.arg_sort_by("e", "at")).to_series().to_numpy()
    e, when, label = entity[order], at[order].astype("datetime64[us]"), y[order]
    if len(order) < 4:
        return np.array([], dtype=int), order
    step = np.diff(when)
    same = e[1:] == e[:-1]
    usual = np.median(step[same].astype(float)) if same.any() else 0.0
    near = same & (step.astype(float) <= 1.5 * usual) & (step.astype(float) > 0)
    i = np.arange(2, len(order) - 1)
    rises = (label[i - 2] == 0) & (label[i - 1] == 0) & (label[i] == 1) & (label[i + 1] == 1)
    return i[rises & near[i - 2] & near[i - 1] & near[i]], order


def _find_filled_columns(inputs: pl.DataFrame, names: list[str], y: Array, entity: Array, seed: int) -> list[Suspicion]:
    """Columns whose being present or missing tells the classes apart, well beyond what gaps in records do."""
    suspicions = []
    for name in names:
        present = inputs[name].is_not_null().to_numpy()
        shares = present[y == 1].mean(), present[y == 0].mean()
        if abs(shares[0] - shares[1]) < 2 * (MIN_FILLED_AUC - 0.5):
            continue
        area = bound_auc(y, [np.where(shares[0] > shares[1], present, ~present).astype(float)], entity, seed)
        if area[1] < MIN_FILLED_AUC_BOUND:
            continue
        evidence = (
            f"it is present in {shares[0]:.1%} of the rows with the event and in {shares[1]:.1%} of those without: "
            f"being filled alone has a ROC AUC of {area[0]:.3f} (at least {area[1]:.3f} with 99.99 % confidence); "
            "was it filled after the event?"
        )
        suspicions.append(Suspicion(name, "post-event column", evidence, False))
    return suspicions


def _find_implausible_column(
    inputs: pl.DataFrame, risks: dict[str, Array], rows: LabelledFolds, min_auc: float = MIN_AUC
) -> list[Suspicion]:
    """The best single column, if it is ahead of a boosted model of all the others by more than chance allows."""
    if len(risks) < 3:
        return []
    from sklearn.metrics import roc_auc_score

    alone = {name: float(roc_auc_score(rows.y, risk)) for name, risk in risks.items()}
    best = max(alone, key=lambda name: alone[name])
    if alone[best] < min_auc:
        return []
    rest = np.column_stack([bin_values(inputs[name]) for name in risks if name != best])
    together = score_boosting(rest, rows.y, rows.fold, rows.seed)
    lead, low = bound_auc(rows.y, [risks[best], together], rows.entity, rows.seed)
    if low < MIN_LEAD:
        return []
    evidence = (
        f"by itself it reaches a ROC AUC of {alone[best]:.3f}, all {len(risks) - 1} other columns together "
        f"{alone[best] - lead:.3f} (ahead by at least {low:.3f} with 99.99 % confidence): "
        "known before the event, it would be nearly the whole story."
    )
    return [Suspicion(best, "implausible score", evidence, False)]
