"""What a panel's training shows beside its scores: what its 80 % intervals covered, and each series' skill."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.adaptive_conformal import AdaptedIntervals
from epic22.core.evaluation.forecast_metrics import compute_winkler
from epic22.core.time_series import Array
from epic22.services.training_run import SeriesRun

NOMINAL = 80.0
GROUPS = ("calm", "usual", "lively")
"""Thirds of the series by their naive error relative to their level, from their own past."""


@dataclass(frozen=True)
class OriginCoverage:
    """A test origin and the coverage of the champion's interval there, in per cent."""

    origin: str
    coverage: float


@dataclass(frozen=True)
class SeriesCoverage:
    """A group of series, how many they are, and the coverage of the champion's interval there, in per cent."""

    group: str
    series: int
    coverage: float


@dataclass(frozen=True)
class IntervalKindCoverage:
    """A kind of interval: its coverage in per cent, whole and by year of origin, the mean distance of the years' from the nominal
    share, and its interval score in naive errors."""

    kind: str
    coverage: float
    coverage_by_year: tuple[float, ...]
    mean_distance: float
    winkler: float


@dataclass(frozen=True)
class HorizonCoverage:
    """A horizon, the coverage of the champion's interval there in per cent, and the independent stretches that calibrated it.

    `note` says why the nominal share is not stated; None where it is.
    """

    horizon: int
    coverage: float
    stretches: float
    note: str | None


def format_numbers(numbers: Sequence[int]) -> str:
    """Ascending numbers, neighbours as a range.

    >>> format_numbers([1, 2, 3, 5])
    '1…3, 5'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}…{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


@dataclass(frozen=True)
class ForecastCoverage:
    """Coverage beside the `nominal` share in per cent; `kinds` are the adapted interval, the same calibrated once, and each other
    family's own, with figures by the `years` of the origins."""

    nominal: float
    years: tuple[int, ...]
    by_horizon: tuple[HorizonCoverage, ...]
    by_origin: tuple[OriginCoverage, ...]
    by_group: tuple[SeriesCoverage, ...]
    kinds: tuple[IntervalKindCoverage, ...]

    @property
    def sentence(self) -> str:
        """At which horizons the level is stated, and what the others can promise, in words."""
        supported = [one.horizon for one in self.by_horizon if one.note is None]
        if len(supported) == len(self.by_horizon):
            return f"80 % is stated at every horizon, on {self.by_horizon[-1].stretches:.1f} independent stretches or more."
        notes = "; ".join(f"at h = {one.horizon}, {one.note}" for one in self.by_horizon if one.note is not None)
        return f"80 % is stated at {f'h = {format_numbers(supported)}' if supported else 'no horizon'}: {notes}."


def compute_forecast_coverage(run: SeriesRun) -> ForecastCoverage:
    """What the intervals of a run covered."""
    years = np.array([moment.year for moment in run.frequency.starts(run.examples.origin[run.test])])
    return ForecastCoverage(
        nominal=NOMINAL,
        years=tuple(int(year) for year in np.unique(years)),
        by_horizon=_compute_coverage_by_horizon(run),
        by_origin=compute_coverage_by_origin(run, run.adapted),
        by_group=_compute_coverage_by_group(run),
        kinds=_compare_interval_kinds(run, years),
    )


def compute_coverage_by_origin(run: SeriesRun, adapted: AdaptedIntervals) -> tuple[OriginCoverage, ...]:
    """Coverage of the champion's interval with these half-widths, by test origin."""
    inside = _find_champion_hits(run, adapted)
    shares = [100 * float(np.nanmean(inside[run.rows.origin_index == i])) for i in range(len(run.plan.test))]
    return tuple(
        OriginCoverage(run.frequency.label(int(origin)), share) for origin, share in zip(run.plan.test, shares, strict=True)
    )


def _find_champion_hits(run: SeriesRun, adapted: AdaptedIntervals) -> Array:
    return _find_lively_hits(run, adapted.quantiles[run.test])


