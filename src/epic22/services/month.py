"""A month of a task in service, day by day: what came, which trainings were due and what became of them, and what the lists are
worth by the truth of simulated tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from epic22.services.assess import build_cost_matrix


@dataclass(frozen=True)
class ListMoney:
    """What the truth expects a day's lists to save: the champion's, one by the rule of today, and the best possible."""

    model: float
    rule: float
    best: float


@dataclass(frozen=True)
class MonthDay:
    """A day: its data version with the rows that it brought, the version that served, whom its list named, and the money."""

    day: date
    data_version: int
    new_rows: int
    champion: str
    listed: tuple[str, ...]
    money: ListMoney


@dataclass(frozen=True)
class MonthTraining:
    """A training of the month: who or what called for it, why, the version that came of it and what was decided of that."""

    day: date
    trigger: str
    reason: str
    job: int
    version: str
    promoted: bool
    why: str


@dataclass(frozen=True)
class Month:
    """The whole month of a task, with so many places on each day's list."""

    task: str
    capacity: int
    days: tuple[MonthDay, ...]
    trainings: tuple[MonthTraining, ...]

    @property
    def money(self) -> ListMoney:
        """What all lists together are expected to save."""
        days = [day.money for day in self.days]
        return ListMoney(sum(d.model for d in days), sum(d.rule for d in days), sum(d.best for d in days))


VISIT_PAUSE = timedelta(days=30)
"""Who was on a list is on none again for so long: somebody has been there."""


@dataclass
class VisitBook:
    """Whom a way of listing named, and when."""

    visits: dict[str, datetime]

    def choose_next(self, ranked: Sequence[str], at: datetime, capacity: int) -> tuple[str, ...]:
        """The first of a ranking who were not named of late; they are noted."""
        free = [one for one in ranked if one not in self.visits or at - self.visits[one] >= VISIT_PAUSE]
        chosen = tuple(free[:capacity])
        self.visits.update(dict.fromkeys(chosen, at))
        return chosen


@dataclass(frozen=True)
class VisitBooks:
    """The books of the three ways of listing."""

    model: VisitBook
    rule: VisitBook
    best: VisitBook

    @classmethod
    def open(cls) -> "VisitBooks":
        """Empty books."""
        return cls(VisitBook({}), VisitBook({}), VisitBook({}))


def list_by_truth(cases: pl.DataFrame, costs: Mapping[str, float]) -> list[str]:
    """The entities of cases [entity, rule, truth] whom it is worth to act on by the truth, the dearest first."""
    expected = build_cost_matrix(costs, None).compute_expected_saving(cases["truth"].to_numpy())
    ranked = cases.select("entity", saving=pl.Series(expected)).filter(pl.col("saving") > 0)
    return ranked.sort("saving", "entity", descending=[True, False])["entity"].to_list()


def list_by_rule(cases: pl.DataFrame) -> list[str]:
    """The entities of cases [entity, rule, truth] in the order of the rule of today."""
    return cases.sort("rule", "entity", descending=[True, False], nulls_last=True)["entity"].to_list()


def compute_expected_money(cases: pl.DataFrame, listed: Collection[str], costs: Mapping[str, float]) -> float:
    """What acting on these entities is expected to save by the truth in cases [entity, rule, truth]."""
    named = cases.filter(pl.col("entity").is_in(list(listed)))
    return float(build_cost_matrix(costs, None).compute_expected_saving(named["truth"].to_numpy()).sum())


def select_truth_at(truth: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The newest truth [entity, truth] of each entity that is not later than a moment, of [entity, cutoff, truth]."""
    known = truth.filter(pl.col("cutoff") <= at).sort("cutoff", maintain_order=True)
    return known.unique("entity", keep="last", maintain_order=True).select("entity", "truth")


def select_day(tables: Mapping[str, pl.DataFrame], begin: datetime | None, end: datetime) -> dict[str, pl.DataFrame]:
    """The rows of each table that became known after one moment, of old where None, and up to another; tables without any are
    left out."""
    parts = {}
    for name, frame in tables.items():
        is_known = pl.col("known_at") <= end
        part = frame.filter(is_known if begin is None else is_known & (pl.col("known_at") > begin))
        if part.height:
            parts[name] = part
    return parts
