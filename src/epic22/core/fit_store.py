"""Fits that need not be made again: what each gave, in a store, under a hash of all that decides it.

A training that was killed is run again from its start: whatever it computes between its fits it computes anew, and each fit that
is in the store is read instead. So a resumed training goes the way of the undisturbed one, and ends in the same model.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

MIN_SECONDS = 0.1
"""A fit that took less is made again: to write it, and to read it, costs some milliseconds."""


@dataclass(frozen=True)
class StoredFit:
    """What a fit gave: files of a model by name, arrays by name, and facts of JSON's types."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class FitStore(Protocol):
    """Where fits are kept until the training that made them is done. No method raises: what cannot be read is made again."""

    @property
    def environment(self) -> bytes:
        """What stands for the code, the libraries and the machine: a part of every digest."""

    @property
    def has_fits(self) -> bool:
        """Whether a training before left anything; if not, no digest need be computed in order to read."""

    def read(self, digest: str) -> StoredFit | None:
        """What was kept under that digest by a training before; None where that is nothing, or damaged."""

    def write(self, digest: str, fit: StoredFit) -> None:
        """Keep what a fit gave, whole or not at all."""

    def defer(self, act: Callable[[], None]) -> None:
        """Act once the training is done; never where it does not end well. The act must not raise: the model serves by then."""


@dataclass(frozen=True)
class FitForm(Generic[T]):
    """How what a fit gives is written, and read: `read(write(value))` answers as the value does, to the last bit."""

    write: Callable[[T], StoredFit]
    read: Callable[[StoredFit], T]


@dataclass(frozen=True)
class TimedFit(Generic[T]):
    """What a fit gave, and the seconds that it took when it was made."""

    value: T
    seconds: float


_STORE: ContextVar[FitStore | None] = ContextVar("store of fits", default=None)


@contextmanager
def use_fit_store(store: FitStore | None) -> Iterator[None]:
    """Have fits within looked up in a store, and kept there."""
    token = _STORE.set(store)
    try:
        yield
    finally:
        _STORE.reset(token)


def get_fit_store() -> FitStore | None:
    """Where fits are kept now; None where nobody keeps any."""
    return _STORE.get()


def act_when_done(act: Callable[[], None]) -> None:
    """Remove what a training could go on from, once nothing more of it can be killed; at once where nobody keeps fits.

    The act must not raise: the model serves by then.
    """
    store = get_fit_store()
    if store is None:
        act()
    else:
        store.defer(act)


def fit_once(
    compute_digest: Callable[[bytes], str],
    fit: Callable[[], T],
    form: FitForm[T],
    began: float | None = None,
    is_cut_short: Callable[[], bool] = lambda: False,
) -> TimedFit[T]:
    """What a fit gives: read where a training before kept it, else made, and kept where it took long enough.

    `compute_digest(environment)` is equal for two fits exactly when all that decides them is. `began` is when what belongs to the
    fit did, on the clock of `time.perf_counter`, where that was before this call. One that `is_cut_short` is not kept.
    """
    store, began = get_fit_store(), time.perf_counter() if began is None else began
    if store is None:
        value = fit()
        return TimedFit(value, time.perf_counter() - began)
    if store.has_fits and (stored := store.read(compute_digest(store.environment))) is not None:
        return TimedFit(form.read(stored), float(stored.facts["seconds"]))
    value = fit()
    seconds = time.perf_counter() - began
    if seconds >= MIN_SECONDS and not is_cut_short():
        written = form.write(value)
        facts = {**written.facts, "seconds": seconds}
        store.write(compute_digest(store.environment), StoredFit(written.files, written.arrays, facts))
    return TimedFit(value, seconds)


def list_array_bytes(*arrays: NDArray[Any] | None) -> Iterator[bytes | memoryview]:
    """The arrays for a hash: each one's type and shape, then its bytes; of one that is None its absence.

    Raises TypeError for an array of objects, whose bytes are places in memory.
    """
    for array in arrays:
        if array is None:
            yield b"none"
            continue
        if array.dtype.hasobject:
            raise TypeError("an array of objects has no bytes of its own")
        yield repr((array.dtype.str, array.shape)).encode()
        # As bytes first: an array of times is no buffer.
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""
