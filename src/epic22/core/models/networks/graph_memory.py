"""Exported graphs, kept for all networks of one shape: an export takes seconds."""

from collections.abc import Callable

from epic22.core.models.networks.specification import NetworkSpec

Export = Callable[[NetworkSpec], bytes]


class GraphMemory:
    """The last graphs of this process, by what they compute and their specification; `n_misses` were not among them."""

    def __init__(self, capacity: int = 128) -> None:
        self.capacity, self.n_misses = capacity, 0
        self._graphs: dict[tuple[str, NetworkSpec], bytes] = {}

    def find(self, name: str, spec: NetworkSpec, export: Export) -> bytes:
        """The graph of that name, exported where none is kept.

        >>> from epic22.core.models.networks.specification import MlpLayers, NetworkColumns
        >>> memory, spec = GraphMemory(), NetworkSpec(NetworkColumns((0,)), MlpLayers(), 1, "value")
        >>> memory.find("score", spec, lambda spec: b"graph") == memory.find("score", spec, lambda spec: b"another")
        True
        """
        if (name, spec) not in self._graphs:
            self.n_misses += 1
            if len(self._graphs) >= self.capacity:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[name, spec] = self.export(name, spec, export)
        return self._graphs[name, spec]

    def export(self, name: str, spec: NetworkSpec, export: Export) -> bytes:
        """The graph, made anew."""
        return export(spec)


GRAPHS = GraphMemory()
"""What this process keeps."""
