"""Many rows answered in bounded memory: a batch after another, as many at once as there are threads, in their order."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from polars import DataFrame

from epic22.core.artifact.model import Model
from epic22.core.artifact.prediction_request import PredictionRequest

ROWS_AT_ONCE = 8_192
"""Rows of a batch: enough that what a batch costs by itself is little, few enough that a batch a thread fits into memory."""
SERIES_AT_ONCE = 64


@dataclass(frozen=True)
class BatchSettings:
    """How many batches are answered at once, and whether reasons are computed."""

    threads: int = 1
    with_reasons: bool = True


def answer_batches(model: Model, requests: Iterable[PredictionRequest], settings: BatchSettings) -> Iterator[DataFrame]:
    """The answers to each request as a frame, in their order; no more requests are read than are being answered."""
    # Libraries of classical forecasts are not made for several threads.
    threads = 1 if model.capabilities.needs_sequences else settings.threads
    pending: deque[Future[DataFrame]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for request in requests:
                pending.append(pool.submit(model.predict_frame, request, settings.with_reasons))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def count_rows_at_once(model: Model) -> int:
    """How many rows, or series, a batch has."""
    return SERIES_AT_ONCE if model.capabilities.needs_sequences else ROWS_AT_ONCE
