"""The families, in the order they are raced. A new family is one module beside this one and one line here."""

from collections.abc import Sequence

from epic22.core.errors import UnknownTaskError
from epic22.core.models import baseline, boosting, ensemble, hazard, leafwise, linear, oblivious
from epic22.core.models.base import Family
from epic22.core.models.logged import is_smeared
from epic22.core.task import Kind, Target

FAMILIES: tuple[Family, ...] = (
    baseline.FAMILY,
    linear.FAMILY,
    boosting.FAMILY,
    leafwise.FAMILY,
    oblivious.FAMILY,
    hazard.LINEAR,
    hazard.FAMILY,
)

SEARCHED_WHERE_INSTALLED = ("catboost",)
"""LightGBM errs as XGBoost does, and on a Mac brings a second OpenMP runtime: it is searched where it is named."""

OF_LOGARITHMS: dict[str, Family] = {oblivious.FAMILY.name: oblivious.MEANS}
"""Beside a family whose models learn logarithms: one whose scores are logarithms as well, learned by another loss."""

ENSEMBLE = ensemble.family_of([*(family for family in FAMILIES if not family.is_baseline), *OF_LOGARITHMS.values()])
"""What a search over the families makes of them; it is not raced as they are."""


def raced_families(kind: Kind) -> tuple[str, ...]:
    """The families that are raced unless others are named: all that predict the kind and need no optional library."""
    return tuple(family.name for family in FAMILIES if kind in family.kinds and family.needs is None)


def searched_families(kind: Kind) -> tuple[str, ...]:
    """The families that a search tries unless others are named: those raced, less baselines, and some optional ones."""
    optional = SEARCHED_WHERE_INSTALLED
    return tuple(
        f.name for f in FAMILIES if kind in f.kinds and not f.is_baseline and f.installed and (not f.needs or f.name in optional)
    )


def beside_logarithms(families: Sequence[Family], target: Target) -> tuple[Family, ...]:
    """The families, and what else gives logarithms where means are wanted of a label that is learned by its logarithm."""
    others = [OF_LOGARITHMS[f.name] for f in families if f.name in OF_LOGARITHMS]
    return (*families, *others) if target.log and is_smeared(target) else tuple(families)


def family_named(name: str) -> Family:
    """The family of that name.

    Raises UnknownTaskError with the names there are.
    """
    for family in (*FAMILIES, ENSEMBLE):
        if family.name == name:
            return family
    raise UnknownTaskError(f"no model family {name!r}; there are {', '.join(_told(f) for f in FAMILIES)}.")


def searched_family(name: str) -> Family:
    """The family of that name in a search, where there are those beside logarithms too."""
    return next((family for family in OF_LOGARITHMS.values() if family.name == name), None) or family_named(name)


def _told(family: Family) -> str:
    return family.name if family.installed else f"{family.name} (not installed: pip install 'epic22[{family.needs}]')"
