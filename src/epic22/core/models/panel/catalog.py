"""The forecasting families, in the order they are evaluated. A new one is one module beside this one and one line here."""

from dataclasses import replace

from epic22.core.errors import ColumnError, UnknownTaskError
from epic22.core.models.base import require_library
from epic22.core.models.panel import classical, linear, naive, network, xgboost
from epic22.core.models.panel.base import PanelFamily
from epic22.core.task import Task

PANEL_FAMILIES: tuple[PanelFamily, ...] = (
    *naive.FAMILIES,
    linear.FAMILY,
    xgboost.FAMILY,
    *classical.FAMILIES,
    *network.FAMILIES,
)


def get_panel_family(name: str) -> PanelFamily:
    """The family of that name. Raises UnknownTaskError, as for a stored model that names one this version lacks."""
    for family in PANEL_FAMILIES:
        if family.name == name:
            return family
    raise UnknownTaskError(f"no forecasting family {name!r}; there are {', '.join(f.name for f in PANEL_FAMILIES)}.")


def extend_families(names: tuple[str, ...], also: tuple[str, ...]) -> tuple[str, ...]:
    """The families of these names and the slow ones that are asked for as well, in the catalog's order.

    Raises ColumnError for an unknown one, NotInstalledError for one whose library is absent.
    """
    known = [family.name for family in PANEL_FAMILIES]
    for name in also:
        if name not in known:
            raise ColumnError(f"--also {name}: no such family; there are {', '.join(known)}.")
        family = get_panel_family(name)
        if family.needs is not None:
            require_library(name, family.needs, family.extra)
    return tuple(name for name in known if name in (*names, *also))


def name_panel_families(task: Task, named: tuple[str, ...], also: tuple[str, ...]) -> Task:
    """A forecasting task, evaluated with the families `also` asked for.

    Raises ColumnError where families of rows are `named`, and what `extend_families` raises.
    """
    if named:
        slow = ", ".join(family.name for family in PANEL_FAMILIES if family.slow)
        raise ColumnError(
            f"families: {', '.join(named)}: {task.name} forecasts series, which families of rows do not; leave --families out. "
            f"epic22 train {task.name} --also NAME evaluates a slow family of series as well: {slow}."
        )
    return replace(task, families=extend_families(task.families, also)) if also else task
