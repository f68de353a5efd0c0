"""The best of many is not as good as it looks; what it is worth without the luck of having been chosen."""

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import InternalError
from epic22.core.evaluation.crossval import FoldPredictions
from epic22.core.evaluation.metrics import LOG_LOSS, ROC_AUC
from epic22.core.evaluation.winner import honest_winner
from epic22.core.task import Array, RowMetadata

_NO_ROWS = RowMetadata()


def dealt(n: int, seed: int, group: Array | None = None) -> tuple[Examples, FoldPlan]:
    made = toy("binary", n, seed, group=group)
    return made.examples, plan_folds(made.examples, "binary", SplitRequest(repeats=1, seed=seed))


def parts_of(plan: FoldPlan, response: Array) -> tuple[FoldPredictions, ...]:
    return tuple(FoldPredictions(fold, response[fold.test]) for fold in plan.folds)


@pytest.mark.slow
def test_the_best_of_forty_noises_looks_good_and_is_worth_a_half() -> None:
    """Broken once on purpose: chosen and judged on the same draws, the honest score is 0.61 and this fails."""
    apparent, honest, covered = [], [], 0
    for seed in range(12):
        examples, plan = dealt(300, seed)
        rng = np.random.default_rng([seed, 7])
        found = honest_winner([parts_of(plan, rng.uniform(size=300)) for _ in range(40)], ROC_AUC, examples, plan, seed, draws=60)
        apparent.append(found.apparent)
        honest.append(found.honest)
        covered += found.low <= 0.5 <= found.high
        assert found.optimism == pytest.approx(found.apparent - found.honest)
    assert np.mean(apparent) > 0.55
    assert np.mean(honest) == pytest.approx(0.5, abs=0.012)
    assert covered == 12


def test_of_candidates_that_differ_by_far_the_best_keeps_its_score() -> None:
    examples, plan = dealt(400, 1)
    rng = np.random.default_rng(0)
    good = examples.y + rng.normal(size=400)
    found = honest_winner(
        [parts_of(plan, r) for r in (rng.normal(size=400), good, rng.normal(size=400))], ROC_AUC, examples, plan
    )
    assert found.best == 1
    assert found.honest == pytest.approx(found.apparent, abs=0.01)
    assert found.low < found.apparent < found.high


def test_the_honest_score_is_that_of_the_chosen_on_new_rows() -> None:
    """Twenty probabilities of like skill: what the winner scores on fresh rows lies nearer the honest than the apparent score."""
    off_apparent, off_honest = [], []
    for seed in range(10):
        examples, plan = dealt(200, seed)
        rng = np.random.default_rng([seed, 3])
        skill = rng.uniform(0.45, 0.55, size=20)
        fresh = 20_000
        y = np.concatenate([examples.y, rng.uniform(size=fresh) < examples.y.mean()]).astype(float)
        responses = [np.clip(0.5 + 0.3 * s * (y - 0.5) + 0.2 * rng.normal(size=len(y)), 0.01, 0.99) for s in skill]
        found = honest_winner([parts_of(plan, r[:200]) for r in responses], LOG_LOSS, examples, plan, seed, draws=60)
        truth = LOG_LOSS.score(y[200:], responses[found.best][200:], _NO_ROWS)
        off_apparent.append(truth - found.apparent)
        off_honest.append(truth - found.honest)
    assert np.mean(off_apparent) > 0.01  # the loss on fresh rows is higher than it looked
    assert abs(np.mean(off_honest)) < 0.6 * np.mean(off_apparent)


def test_clusters_are_drawn_whole() -> None:
    """Copies of fifty rows: as independent rows the interval would be a third as wide."""
    group = np.repeat(np.arange(50).astype(str), 8)
    examples, plan = dealt(400, 2, group)
    rng = np.random.default_rng(2)
    y = np.repeat(rng.integers(0, 2, 50), 8).astype(float)
    examples = type(examples)(examples.X, y[:, None], examples.entity, examples.at, "v0", group)
    plan = plan_folds(examples, "binary", SplitRequest(repeats=1))
    response = np.repeat(rng.normal(size=50) + y[::8], 8)
    whole = honest_winner([parts_of(plan, response)], ROC_AUC, examples, plan)
    alone = honest_winner([parts_of(plan, response)], ROC_AUC, examples, FoldPlan(plan.kind, plan.folds, 1, 0.0, ""))
    assert whole.high - whole.low > 2 * (alone.high - alone.low)


def test_candidates_of_other_rows_are_refused() -> None:
    examples, plan = dealt(200, 0)
    response = np.random.default_rng(0).uniform(size=200)
    with pytest.raises(InternalError, match="different test rows"):
        honest_winner([parts_of(plan, response), parts_of(plan, response)[::-1]], ROC_AUC, examples, plan)
    with pytest.raises(InternalError, match="no candidate"):
        honest_winner([], ROC_AUC, examples, plan)
