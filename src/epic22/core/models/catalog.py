"""The families, in the order they are evaluated. A new family is one module beside this one and one line here."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from epic22.core.data.sequence_columns import add_sequence
from epic22.core.errors import ColumnError, UnknownTaskError
from epic22.core.models import averaged_trees, baseline, catboost, ensemble, hazard, lightgbm, linear, xgboost
from epic22.core.models.base import Family, require_library
from epic22.core.models.loss import needs_smearing
from epic22.core.models.networks import estimator as networks
from epic22.core.task import Kind, Target, Task

FAMILIES: tuple[Family, ...] = (
    baseline.FAMILY,
    linear.FAMILY,
    linear.ADDITIVE_FAMILY,
    xgboost.FAMILY,
    lightgbm.FAMILY,
    catboost.FAMILY,
    *averaged_trees.FAMILIES,
    hazard.LINEAR_FAMILY,
    hazard.FAMILY,
    *networks.FAMILIES,
)

DEFAULT_FAMILY = xgboost.FAMILY.name
"""What is on the board as it comes under any time limit."""

TIME_SEARCH_FAMILIES = ("catboost", "extra_trees", *(() if sys.platform == "darwin" else ("lightgbm",)))
"""Families that a search by time tries as well, where they are installed: CatBoost and extra trees err otherwise than XGBoost,
LightGBM much as it does, in a third to a fifth of its time. On a Mac LightGBM brings a second OpenMP runtime, and is searched
where it is named. A search by trials tries those of them that are named: it is the same whatever is installed."""

LOG_MEAN_FAMILIES: dict[str, Family] = {catboost.FAMILY.name: catboost.MEAN_FAMILY}
"""Beside a family whose models learn logarithms: one whose scores are logarithms as well, learned by another loss."""

ENSEMBLE = ensemble.build_ensemble_family(
    [*(family for family in FAMILIES if not family.is_baseline), *LOG_MEAN_FAMILIES.values()]
)
"""What a search over the families makes of them; it is not evaluated as they are."""

AVERAGE = replace(ENSEMBLE, name="average")
"""The families as they come, averaged: what a time limit gives before a search."""

COMBINATIONS = (ENSEMBLE, AVERAGE)
"""What is made of several families, and is none that could be named."""


def default_families(kind: Kind) -> tuple[str, ...]:
    """The families that are evaluated unless others are named: those that predict the kind, race by default and need no optional
    library."""
    return tuple(f.name for f in FAMILIES if kind in f.kinds and f.races_by_default and f.needs is None)


def default_search_families(kind: Kind, by_time: bool = False) -> tuple[str, ...]:
    """The families that a search tries unless others are named: those evaluated, less baselines, and `by_time` those installed
    of some more."""
    names = (*default_families(kind), *(TIME_SEARCH_FAMILIES if by_time else ()))
    return tuple(f.name for f in FAMILIES if f.name in names and kind in f.kinds and not f.is_baseline and f.is_installed)


def add_log_mean_families(families: Sequence[Family], target: Target) -> tuple[Family, ...]:
    """The families, and what else gives logarithms where means are wanted of a label that is learned by its logarithm."""
    log_mean_families = [LOG_MEAN_FAMILIES[f.name] for f in families if f.name in LOG_MEAN_FAMILIES]
    return (*families, *log_mean_families) if target.log and needs_smearing(target) else tuple(families)


def get_family(name: str) -> Family:
    """The family of that name.

    Raises UnknownTaskError with the names there are.
    """
    for family in (*FAMILIES, *COMBINATIONS):
        if family.name == name:
            return family
    raise UnknownTaskError(f"no model family {name!r}; there are {', '.join(_describe_family(f) for f in FAMILIES)}.")


def is_combination(name: str) -> bool:
    """Whether a name on the board is of several families together: a search's ensemble, or the average of those as they come."""
    return any(one.name == name for one in COMBINATIONS)


def refuse_unfit_families(names: Iterable[str], kind: Kind, offset: str | None = None, has_sequence: bool = False) -> None:
    """Raise where a family cannot take part: UnknownTaskError for a name that is none, ColumnError where it does not predict the
    kind, cannot add the offset or reads a sequence where there is none, NotInstalledError where its library is absent."""
    for name in names:
        family = get_family(name)
        if is_combination(name):
            how = "of the families as they come, under --time-limit" if name == AVERAGE.name else "by a search"
            raise ColumnError(f"families: {name} is made {how}; leave it out.")
        if kind not in family.kinds:
            raise ColumnError(f"families: {name} does not predict a label of kind {kind}; leave it out.")
        if offset is not None and not family.supports_offset:
            raise ColumnError(f"families: {name} cannot add --offset {offset}; leave one of them out.")
        if family.capabilities.reads_sequences and not has_sequence:
            raise ColumnError(
                f"families: {name} reads a sequence, and no columns are declared as its steps; name them "
                "(--sequence 'load_*' takes load_1, load_2, … in this order), or leave the family out."
            )
        if family.needs is not None:
            require_library(name, family.needs, family.extra)


def name_families(task: Task, names: Sequence[str]) -> Task:
    """The task raced by these families, in the catalog's order, and its baselines; with its sequence where one of them reads it.

    Itself where no family is named. Raises what `refuse_unfit_families` raises.
    """
    if not names:
        return task
    kind = task.target.kind
    refuse_unfit_families(names, kind, task.target.offset, task.has_sequence)
    families = tuple(f.name for f in FAMILIES if f.name in names or (f.is_baseline and kind in f.kinds))
    steps = [] if task.sequence is None else [column.name for column in task.sequence.columns]
    reads_sequence = any(get_family(name).capabilities.reads_sequences for name in names)
    return replace(add_sequence(task, steps if reads_sequence else ()), families=families)


def get_search_family(name: str) -> Family:
    """The family of that name in a search, where there are those beside logarithms too."""
    return next((family for family in LOG_MEAN_FAMILIES.values() if family.name == name), None) or get_family(name)


def _describe_family(family: Family) -> str:
    return (
        family.name
        if family.is_installed
        else f"{family.name} (not installed: pip install 'epic22[{family.extra or family.needs}]')"
    )
