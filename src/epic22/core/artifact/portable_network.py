"""A network of a registered model, for programs other than this one: what is said of every one of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epic22.core.artifact.bundle import GoldenRows
from epic22.core.lineage import ModelVersion
from epic22.core.models.networks.exportable import ScoringNetwork, spec_to_json
from epic22.core.serialization import to_json
from epic22.core.task import Array

DESCRIPTION_FORMAT = "epic22-network"
DESCRIPTION_VERSION = 1


@dataclass(frozen=True)
class PortableNetwork(ABC):
    """A network, and the version of the model that answers by it."""

    version: ModelVersion
    network: ScoringNetwork

    @abstractmethod
    def restore_scores(self, output: Array) -> Array:
        """What golden rows hold, of the network's output (n, o)."""

    @abstractmethod
    def read_golden(self, folder: Path) -> GoldenRows:
        """Rows x and what they are to be answered; `folder` is that of the bundle."""

    @abstractmethod
    def describe_ends(self, golden: GoldenRows) -> Mapping[str, Any]:
        """What the inputs mean and how the output becomes an answer, as JSON has it."""

    def describe(self, golden: GoldenRows) -> dict[str, Any]:
        """What is said beside the file, as JSON has it; a missing value is null."""
        version, ends = self.version, self.describe_ends(golden)
        return {
            "format": DESCRIPTION_FORMAT,
            "format_version": DESCRIPTION_VERSION,
            "model": {
                "task": version.task,
                "version": version.version,
                "family": version.family,
                "model_hash": version.model_hash,
            },
            **ends,
            "network": spec_to_json(self.network.spec),
            "golden": {"x": to_json(golden.X.tolist()), "score": golden.raw.tolist(), **ends.get("golden", {})},
        }
