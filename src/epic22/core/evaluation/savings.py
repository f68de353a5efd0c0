"""What acting on a score's lists would have saved on test rows, and how much more than on another score's.

A saving rests on the assumption stated in `decide`: acting in time avoids a share `effect` of the miss. The outcomes are those of
a time when nobody acted on the list, or on another one.

n = rows; a row is an entity at a cutoff. Money is in the portfolio's currency.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import MICROSECONDS_PER_DAY
from epic22.core.data.folds import Period
from epic22.core.data.split import compute_period_starts, convert_days
from epic22.core.errors import UserError
from epic22.core.evaluation.bootstrap import SAVINGS, bootstrap_totals, compute_percentile_interval
from epic22.core.evaluation.costs import CandidateScores, Capacity, CostMatrix
from epic22.core.statistics import Interval
from epic22.core.task import Array

N_REPLICATES = 2000
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, eq=False)
class Cases:
    """Test rows with known outcomes: entity (n,), cutoff `at` (n,) datetime64, class `y` (n,), their costs, horizon in days.

    `event_at` (n,) datetime64, NaT where nothing happened, lets one event count once and gives lead times. `cluster` (n,) is
    what is resampled together (default: the entity). Each entity and cutoff once.
    """

    entity: Array
    at: Array
    y: Array
    costs: CostMatrix
    horizon: float
    event_at: Array | None = None
    cluster: Array | None = None

    def __post_init__(self) -> None:
        lengths = {len(x) for x in (self.entity, self.at, self.y, self.event_at, self.cluster) if x is not None}
        lengths |= {len(c) for c in (self.costs.miss, self.costs.false_alarm) if isinstance(c, np.ndarray) and c.ndim}
        if len(lengths) != 1:
            raise UserError(f"cases of {len(self.y)} outcomes have columns or costs of other lengths: {sorted(lengths)}.")

    def __len__(self) -> int:
        return len(self.y)

    def assign_events(self) -> Array:
        """Codes (n,) of the event each positive row tells of, −1 for negatives.

        By entity and event time; without times, positive rows of an entity within a horizon of its first are one event.
        """
        codes = np.full(len(self), -1)
        rows = np.flatnonzero(self.y == 1)
        entity = np.unique(self.entity, return_inverse=True)[1][rows]
        event_times = self.at if self.event_at is None else np.where(np.isnat(self.event_at), self.at, self.event_at)
        time = event_times[rows].astype("datetime64[us]").astype(np.int64)
        order = np.lexsort((time, entity))
        span = 0 if self.event_at is not None else round(self.horizon * MICROSECONDS_PER_DAY)
        number, holder, until = -1, -1, 0
        for i in order:
            if entity[i] != holder or time[i] > until:
                number, holder, until = number + 1, entity[i], time[i] + span
            codes[rows[i]] = number
        return codes


def select_listed_rows(scored: CandidateScores, cases: Cases, capacity: Capacity, cooldown: float | None = None) -> Array:
    """Which rows would have been acted on, (n,) booleans, period after period.

    Each period's list takes at most k entities, by expected saving (a ranking score: by score). It serves until the next period
    with rows, so monthly cutoffs get about 4 × k places at k a week. An entity that was listed less than `cooldown` days ago
    (default: the horizon) is left out, for a failure that was acted on is the same failure. Where an entity has several rows
    in a period, its best counts.

    Raises UserError for a ranking score without a capacity: it has no threshold.
    """
    if scored.score_type == "ranking" and capacity.k is None:
        raise UserError(f"{scored.name} is a ranking score, which has no threshold; give a capacity.")
    rest = convert_days(cases.horizon if cooldown is None else cooldown)
    entity = np.unique(cases.entity, return_inverse=True)[1]
    start = compute_period_starts(cases.at.astype("datetime64[us]"), capacity.per)
    last = np.full(int(entity.max(initial=-1)) + 1, np.datetime64("0001-01-01", "us"))
    is_listed = np.zeros(len(cases), dtype=bool)
    order = np.lexsort((entity, -scored.compute_priorities(cases.costs), start))
    if scored.score_type == "probability":
        order = order[scored.compute_priorities(cases.costs)[order] > 0]
    moments = np.unique(start)
    k = capacity.k
    places = [None] * len(moments) if k is None else [k * int(step) for step in _count_periods(moments, capacity.per)]
    for moment, place in zip(moments, places, strict=True):
        span = slice(*np.searchsorted(start[order], [moment, moment + np.timedelta64(1, "us")]))
        rows = order[span]
        rows = rows[cases.at[rows] - last[entity[rows]] >= rest]
        first = np.sort(np.unique(entity[rows], return_index=True)[1])[:place]
        is_listed[rows[first]] = True
        last[entity[rows[first]]] = cases.at[rows[first]]
    return is_listed


def _count_periods(moments: Array, per: Period) -> Array:
    """How many periods each moment serves: until the next; the last as long as is usual."""
    if per == "month":
        number = moments.astype("datetime64[M]").astype(np.int64)
    else:
        number = moments.astype("datetime64[D]").astype(np.int64) // {"day": 1, "week": 7}[per]
    steps = np.diff(number)
    return np.append(steps, int(np.median(steps)) if len(steps) else 1)


@dataclass(frozen=True)
class SavingDifference:
    """How much more the model saves than `against`, a year and 1,000 entities."""

    against: str
    saved: Interval


@dataclass(frozen=True)
class Saving:
    """What acting on a candidate's lists saved. `total` over the test rows, `yearly` a year and 1,000 entities.

    `precision`: listed rows that were right. `recall`: events that a list caught. `lead_days`: median days from listing to
    event (None without event times). NaN where nothing was listed, or nothing happened.
    """

    name: str
    total: Interval
    yearly: Interval
    listed: int
    hits: int
    precision: float
    recall: float
    lead_days: float | None
    differences: tuple[SavingDifference, ...]


def estimate_savings(
    cases: Cases,
    model: CandidateScores,
    capacity: Capacity = Capacity(None),
    rivals: Sequence[CandidateScores] = (),
    cooldown: float | None = None,
    seed: int = 0,
) -> Saving:
    """What the model's lists would have saved, against acting on nobody, and the paired differences to the rivals.

    Rivals: the incumbent, the constant, the truth ("best possible"). Intervals resample whole clusters, with the lists as they
    are. A list of nobody saves 0, so `total` is the difference to doing nothing.
    """
    if not len(cases):
        raise UserError("no test rows: nothing to count a saving on.")
    selections = [select_listed_rows(one, cases, capacity, cooldown) for one in (model, *rivals)]
    row_savings = np.column_stack([_compute_row_savings(rows, cases) for rows in selections])
    cluster = np.unique(cases.entity if cases.cluster is None else cases.cluster, return_inverse=True)[1]
    sums = np.stack([np.bincount(cluster, weights=column) for column in row_savings.T], axis=1)
    replicates, scale = bootstrap_totals(sums, N_REPLICATES, seed, SAVINGS), _compute_yearly_factor(cases, capacity.per)
    total = row_savings.sum(axis=0)

    def make_estimate(value: float, samples: Array, factor: float) -> Interval:
        return Interval(float(value * factor), *compute_percentile_interval(samples * factor))

    differences = tuple(
        SavingDifference(rival.name, make_estimate(total[0] - total[j], replicates[:, 0] - replicates[:, j], scale))
        for j, rival in enumerate(rivals, start=1)
    )
    yearly = make_estimate(total[0], replicates[:, 0], scale)
    return Saving(
        model.name, make_estimate(total[0], replicates[:, 0], 1.0), yearly, *_measure_lists(selections[0], cases), differences
    )


def _compute_row_savings(rows: Array, cases: Cases) -> Array:
    """What each row's listing saved, (n,); an event that is listed again is a false alarm."""
    counted = _mark_first_of_event(rows, cases)
    return np.where(rows, cases.costs.compute_realised_saving(counted.astype(np.int64)), 0.0)


