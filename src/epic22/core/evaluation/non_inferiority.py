"""Is a simpler model not worse by more than matters, in money? Then it may be preferred, by a rule that is stated.

"Not worse" is shown, not assumed: the one-sided 95 % bound of the paired difference in cost per 1,000 rows lies below the margin.
That two models cannot be told apart is no evidence for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.decide import CostMatrix
from epic22.core.evaluation.holm import holm
from epic22.core.evaluation.operating_points import Contestant
from epic22.core.evaluation.power import ONE_SIDED, Sample, sample_of, times_needed
from epic22.core.evaluation.thousand import per_thousand, spent_by_acting

MARGIN = 0.01
"""Where a task states no margin: this share of what the constant costs."""

LEVEL = 0.05

SIMPLICITY: Mapping[str, int] = {"linear": 0, "boosting": 1, "lightgbm": 1, "catboost": 1}
"""Simpler families have smaller numbers; a family that is not named is taken for the least simple."""

LEAST_SIMPLE = 2


@dataclass(frozen=True)
class NonInferiority:
    """Whether `family` costs at most `margin` more per 1,000 rows than `against`. `difference` > 0: it costs more.

    `upper` is the one-sided 95 % bound, `p` that against "worse by the margin or more". `times` is how many times as much data
    would show it with 80 % power if the two cost the same.
    """

    family: str
    against: str
    difference: float
    upper: float
    margin: float
    p: float
    times: float
    sample: Sample

    @property
    def held(self) -> bool:
        """Whether it is shown."""
        return self.upper < self.margin

    @property
    def words(self) -> str:
        """The finding in a sentence."""
        costs = f"{abs(self.difference):,.4g} {'more' if self.difference > 0 else 'less'} per 1,000 rows than {self.against}"
        bound = f"at most {self.upper:,.4g} more" if self.upper > 0 else f"at least {-self.upper:,.4g} less"
        said = f"{self.family} costs {costs} ({bound}, one-sided 95 %)"
        if self.held:
            return f"{said}: not worse by more than {self.margin:,.4g}"
        needed = f"; if they cost the same, {self.sample.times(self.times)}".rstrip(",") if self.times > 1 else ""
        return f"{said}: not shown to be within {self.margin:,.4g}{needed}"


@dataclass(frozen=True)
class Choice:
    """The family that is chosen, and the rule by which."""

    family: str
    why: str


def default_margin(constant: Contestant, costs: CostMatrix, examples: Examples, plan: FoldPlan, seed: int) -> float:
    """A hundredth of what the constant costs per 1,000 rows."""
    return MARGIN * per_thousand(spent_by_acting(constant.parts, costs, examples), constant.parts, examples, plan, seed).value


def non_inferior(
    one: Contestant, champion: Contestant, margin: float, costs: CostMatrix, examples: Examples, plan: FoldPlan, seed: int
) -> NonInferiority:
    """The test of one family against the champion, paired by cluster."""
    spent, least = (spent_by_acting(c.parts, costs, examples) for c in (one, champion))
    found = per_thousand([a - b for a, b in zip(spent, least, strict=True)], one.parts, examples, plan, seed)
    return NonInferiority(
        family=one.evaluation.family,
        against=champion.evaluation.family,
        difference=found.value,
        upper=found.upper,
        margin=margin,
        p=found.p_below(margin),
        times=times_needed(margin, found.error, ONE_SIDED),
        sample=sample_of(examples, plan, "binary"),
    )


def simplicity(family: str) -> int:
    """Smaller is simpler."""
    return SIMPLICITY.get(family, LEAST_SIMPLE)


def choose(champion: str, weighed: Sequence[NonInferiority], prefer_simpler: bool) -> Choice:
    """The best family by the metric, or the simplest that is shown not to be worse in money, if that was asked for.

    Several simpler families are several chances, so their p are adjusted (Holm). Baselines are never chosen.
    """
    simpler = [one for one in weighed if simplicity(one.family) < simplicity(champion)]
    adjusted = [replace(one, p=p) for one, p in zip(simpler, holm([one.p for one in simpler]), strict=True)]
    shown = sorted((one for one in adjusted if one.held and one.p <= LEVEL), key=lambda one: simplicity(one.family))
    if not shown:
        return Choice(champion, f"{champion} is best; no simpler family is shown to be as good in money")
    if not prefer_simpler:
        return Choice(champion, f"{champion} is best; but {shown[0].words}, and --prefer-simpler would take it")
    return Choice(shown[0].family, f"the simplest that is not worse in money, as asked: {shown[0].words}")
