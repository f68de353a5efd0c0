"""What computes a graph in onnxruntime: the processor, or Apple's CoreML where it answers the same.

CoreML may put a graph on the Neural Engine, which computes in half precision. So a session of it is believed only once it has
answered its first questions as the processor does: the golden rows, when a bundle is opened. None of it was measured on a Mac.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epic22.core.task import Array

LOG = logging.getLogger(__name__)
PROCESSOR, COREML = "CPUExecutionProvider", "CoreMLExecutionProvider"
OPTIONS: Mapping[str, Mapping[str, str]] = {COREML: {"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}}
N_CHECKED = 8
"""Questions that both answer at first: as many as a bundle has golden rows, each a question of its own."""

TOLERANCE = 1e-5
"""What answers may differ by, in parts of 1 + |answer|: that of golden rows."""


@dataclass(frozen=True)
class ProviderPlan:
    """What onnxruntime offers, what was asked for, and what graphs that serve are opened with; a reason where that is not it."""

    offered: tuple[str, ...]
    choice: str
    provider: str
    reason: str | None = None


@dataclass
class ProviderChoice:
    """What this process asks for."""

    name: str = "cpu"


CHOICE = ProviderChoice()


def plan_provider(choice: str, offered: Sequence[str]) -> ProviderPlan:
    """The provider of graphs that serve: `choice` "coreml" is CoreML or the reason why not, "auto" CoreML where it is offered.

    >>> plan_provider("coreml", ["CPUExecutionProvider"]).reason
    'CoreMLExecutionProvider is not offered by this onnxruntime'
    """
    if choice == "cpu":
        return ProviderPlan(tuple(offered), choice, PROCESSOR)
    if COREML in offered:
        return ProviderPlan(tuple(offered), choice, COREML)
    reason = f"{COREML} is not offered by this onnxruntime" if choice == "coreml" else None
    return ProviderPlan(tuple(offered), choice, PROCESSOR, reason)


class CheckedSession:
    """A session of another provider beside the processor's, which answers while the other is on trial, and for good once the
    other differed or could not answer; the reason is logged."""

    def __init__(self, session: Any, processor: Any, provider: str) -> None:
        self.session, self.processor, self.provider = session, processor, provider
        self.n_left, self.fault = N_CHECKED, ""

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """The graph's answers, as onnxruntime's own session gives them."""
        if self.fault or self.n_left:
            expected: Sequence[Array] = self.processor.run(names, inputs)
            if not self.fault:
                self._compare(names, inputs, expected)
            return expected
        answers: Sequence[Array] = self.session.run(names, inputs)
        return answers

    def get_inputs(self) -> Sequence[Any]:
        """The graph's inputs."""
        inputs: Sequence[Any] = self.processor.get_inputs()
        return inputs

    def _compare(self, names: Sequence[str] | None, inputs: Mapping[str, Array], expected: Sequence[Array]) -> None:
        try:
            answers = self.session.run(names, inputs)
        except Exception as error:  # noqa: BLE001  whatever a driver raises, the processor answers
            self._refuse(f"it cannot answer ({str(error).splitlines()[0] if str(error) else type(error).__name__})")
            return
        differences = [np.max(np.abs(a - e) / (1 + np.abs(e)), initial=0.0) for a, e in zip(answers, expected, strict=True)]
        if not max(differences) <= TOLERANCE:
            self._refuse(
                f"it answers by up to {max(differences):.2g} otherwise than the processor, expected {TOLERANCE:g} at most"
            )
        self.n_left -= 1

    def _refuse(self, fault: str) -> None:
        self.fault = fault
        LOG.warning("%s is not used for a network, the processor answers: %s", self.provider, fault)


def open_provider_session(runtime: Any, graph: bytes, options: Any) -> Any:
    """A session of onnxruntime, the `runtime`, for a graph that serves, by the provider that this process asks for."""
    plan = plan_provider(CHOICE.name, runtime.get_available_providers())
    processor = runtime.InferenceSession(graph, options, providers=[PROCESSOR])
    if plan.provider == PROCESSOR:
        if plan.reason is not None:
            LOG.warning("networks answer by the processor: %s", plan.reason)
        return processor
    try:
        other = (plan.provider, dict(OPTIONS[plan.provider]))
        session = runtime.InferenceSession(graph, options, providers=[other, PROCESSOR])
    except Exception as error:  # noqa: BLE001  whatever a driver raises, the processor answers
        LOG.warning("%s is not used for a network, the processor answers: it opens none (%s)", plan.provider, error)
        return processor
    return CheckedSession(session, processor, plan.provider)
