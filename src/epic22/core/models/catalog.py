"""The families, in the order they are raced. A new family is one module beside this one and one line here."""

from epic22.core.errors import UnknownTaskError
from epic22.core.models import baseline, boosting, hazard, linear
from epic22.core.models.base import Family

FAMILIES: tuple[Family, ...] = (
    baseline.FAMILY,
    linear.FAMILY,
    boosting.FAMILY,
    hazard.LINEAR,
    hazard.FAMILY,
)


def family_named(name: str) -> Family:
    """The family of that name.

    Raises UnknownTaskError with the names there are.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise UnknownTaskError(f"no model family {name!r}; there are {', '.join(f.name for f in FAMILIES)}.")
