"""A model's network as a file for other programs: written, read again by a new process, and only then handed out."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epic22.core.artifact.bundle import GoldenRows
from epic22.core.artifact.model import Model
from epic22.core.artifact.portable_network import PortableNetwork
from epic22.core.artifact.sealed import GOLDEN_TOLERANCE
from epic22.core.errors import InternalError, UserError
from epic22.core.models.networks.exportable import ScoringNetwork
from epic22.core.task import Array

REFUSED_FORMATS = {"torchscript": "its archive holds pickles, which can run any program when they are opened"}


@dataclass(frozen=True)
class ExportFormat:
    """A kind of file, `build` makes its content of a network, and `answer` gives the answers (n, o) of a content with this
    suffix to X (n, p)."""

    name: str
    suffix: str
    build: Callable[[ScoringNetwork], bytes]
    answer: Callable[[bytes, str, Array], Array]


@dataclass(frozen=True)
class ExportedNetwork:
    """The content of a checked file and what is said beside it; golden scores differ by `largest_difference` at most, in parts of
    1 + |score|."""

    content: bytes
    description: Mapping[str, Any]
    golden_rows: int
    largest_difference: float


def get_export_format(name: str, formats: Sequence[ExportFormat]) -> ExportFormat:
    """The format of that name. Raises UserError for another, saying why where there is a reason."""
    for one in formats:
        if one.name == name:
            return one
    names, reason = " or ".join(one.name for one in formats), REFUSED_FORMATS.get(name)
    if reason is not None:
        raise UserError(f"--to {name} is never written: {reason}; expected {names}.")
    raise UserError(f"--to {name!r}: expected {names}.")


def export_network(
    model: Model,
    read_golden: Callable[[PortableNetwork], GoldenRows],
    form: ExportFormat,
    file_name: str,
    member: str | None = None,
) -> ExportedNetwork:
    """The file of a model's network, checked against the golden rows by a process that reads nothing but the file.

    Of a combination it is that of the `member`, or of the only one. Raises UserError for a model that is no network,
    NotInstalledError for an absent library, InternalError where the file's answers differ from the model's.
    """
    network = model.get_network(member)
    golden = read_golden(network)
    content = form.build(network.network)
    scores = network.restore_scores(form.answer(content, form.suffix, golden.X)).reshape(golden.raw.shape)
    difference = float(np.max(np.abs(scores - golden.raw) / (1 + np.abs(golden.raw)), initial=0.0))
    if not difference <= GOLDEN_TOLERANCE:
        raise InternalError(
            f"{model.name} as {form.name} answers golden rows by up to {difference:.2g} otherwise than the model "
            f"(expected {GOLDEN_TOLERANCE:g} at most); nothing was written."
        )
    file = {"format": form.name, "name": file_name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return ExportedNetwork(content, network.describe(golden) | {"file": file}, len(golden.X), difference)
