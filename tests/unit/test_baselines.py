"""What a champion is measured against."""

from dataclasses import replace

import numpy as np
from tests.toy import toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.baselines import evaluate_incumbent
from epic22.core.experiment import Experiment
from epic22.core.task import Incumbent


def test_rows_that_a_ranking_rule_cannot_score_get_the_rate_and_spoil_no_others() -> None:
    made = toy("binary", 400)
    score = made.examples.X["wear"].to_numpy().astype(float)
    assert np.isnan(score).any()
    task = replace(made.task, incumbent=Incumbent("wear", "ranking", lambda known: score))
    examples = replace(made.examples, incumbent=score)
    plan = plan_folds(examples, "binary", SplitRequest(repeats=1))
    found = evaluate_incumbent(Experiment(task, examples, plan))
    assert found is not None
    for part in found.fold_predictions:
        unknown, response = np.isnan(score[part.fold.test]), part.response
        assert np.isfinite(response).all()
        assert set(response[unknown]) <= {examples.y[part.fold.train].mean()}
    assert found.score("roc_auc").value > 0.7