def _find_lively_hits(run: SeriesRun, quantiles: Array) -> Array:
    """The hits as `_find_hits` has them, NaN also at series that have never moved, (n, H)."""
    hits, rows = _find_hits(run, quantiles), run.rows
    return hits if rows.is_lively is None else np.where(rows.is_lively[:, None], hits, np.nan)


def _find_hits(run: SeriesRun, quantiles: Array) -> Array:
    """1 where the target of a test row lies in the 80 % interval, else 0, (n, H); NaN where there is no target."""
    targets = run.rows.Y
    inside = (targets >= quantiles[:, :, 0]) & (targets <= quantiles[:, :, -1])
    return np.where(np.isnan(targets), np.nan, inside)


def _compute_coverage_by_horizon(run: SeriesRun) -> tuple[HorizonCoverage, ...]:
    inside = 100 * np.nanmean(_find_champion_hits(run, run.adapted), axis=0)
    return tuple(
        HorizonCoverage(h, float(share), stretches, run.adapted.state.explain_level(h, run.frequency))
        for h, (share, stretches) in enumerate(zip(inside, run.adapted.state.stretches, strict=True), start=1)
    )


def _compute_coverage_by_group(run: SeriesRun) -> tuple[SeriesCoverage, ...]:
    names, code = np.unique(run.examples.entity[run.test].astype(str), return_inverse=True)
    relative = run.rows.scale / np.maximum(np.abs(run.rows.last), 1e-9)
    liveliness = np.bincount(code, relative, minlength=len(names)) / np.bincount(code, minlength=len(names))
    third = np.minimum(np.argsort(np.argsort(liveliness, kind="stable"), kind="stable") * 3 // max(len(names), 1), 2)
    inside = _find_hits(run, run.adapted.quantiles[run.test])
    present = [g for g in range(3) if (third == g).any()]
    return tuple(
        SeriesCoverage(GROUPS[g], int((third == g).sum()), 100 * float(np.nanmean(inside[third[code] == g]))) for g in present
    )


def _compare_interval_kinds(run: SeriesRun, years: Array) -> tuple[IntervalKindCoverage, ...]:
    """The coverage of each kind of interval; `years` (n,) are those of the test rows' origins."""
    family = run.champion.family
    kinds = [
        (f"{family}, adaptive", run.adapted.quantiles[run.test]),
        (f"{family}, calibrated once", run.static.quantiles[run.test]),
        *((f"{e.family}, own", e.forecasts.quantiles[run.test]) for e in run.leaderboard if e.family != family),
    ]
    results = []
    for kind, quantiles in kinds:
        inside = _find_lively_hits(run, quantiles)
        by_year = [100 * float(np.nanmean(inside[years == year])) for year in np.unique(years)]
        results.append(
            IntervalKindCoverage(
                kind=kind,
                coverage=100 * float(np.nanmean(inside)),
                coverage_by_year=tuple(by_year),
                mean_distance=float(np.mean(np.abs(np.array(by_year) - NOMINAL))),
                winkler=float(np.nanmean(compute_winkler(run.rows, quantiles))),
            )
        )
    return tuple(results)


@dataclass(frozen=True)
class SeriesSkill:
    """A series and the champion's skill on its test origins."""

    series: str
    skill: float


def compute_series_skill(run: SeriesRun) -> tuple[SeriesSkill, ...]:
    """Each series' skill on the test origins, the worst first; a series without one is left out."""
    own = np.abs(run.rows.Y - run.champion.forecasts.median[run.test])
    drift = np.abs(run.rows.Y - run.rows.drift)
    names, code = np.unique(run.examples.entity[run.test].astype(str), return_inverse=True)
    sums = [np.bincount(code, np.nansum(e, axis=1), minlength=len(names)) for e in (own, drift)]
    with np.errstate(divide="ignore", invalid="ignore"):
        skill = np.where(sums[1] > 0, 1 - sums[0] / sums[1], np.nan)
    known = np.flatnonzero(np.isfinite(skill))
    order = known[np.argsort(skill[known], kind="stable")]
    return tuple(SeriesSkill(str(names[i]), float(skill[i])) for i in order)
