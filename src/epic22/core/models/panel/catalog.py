"""The forecasting families, in the order they are evaluated. A new one is one module beside this one and one line here."""

from epic22.core.errors import UnknownTaskError
from epic22.core.models.panel import classical, linear, naive, network, xgboost
from epic22.core.models.panel.base import PanelFamily

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
