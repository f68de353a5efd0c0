"""Is a simpler model not worse by more than matters, in money? Then it may be preferred, by a rule that is stated.

"Not worse" is shown, not assumed: the one-sided 95 % bound of the paired difference in cost per 1,000 rows lies below the margin.
That two models cannot be told apart is no evidence for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from epic22.core.evaluation.cost_per_thousand import compute_acting_costs, compute_cost_per_1000
from epic22.core.evaluation.costs import CostMatrix
from epic22.core.evaluation.operating_points import CalibratedCandidate
from epic22.core.evaluation.power import ONE_SIDED, SampleSize, compute_data_factor, count_sample
from epic22.core.experiment import Experiment
from epic22.core.statistics import adjust_p_values

DEFAULT_MARGIN = 0.01
"""Where a task states no margin: this share of what the constant costs."""

SIGNIFICANCE_LEVEL = 0.05

COMPLEXITY: Mapping[str, int] = {"linear": 0, "boosting": 1, "lightgbm": 1, "catboost": 1}
"""Simpler families have smaller numbers; a family that is not named is taken for the least simple."""

MAX_COMPLEXITY = 2


@dataclass(frozen=True)
class NonInferiority:
    """Whether `family` costs at most `margin` more per 1,000 rows than `against`. `difference` > 0: it costs more.

    `upper` is the one-sided 95 % bound, `p` that against "worse by the margin or more". `data_factor` is how many times as
    much data would show it with 80 % power if the two cost the same.
    """

    family: str
    against: str
    difference: float
    upper: float
    margin: float
    p: float
    data_factor: float
    sample: SampleSize

    @property
    def is_shown(self) -> bool:
        """Whether non-inferiority is shown."""
        return self.upper < self.margin

    @property
    def words(self) -> str:
        """The finding in a sentence."""
        costs = f"{abs(self.difference):,.4g} {'more' if self.difference > 0 else 'less'} per 1,000 rows than {self.against}"
        bound = f"at most {self.upper:,.4g} more" if self.upper > 0 else f"at least {-self.upper:,.4g} less"
        finding = f"{self.family} costs {costs} ({bound}, one-sided 95 %)"
        if self.is_shown:
            return f"{finding}: not worse by more than {self.margin:,.4g}"
        needed = (
            f"; if they cost the same, {self.sample.describe_increase(self.data_factor)}".rstrip(",")
            if self.data_factor > 1
            else ""
        )
        return f"{finding}: not shown to be within {self.margin:,.4g}{needed}"


@dataclass(frozen=True)
class PreferredFamily:
    """The family that is preferred in use, and the rule by which."""

    family: str
    why: str


def compute_default_margin(experiment: Experiment, constant: CalibratedCandidate, costs: CostMatrix) -> float:
    """A hundredth of what the constant costs per 1,000 rows."""
    acting_costs = compute_acting_costs(constant.fold_predictions, costs, experiment.examples)
    return DEFAULT_MARGIN * compute_cost_per_1000(experiment, acting_costs, constant.fold_predictions).value


def run_non_inferiority_test(
    experiment: Experiment,
    challenger: CalibratedCandidate,
    champion: CalibratedCandidate,
    costs: CostMatrix,
    margin: float,
) -> NonInferiority:
    """The test of one family against the champion, paired by cluster."""
    challenger_costs, champion_costs = (
        compute_acting_costs(c.fold_predictions, costs, experiment.examples) for c in (challenger, champion)
    )
    difference = compute_cost_per_1000(
        experiment, [a - b for a, b in zip(challenger_costs, champion_costs, strict=True)], challenger.fold_predictions
    )
    return NonInferiority(
        family=challenger.evaluation.family,
        against=champion.evaluation.family,
        difference=difference.value,
        upper=difference.upper,
        margin=margin,
        p=difference.p_below(margin),
        data_factor=compute_data_factor(margin, difference.error, ONE_SIDED),
        sample=count_sample(experiment),
    )


def get_complexity(family: str) -> int:
    """Smaller is simpler."""
    return COMPLEXITY.get(family, MAX_COMPLEXITY)


def choose_preferred_family(champion: str, tests: Sequence[NonInferiority], prefer_simpler: bool) -> PreferredFamily:
    """The best family by the metric, or the simplest that is shown not to be worse in money, if that was asked for.

    Several simpler families are several chances, so their p are adjusted (Holm). Baselines are never chosen.
    """
    simpler = [one for one in tests if get_complexity(one.family) < get_complexity(champion)]
    adjusted = [replace(one, p=p) for one, p in zip(simpler, adjust_p_values([one.p for one in simpler]), strict=True)]
    passing = sorted(
        (one for one in adjusted if one.is_shown and one.p <= SIGNIFICANCE_LEVEL), key=lambda one: get_complexity(one.family)
    )
    if not passing:
        return PreferredFamily(champion, f"{champion} is best; no simpler family is shown to be as good in money")
    if not prefer_simpler:
        return PreferredFamily(champion, f"{champion} is best; but {passing[0].words}, and --prefer-simpler would take it")
    return PreferredFamily(passing[0].family, f"the simplest that is not worse in money, as requested: {passing[0].words}")
