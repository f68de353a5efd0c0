"""Ids of data, code and models, and the graph that leads from one to another: frozen records and the hashes they are made of."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

NodeType = Literal["source", "table version", "data version", "run", "model", "prediction"]
STAGES: tuple[NodeType, ...] = get_args(NodeType)
"""The kinds of things in the order in which one leads to the next."""


MIN_PLAIN, MAX_PLAIN = 1e-4, 1e16
"""Between these sizes every writer of shortest numbers writes the same digits; beyond them exponents have several forms."""
NUMBER_TYPES = frozenset((float, type(None)))

MIN_BULK_ROWS = 8
"""So few rows are written one by one sooner than column by column."""


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, NaN refused.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode()


def canonical_json_rows(columns: Mapping[str, list[Any]]) -> list[bytes]:
    """`canonical_json` of each row of columns of plain values, all of one length, in a fraction of its time.

    >>> canonical_json_rows({"b": [1, 2], "a": [1.5, None]})
    [b'{"a":1.5,"b":1}', b'{"a":null,"b":2}']
    """
    names = sorted(columns)
    if max(map(len, columns.values())) < MIN_BULK_ROWS:
        return [
            canonical_json(dict(zip(names, row, strict=True))) for row in zip(*(columns[name] for name in names), strict=True)
        ]
    row = ",".join(canonical_json(name).decode().replace("%", "%%") + ":%s" for name in names)
    form = "{" + row + "}"
    return [(form % texts).encode() for texts in zip(*(_to_json_texts(columns[name]) for name in names), strict=True)]


def _to_json_texts(values: list[Any]) -> list[str]:
    """The JSON of each value. All are written at once: no line break within one is left as it is."""
    if {*map(type, values)} <= NUMBER_TYPES:
        return write_numbers(values)
    texts = json.dumps(values, sort_keys=True, separators=("\n", ":"), allow_nan=False, ensure_ascii=False)[1:-1].split("\n")
    return texts if len(texts) == len(values) else [canonical_json(value).decode() for value in values]


def write_numbers(values: list[float | None]) -> list[str]:
    """The JSON of each number as `canonical_json` writes it, in a tenth of its time. Raises ValueError for NaN and infinity.

    >>> write_numbers([0.1, None, -0.0, 1e-5, 1e16])
    ['0.1', 'null', '-0.0', '1e-05', '1e+16']
    """
    import numpy as np

    texts = orjson.dumps(values).decode()[1:-1].split(",")
    numbers = np.array(values, dtype=np.float64)
    size = np.abs(numbers)
    for place in np.flatnonzero(~((size >= MIN_PLAIN) & (size < MAX_PLAIN)) & (size != 0)).tolist():
        # None is NaN among the numbers, and null in both.
        texts[place] = json.dumps(values[place], allow_nan=False)
    return texts


def sha256(*parts: bytes | memoryview) -> str:
    """Hex SHA-256 over the parts, each preceded by its length so that no two splits collide.

    >>> sha256(b"ab", b"c") == sha256(b"a", b"bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_sized_file(path: Path) -> str:
    """`sha256` of a file's bytes, read in pieces."""
    digest = hashlib.sha256(path.stat().st_size.to_bytes(8, "big"))
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class DataVersion:
    """Which bytes a model learned from, and what each column was taken for.

    For flat files `id` is the SHA-256 of the files' bytes and of the roles; `sources` are (path, sha256 of its bytes). `number`
    is that of the stored tables' version, None for flat files.
    """

    id: str
    sources: tuple[tuple[str, str], ...]
    number: int | None = None

    @classmethod
    def of_files(cls, sources: Iterable[tuple[str, str]], roles: Mapping[str, Any], contents: Iterable[str]) -> "DataVersion":
        """The version of some files read under these roles; names and places of the files do not count, `contents` do."""
        return cls(sha256(*(digest.encode() for digest in contents), canonical_json(roles)), tuple(sources))


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: `version` counts up within its task, `model_hash` says what it is."""

    task: str
    version: str
    family: str
    model_hash: str
    data_version: str
    status: str
    made_at: str
    """`status` is "proven" (certainly better than the constant), "provisional", or what the fairness gate made of it:
    "provisional", "overridden" or "refused"; `made_at` is ISO 8601, UTC."""


def describe_absent_explanation(version: ModelVersion) -> str:
    """Why nothing is stored of what a version looks at, as a sentence."""
    name = f"{version.task} version {version.version}"
    return f"{name} has no explanation: a forecast has none, another model gets one in training."


@dataclass(frozen=True)
class Provenance:
    """What a registered model was made from, kept beside it.

    `sources` are (name, sha256) of the files that the data version itself read; `data_number` is None for flat files,
    `tracking_id` None while the run is not tracked yet, `champion_before` the version that was champion when this one was made.
    """

    task: str
    version: str
    model_hash: str
    data_version: str
    data_number: int | None
    sources: tuple[tuple[str, str], ...]
    tracking_id: str | None
    code_version: str
    seed: str
    at: str
    champion_before: str | None


def printable(text: str) -> str:
    """The text with everything a terminal or a picture could take for a command replaced.

    >>> printable("leases\\x1b[2J.csv")
    'leases\ufffd[2J.csv'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


@dataclass(frozen=True)
class Node:
    """A thing in a lineage graph. `id` is unique within its type; `label` are for people, `facts` what is known of it."""

    type: NodeType
    id: str
    label: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Unique in a graph.

        >>> Node("model", "toy/1", "toy, version 1").key
        'model:toy/1'
        """
        return f"{self.type}:{self.id}"


@dataclass(frozen=True)
class PredictionRecord:
    """That an answer was given: its receipt, the model that gave it, whom it is about, and when (UTC).

    `row_from` is what the answered row was read from, a data version or a file; None where a client sent it.
    """

    receipt: str
    task: str
    version: str
    model_hash: str
    entity: str
    at: datetime
    row_from: Node | None = None


@dataclass(frozen=True)
class ReceiptBatch:
    """The receipts of answers that one model gave at once, each with whom it is about; all rows were read from one place."""

    version: ModelVersion
    receipts: Sequence[str]
    entities: Sequence[str]
    at: datetime
    row_from: Node

    def __iter__(self) -> Iterator[PredictionRecord]:
        """Each by itself."""
        v = self.version
        for receipt, entity in zip(self.receipts, self.entities, strict=True):
            yield PredictionRecord(receipt, v.task, v.version, v.model_hash, entity, self.at, self.row_from)


@dataclass(frozen=True)
class Edge:
    """One thing led to another; both are keys of nodes."""

    cause: str
    effect: str


@dataclass(frozen=True)
class Trace:
    """What leads to `subject` and what it led to; `notes` say where the record has gaps. Nodes come in the order of `STAGES`."""

    subject: Node
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()

    def list_nodes(self, node_type: NodeType) -> tuple[Node, ...]:
        """The nodes of one type."""
        return tuple(node for node in self.nodes if node.type == node_type)

    def causes(self, node: Node) -> tuple[Node, ...]:
        """What leads to a node at once."""
        keys = {edge.cause for edge in self.edges if edge.effect == node.key}
        return tuple(one for one in self.nodes if one.key in keys)

    def effects(self, node: Node) -> tuple[Node, ...]:
        """What a node led to at once."""
        keys = {edge.effect for edge in self.edges if edge.cause == node.key}
        return tuple(one for one in self.nodes if one.key in keys)


@dataclass
class LineageGraph:
    """Things and what led to what, as they are found; `trace` cuts out what one of them has to do with."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[Edge, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, node: Node, *causes: Node) -> Node:
        """Take a node in, with what led to it; a node of that key that is there already stays as it is."""
        entry = self.nodes.setdefault(node.key, node)
        for cause in causes:
            self.edges[Edge(cause.key, entry.key)] = None
        return entry

    def trace(self, subject: Node) -> Trace:
        """All that leads to the subject and all that it led to."""
        reachable = {subject.key} | self._find_reachable(subject.key, up=True) | self._find_reachable(subject.key, up=False)
        keys = {key for key in reachable if key == subject.key or not self._is_intermediate(key, subject, reachable)}
        edges = self._collect_edges(keys, reachable)
        nodes = sorted((self.nodes[key] for key in keys), key=lambda n: (STAGES.index(n.type), n.label, n.id))
        return Trace(subject, tuple(nodes), tuple(edges), tuple(self.notes))

    def _is_intermediate(self, key: str, subject: Node, reachable: set[str]) -> bool:
        """Whether a thing only lies between others of its kind: a table version that is not itself in a version asked about."""
        node_type = self.nodes[key].type
        if node_type != "table version":
            return False
        after = [effect for effect in self._neighbours(up=False).get(key, ()) if effect in reachable]
        return subject.type == node_type or all(self.nodes[effect].type == node_type for effect in after)

    def _collect_edges(self, keys: set[str], reachable: set[str]) -> dict[Edge, None]:
        """The edges between what is kept. A chain of versions of one table is one step: all that led to it led to its last."""
        steps, edges = self._neighbours(up=True), dict[Edge, None]()
        for key in keys:
            stack, visited = [key], {key}
            while stack:
                new = [cause for cause in steps.get(stack.pop(), ()) if cause in reachable and cause not in visited]
                visited.update(new)
                skipped = [cause for cause in new if cause not in keys or self.nodes[cause].type == self.nodes[key].type]
                edges.update((Edge(cause, key), None) for cause in new if cause not in skipped)
                stack += skipped
        return edges

    def _neighbours(self, up: bool) -> dict[str, list[str]]:
        """By key what is one edge before it, or after it."""
        neighbours: dict[str, list[str]] = {}
        for edge in self.edges:
            here, there = (edge.effect, edge.cause) if up else (edge.cause, edge.effect)
            neighbours.setdefault(here, []).append(there)
        return neighbours

    def _find_reachable(self, start: str, up: bool) -> set[str]:
        steps = self._neighbours(up)
        reachable: set[str] = set()
        stack = [start]
        while stack:
            new = [key for key in steps.get(stack.pop(), ()) if key not in reachable]
            reachable.update(new)
            stack += new
        return reachable


DatasetType = Literal["source", "table", "model", "champion", "predictions"]


@dataclass(frozen=True)
class Dataset:
    """What a piece of work reads or writes, as it is reported to others: `version` is what tells its states apart.

    `digest` is the hash of its content where there is one: of a file or model its SHA-256, of a table the sum of its rows'
    hashes. `rows` is how many it has.
    """

    type: DatasetType
    name: str
    version: str
    digest: str | None = None
    rows: int | None = None