def _mark_first_of_event(rows: Array, cases: Cases) -> Array:
    """Listed rows that are the first, by time, to be listed for their event, (n,) booleans."""
    events = cases.assign_events()
    hits = np.flatnonzero(rows & (events >= 0))
    hits = hits[np.argsort(cases.at[hits], kind="stable")]
    first = np.zeros(len(rows), dtype=bool)
    first[hits[np.unique(events[hits], return_index=True)[1]]] = True
    return first


def _measure_lists(rows: Array, cases: Cases) -> tuple[int, int, float, float, float | None]:
    """Listed, hits, precision, recall of events, median lead time in days."""
    first = _mark_first_of_event(rows, cases)
    count, hits, events = int(rows.sum()), int(first.sum()), int(cases.assign_events().max(initial=-1)) + 1
    lead = None
    if cases.event_at is not None and hits:
        lead = float(np.median((cases.event_at[first] - cases.at[first]) / np.timedelta64(1, "D")))
    return count, hits, hits / count if count else np.nan, hits / events if events else np.nan, lead


def _compute_yearly_factor(cases: Cases, per: Period) -> float:
    """Factor from the total to a year and 1,000 entities; entities are the mean number a period with rows."""
    start = compute_period_starts(cases.at.astype("datetime64[us]"), per)
    moments = np.unique(start)
    steps = int(_count_periods(moments, per).sum())
    years = steps * {"day": 1 / DAYS_A_YEAR, "week": 7 / DAYS_A_YEAR, "month": 1 / 12}[per]
    codes = np.unique(cases.entity, return_inverse=True)[1]
    pairs = np.unique(np.column_stack([np.searchsorted(moments, start), codes]), axis=0)
    return float(1000 / (years * len(pairs) / len(moments)))
