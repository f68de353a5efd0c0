"""An explanation tells levels that a fold's training did not hold from missing ones."""

import numpy as np
import polars as pl

from epic22.core.data.preprocess import Preprocessor
from epic22.core.evaluation.explain.shap_samples import UNSEEN, ShapSample
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.task import Column


def test_an_id_without_missing_values_has_no_missing_level() -> None:
    columns = (Column("agent", "category"),)
    preprocessor = Preprocessor.fit(columns, pl.DataFrame({"agent": ["a7", "a9"]}))
    rows = pl.DataFrame({"agent": ["a7", "a8", None]})
    estimator = get_family("constant").build(LearningProblem("binary", ("agent",), (True,)))
    sample = ShapSample(
        rows=np.arange(3),
        cluster=np.arange(3),
        y=np.zeros(3),
        fitted=FittedFold(preprocessor, estimator),
        X=preprocessor.transform(rows),
        column_indices=np.array([0]),
        shap_values=np.zeros((3, 1, 1)),
        inputs=rows,
    )
    assert sample.get_values(0).tolist() == ["a7", UNSEEN, None]
