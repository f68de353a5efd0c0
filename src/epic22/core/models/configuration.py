"""Configurations of families: as they come, and those that a search begins with, which were chosen over public tables."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from epic22.core.models.base import Family, Hyperparameters
from epic22.core.models.catalog import get_family


@dataclass(frozen=True)
class Configuration:
    """A family as it comes (`number` 0), or with the parameters of its first, second … initial point (1, 2 …).

    >>> Configuration.parse("boosting 1").params["max_depth"]
    3
    >>> Configuration.parse("boosting").params
    {}
    """

    family: Family
    number: int = 0

    @classmethod
    def parse(cls, name: str) -> "Configuration":
        """The configuration of that name. Raises UnknownTaskError for a family that there is not."""
        family, _, number = name.partition(" ")
        return cls(get_family(family), int(number or 0))

    @property
    def name(self) -> str:
        """The family's name, with a number where it does not come so."""
        return self.family.name if self.number == 0 else f"{self.family.name} {self.number}"

    @property
    def params(self) -> Hyperparameters:
        """What differs from the family as it comes."""
        return {} if self.number == 0 else self.family.initial_points[self.number - 1]


def list_initial_configurations(families: Sequence[Family]) -> tuple[Configuration, ...]:
    """The initial points of families that differ from how they come, the first of each before the second of any."""
    per_family = [
        [Configuration(family, number) for number, params in enumerate(family.initial_points, start=1) if params]
        for family in families
    ]
    return tuple(one for ones in itertools.zip_longest(*per_family) for one in ones if one is not None)
