"""Are test rows independent evidence? What DeLong's and McNemar's tests rest on, and most tables do not grant."""

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan


def find_dependence(plan: FoldPlan, examples: Examples) -> str | None:
    """In words why the tested rows are not independent of one another, None where they are.

    They are where each row was tested once, by one model, and no two tested rows share a cluster or a stretch of time.
    """
    tested = np.concatenate([fold.test for fold in plan.folds])
    rows = np.unique(tested)
    if len(rows) < len(tested):
        return f"rows were tested more than once, in {plan.repeats} dealings of the folds"
    if plan.clusters is not None:
        count = len(np.unique(plan.clusters[rows]))
        return None if count == len(rows) else f"{len(rows):,} tested rows come in {count:,} clusters"
    return "rows follow one another in time" if examples.has_times else None
