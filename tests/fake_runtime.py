"""A module in the place of onnxruntime: that of a Mac, whose CoreML answers with a share of the processor's answers, or not.

It computes nothing itself: `open_session` gives what stands for the processor, onnxruntime's own or a small function.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

from epic22.core.models.networks.graph_provider import COREML, PROCESSOR
from epic22.core.task import Array


@dataclass
class FunctionSession:
    """Stands for a session: the answer is a function of x."""

    compute: Callable[[Array], Array]
    n_answers: int = 0

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Array]) -> list[Array]:
        self.n_answers += 1
        return [self.compute(inputs["x"])]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x")]


@dataclass
class BentSession(FunctionSession):
    """Answers of another session times a factor; of 0 it cannot answer."""

    compute: Callable[[Array], Array] = field(default=abs)
    session: Any = None
    factor: float = 1.0

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Array]) -> list[Array]:
        self.n_answers += 1
        if not self.factor:
            raise RuntimeError("Unable to compute the prediction using a neural network model.\nA second line.")
        return [self.factor * answer for answer in self.session.run(names, inputs)]


class FakeRuntime(ModuleType):
    """onnxruntime as it is imported; `opened` are the sessions, by provider."""

    def __init__(self, open_session: Callable[..., Any], factor: float, offered: Sequence[str] = (COREML, PROCESSOR)) -> None:
        super().__init__("onnxruntime")
        self.__spec__ = ModuleSpec("onnxruntime", None)
        self.open_session, self.factor, self.offered = open_session, factor, list(offered)
        self.opened: dict[str, Any] = {}
        self.SessionOptions = SimpleNamespace

    def disable_telemetry_events(self) -> None:
        """Nothing is sent from here."""

    def get_available_providers(self) -> list[str]:
        return self.offered

    def InferenceSession(self, graph: bytes, options: Any, providers: Sequence[Any]) -> Any:  # noqa: N802  it is onnxruntime's name
        processor = self.open_session(graph)
        name = PROCESSOR if providers[0] == PROCESSOR else providers[0][0]
        self.opened[name] = processor if name == PROCESSOR else BentSession(session=processor, factor=self.factor)
        return self.opened[name]
