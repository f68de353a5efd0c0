"""A protected class tied on request to how people pay, so that what a fairness gate does can be seen and tested.

The simulated portfolio draws classes that have nothing to do with payments; nothing here happens unless it is asked for.
"""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.errors import ColumnError
from epic22.simulator.faults import PlantedFault
from epic22.simulator.tenancy_tables import FAMILY_STATUSES

CLASS_COLUMN = "family_status"
LATE_TENANT_SHARE = 0.2
CLASS_SHARE_LATE, CLASS_SHARE_OTHERS = 0.95, 0.02
GRACE_PERIOD = timedelta(days=5)


def plant_unfair_class(tables: Mapping[str, pl.DataFrame], seed: int) -> tuple[pl.DataFrame, PlantedFault]:
    """The table `protected` with the class `family_status` given out by payment; all else, `known_at` too, stays as it is.

    Of the fifth of tenants whose rents were most often not paid within 5 days of being due, 95 % have children; of the others
    2 %. No model sees the class: it sees the payments. Raises ColumnError where no tenant of the table has a rent to judge by.
    """
    protected = tables["protected"]
    late = protected.join(compute_late_shares(tables), on="tenant_id", how="left", maintain_order="left")["late"].fill_null(0.0)
    if not late.sum():
        raise ColumnError("no tenant in table protected has paid a rent late; a class cannot be tied to late payments.")
    rng = np.random.default_rng([seed, 91])
    # A draw beside the share, so that tenants with equal shares are ranked by chance and not by their place in the table.
    place = np.lexsort((rng.uniform(size=len(late)), -late.to_numpy()))
    among = np.zeros(len(late), dtype=bool)
    among[place[: round(LATE_TENANT_SHARE * len(late))]] = True
    chosen = rng.uniform(size=len(late)) < np.where(among, CLASS_SHARE_LATE, CLASS_SHARE_OTHERS)
    none, children = FAMILY_STATUSES
    classes = pl.Series(CLASS_COLUMN, np.where(chosen, children, none))
    words = (
        f"{CLASS_COLUMN} given out by payment: {children} for {CLASS_SHARE_LATE:.0%} of the "
        f"{int(among.sum()):,} tenants who paid late most "
        f"often and for {CLASS_SHARE_OTHERS:.0%} of the other {int((~among).sum()):,}"
    )
    return protected.with_columns(classes), PlantedFault("unfair_class", "protected", CLASS_COLUMN, words, float(len(late)))


def compute_late_shares(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Frame [tenant_id, late]: the share of a tenant's rents that were not paid within 5 days of being due, or never."""
    leases = tables["leases"].select("lease_id", "tenant_id").unique("lease_id")
    due = tables["charges"].filter(pl.col("kind") == "rent").select("charge_id", "lease_id", "due_on").unique("charge_id")
    paid = tables["payments"].filter(pl.col("status") == "paid").group_by("charge_id").agg(pl.col("paid_on").min())
    is_late = (pl.col("paid_on") > pl.col("due_on") + GRACE_PERIOD).fill_null(value=True)
    rents = due.join(leases, on="lease_id").join(paid, on="charge_id", how="left")
    return rents.group_by("tenant_id").agg(late=is_late.mean())
