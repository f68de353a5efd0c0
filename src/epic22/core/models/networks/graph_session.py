"""Answers of a network's ONNX graph by onnxruntime, without what trained it."""

from typing import Any

import numpy as np

from epic22.core.models.base import require_library
from epic22.core.models.networks.graph_provider import PROCESSOR, open_provider_session
from epic22.core.task import Array


class GraphSession:
    """A graph with its weights, opened at the first question; one that `is_served` by the provider that is asked for, else by the
    processor, on which folds are judged."""

    def __init__(self, graph: bytes, threads: int = 1, is_served: bool = False) -> None:
        self.graph, self.threads, self.is_served = graph, threads, is_served
        self._session: Any = None

    def __reduce__(self) -> tuple[type["GraphSession"], tuple[bytes, int, bool]]:
        # A session belongs to its process; a copy opens its own.
        return GraphSession, (self.graph, self.threads, self.is_served)

    def run(self, X: Array, **inputs: Array) -> Array:
        """The graph's answer for X and what else it takes, float64.

        Raises NotInstalledError without onnxruntime.
        """
        given = {"x": X, **inputs}
        (answer,) = self._open().run(None, {name: np.ascontiguousarray(value, np.float32) for name, value in given.items()})
        return np.asarray(answer, dtype=np.float64)

    def takes(self, name: str) -> bool:
        """Whether the graph has an input of that name."""
        return any(one.name == name for one in self._open().get_inputs())

    def _open(self) -> Any:
        if self._session is None:
            self._session = _open_session(self.graph, self.threads, self.is_served)
        return self._session


def _open_session(graph: bytes, threads: int, is_served: bool) -> Any:
    require_library("a neural network", "onnxruntime", extra="neural-serve")
    import onnxruntime

    # On Windows it sends events to its makers unless it is told not to.
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if is_served:
        return open_provider_session(onnxruntime, graph, options)
    return onnxruntime.InferenceSession(graph, options, providers=[PROCESSOR])
