"""How much of a processor a model's answer to one row takes, with reasons, from the request's fields to the answer's text."""

import json
import time
from dataclasses import dataclass

import numpy as np
import scipy
from pydantic import ValidationError

from epic22.core.artifact.model import Model
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.errors import UserError
from epic22.core.prediction import PREDICTION_VIEWS
from epic22.core.serialization import to_json
from epic22.core.statistics import CONFIDENCE, Interval
from epic22.core.task import Array

REQUESTS = 15


@dataclass(frozen=True)
class RequestTime:
    """Milliseconds of processor time, the median of so many requests with its interval."""

    milliseconds: Interval
    requests: int


def measure_request(model: Model, requests: int = REQUESTS) -> RequestTime | None:
    """What the model's example row takes; None where it refuses that.

    Processor time, of all threads: another program on the machine makes an answer late, and not dear. The first answer, which
    opens what is opened once, does not count.
    """
    request_model, example = model.request_model(), dict(model.example_row())

    def answer() -> None:
        row = request_model.row.model_validate(example).model_dump(by_alias=True)
        answers = [to_json(one, PREDICTION_VIEWS) for one in model.predict(RowsRequest([row]))]
        json.dumps([*answers, model.list_warnings(row)], allow_nan=False)

    try:
        answer()
        milliseconds = []
        for _ in range(requests):
            began = time.process_time()
            answer()
            milliseconds.append((time.process_time() - began) * 1000)
    except (UserError, ValidationError):
        return None
    return RequestTime(compute_median_interval(np.array(milliseconds)), requests)


def compute_median_interval(values: Array) -> Interval:
    """The median of values (n,) between two of them that hold it with 95 % at least, whatever their distribution.

    >>> compute_median_interval(np.arange(15.0))
    Interval(value=7.0, low=3.0, high=11.0)
    """
    ordered, n = np.sort(values), len(values)
    rank = max(int(scipy.stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5)), 1) - 1
    return Interval(float(np.median(ordered)), float(ordered[rank]), float(ordered[n - 1 - rank]))
