"""Graphs of networks in a folder, so that tests in other processes and in later runs need not export them again."""

import fcntl
import os
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.networks import graph_memory
from epic22.core.models.networks.exportable import spec_to_json
from epic22.core.models.networks.graph_memory import Export, GraphMemory
from epic22.core.models.networks.specification import NetworkSpec


class GraphFolder(GraphMemory):
    """What this process keeps, and beyond it files, each named by all that its graph follows from: what it computes, the
    specification, this package's networks, and the versions of what exports them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @cached_property
    def _code(self) -> list[str]:
        sources = sorted(Path(graph_memory.__file__).parent.glob("*.py"))
        return [sha256(path.read_bytes()) for path in sources] + [version(name) for name in ("torch", "onnx", "onnxscript")]

    def export(self, name: str, spec: NetworkSpec, export: Export) -> bytes:
        """The graph in the folder; made and put there by the first process that wants it, while others wait."""
        digest = sha256(canonical_json([name, spec_to_json(spec), self._code]))
        self.folder.mkdir(parents=True, exist_ok=True)
        file, lock = (self.folder / f"{digest}.{suffix}" for suffix in ("onnx", "lock"))
        with lock.open("w") as turns:
            fcntl.flock(turns, fcntl.LOCK_EX)
            if not file.exists():
                aside = file.with_suffix(f".{os.getpid()}")
                aside.write_bytes(export(spec))
                aside.replace(file)
        return file.read_bytes()
