"""Second opinions on a verdict: the field's own tests where rows are independent, and the reason where they are not."""

import math
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.delong import delong_test_over_folds
from epic22.core.evaluation.independence import find_dependence
from epic22.core.evaluation.mcnemar import mcnemar_test
from epic22.core.evaluation.metrics import compute_labels
from epic22.core.task import Kind

TESTS: dict[Kind, tuple[tuple[str, str], ...]] = {
    "binary": (("DeLong", "roc_auc"), ("McNemar (exact, mid-p)", "accuracy")),
    "multiclass": (("McNemar (exact, mid-p)", "accuracy"),),
}


@dataclass(frozen=True)
class TestResult:
    """What another test says of the same pair. `refused` is the reason why it may not be asked; then the figures are NaN."""

    test: str
    metric: str
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    refused: str = ""


def run_supplementary_tests(
    a: Evaluation, b: Evaluation, examples: Examples, plan: FoldPlan, kind: Kind
) -> tuple[TestResult, ...]:
    """DeLong on the ROC area, McNemar on accuracy; `difference` > 0 where `a` is better. None for values."""
    reason = find_dependence(plan, examples)
    if reason is not None:
        return tuple(TestResult(test, metric, refused=reason) for test, metric in TESTS.get(kind, ()))
    return tuple(_run_test(test, metric, a, b, examples) for test, metric in TESTS.get(kind, ()))


def _run_test(test: str, metric: str, a: Evaluation, b: Evaluation, examples: Examples) -> TestResult:
    folds = [
        (examples.y[x.fold.test], x.response, z.response) for x, z in zip(a.fold_predictions, b.fold_predictions, strict=True)
    ]
    if metric == "roc_auc":
        area = delong_test_over_folds(folds)
        return TestResult(test, metric, area.difference, area.low, area.high, area.p)
    y, first, second = (
        np.concatenate(parts) for parts in zip(*((y, compute_labels(r), compute_labels(s)) for y, r, s in folds), strict=True)
    )
    right = mcnemar_test(y, first, second)
    return TestResult(test, metric, right.difference, right.low, right.high, right.p)
