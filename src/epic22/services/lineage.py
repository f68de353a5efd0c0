"""Trace anything back to its source files and forward to what it led to, by what is kept beside tables, models and answers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from epic22.core.data.versions import LakeVersion, SourceFile
from epic22.core.errors import UserError
from epic22.core.lineage import STAGES, Graph, ModelVersion, Node, Provenance, Receipt, Trace, printable
from epic22.core.ports import Receipts, Registry, Versions

MOST_CANDIDATES = 8
HASH = re.compile(r"[0-9a-f]{8,64}")
CAN_BE = (
    "a task (its champion), task/version, a data version's number, a source file's name, a table version such as leases@4, or "
    "the first 8 or more digits of a model hash, data version id, file's SHA-256, tracking run id or prediction receipt"
)


def trace(x: str, versions: Versions, registry: Registry, receipts: Receipts) -> Trace:
    """What leads to X and what it led to.

    Raises UserError where nothing, or more than one thing, is called X; the message names what X can be and what comes near.
    """
    wanted = x.strip()
    graph = Graph()
    lake = _Tables(graph, versions.log())
    lake.draw()
    champions = {task: registry.champion(task).version for task in registry.tasks()}
    models = _Models(graph, lake, registry, champions)
    models.draw()
    if HASH.fullmatch(wanted.lower()):
        _add_predictions(graph, models, receipts.find(wanted.lower()))
    subject = _resolved(wanted, graph, champions)
    if subject.kind != "prediction":
        _add_counts(graph, models, receipts)
    return graph.trace(subject)


def trace_json(found: Trace) -> dict[str, Any]:
    """The trace for --json: nodes by key, edges from cause to effect."""
    return {
        "subject": found.subject.key,
        "nodes": [{"key": n.key, "kind": n.kind, "id": n.id, "words": n.words, "facts": dict(n.facts)} for n in found.nodes],
        "edges": [{"cause": edge.cause, "effect": edge.effect} for edge in found.edges],
        "notes": list(found.notes),
    }


@dataclass
class _Tables:
    """The versions of the stored tables, drawn into a graph."""

    graph: Graph
    log: Sequence[LakeVersion]
    introduced: dict[tuple[str, int], LakeVersion] = field(default_factory=dict)
    """The version that first held a table at a Delta version: it read the files that made it so."""
    numbers: dict[int, LakeVersion] = field(default_factory=dict)

    def draw(self) -> None:
        self._introduce()
        for version in self.log:
            tables = [self._table(name, held.delta_version) for name, held in version.tables.items() if held.rows]
            node = self.graph.add(_data_node(version), *tables)
            for source in version.sources:
                if not self._brought_rows(version, source):
                    self.graph.add(node, self._source(source))

    def node(self, provenance: Provenance | None, data_id: str) -> Node | None:
        """The data version with that id, and that number where it was noted."""
        alike = [version for version in self.log if version.id == data_id]
        if provenance is not None and provenance.data_number is not None:
            alike = [version for version in alike if version.number == provenance.data_number]
        return self.graph.nodes[_data_node(alike[0]).key] if alike else None

    def _introduce(self) -> None:
        for version in self.log:
            self.numbers[version.number] = version
            for name, held in version.tables.items():
                self.introduced.setdefault((name, held.delta_version), version)

    def _brought_rows(self, version: LakeVersion, source: SourceFile) -> bool:
        held = version.tables.get(source.table)
        return held is not None and held.rows > 0 and self.introduced[source.table, held.delta_version] is version

    def _table(self, name: str, delta: int) -> Node:
        held = self.introduced[name, delta].tables[name]
        facts = (("table", name), ("delta version", str(delta)), ("rows", str(held.rows)), ("digest", held.digest))
        node = Node("table version", f"{name}@{delta}", f"{name}, {held.rows:,} rows", facts)
        return self.graph.nodes.get(node.key) or self.graph.add(node, *self._behind(name, delta))

    def _behind(self, name: str, delta: int) -> Iterator[Node]:
        """What made a table version: the files that its ingest read, and the table version before."""
        maker = self.introduced[name, delta]
        yield from (self._source(source) for source in maker.sources if source.table == name)
        parent = None if maker.parent is None else self.numbers[maker.parent]
        before = None if parent is None else parent.tables.get(name)
        if before is not None and before.rows:
            yield self._table(name, before.delta_version)

    def _source(self, source: SourceFile) -> Node:
        facts = (("file", printable(source.name)), ("sha256", source.sha256))
        return self.graph.add(Node("source", source.sha256, printable(source.name), facts))


def _data_node(version: LakeVersion) -> Node:
    facts = (
        ("id", version.id),
        ("rows", str(version.rows)),
        ("quarantined", str(version.quarantined)),
        ("made", f"{version.action} by {printable(version.who)}, {version.at:%Y-%m-%d %H:%M} UTC"),
        ("complete to", f"{version.end:%Y-%m-%d}"),
    )
    return Node("data version", str(version.number), f"data version {version.number}, {version.rows:,} rows", facts)


@dataclass
class _Models:
    """The registered models with their runs, drawn into a graph."""

    graph: Graph
    lake: _Tables
    registry: Registry
    champions: dict[str, str]
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)

    def draw(self) -> None:
        for version in self.registry.everything():
            provenance = self.registry.provenance(version.task, version.version)
            data = self._data(version, provenance)
            cause = data if provenance is None else self.graph.add(_run_node(provenance), data)
            self.nodes[version.task, version.version] = self.graph.add(self._model_node(version), cause)

    def _data(self, version: ModelVersion, provenance: Provenance | None) -> Node:
        stored = self.lake.node(provenance, version.data_version)
        if stored is not None:
            return stored
        files = provenance.sources if provenance is not None else ()
        node = Node("data version", version.data_version, f"data {version.data_version[:12]}", (("id", version.data_version),))
        return self.graph.add(node, *(self._file(name, digest) for name, digest in files))

    def _file(self, name: str, digest: str) -> Node:
        facts = (("file", printable(name)), ("sha256", digest))
        return self.graph.add(Node("source", digest, printable(PurePath(name).name), facts))

    def _model_node(self, version: ModelVersion) -> Node:
        champion = self.champions.get(version.task) == version.version
        facts = (
            ("family", version.family),
            ("model hash", version.model_hash),
            ("status", version.status),
            ("made at", version.made_at),
            ("champion", "yes" if champion else "no"),
        )
        words = f"{version.task}, version {version.version} ({version.family}{', champion' if champion else ''})"
        return Node("model", f"{version.task}/{version.version}", words, facts)


def _run_node(provenance: Provenance) -> Node:
    facts = (
        ("tracking id", provenance.tracking_id or "not tracked: the training was ended before that"),
        ("seed", provenance.seed),
        ("code", f"epic22 {provenance.code_version}"),
        ("at", provenance.at),
        ("champion before", provenance.champion_before or "none"),
    )
    name = provenance.tracking_id or f"{provenance.task}/{provenance.version}"
    return Node("run", name, f"training of {provenance.task}, seed {provenance.seed}", facts)


def _add_predictions(graph: Graph, models: _Models, found: Sequence[Receipt]) -> None:
    """One node a receipt, after every model that gave it."""
    for receipt in dict.fromkeys(one.receipt for one in found):
        times = [one for one in found if one.receipt == receipt]
        first, last = times[0], times[-1]
        entities = list(dict.fromkeys(printable(one.entity) for one in times))
        facts = (
            ("entity", ", ".join(entities[:5]) + (f" and {len(entities) - 5} more" if len(entities) > 5 else "")),
            (
                "answered",
                f"{len(times)} time{'s' if len(times) > 1 else ''}, first {first.at:%Y-%m-%d %H:%M:%S} UTC, "
                f"last {last.at:%Y-%m-%d %H:%M:%S} UTC",
            ),
            ("model hash", first.model_hash),
        )
        node = Node("prediction", receipt, f"{first.task} for {entities[0]}", facts)
        givers = list(dict.fromkeys((one.task, one.version) for one in times))
        rows_from = [one.row_from for one in times if one.row_from is not None]
        graph.add(node, *(models.nodes[giver] for giver in givers if giver in models.nodes))
        graph.add(node, *(graph.add(_cleaned(origin)) for origin in dict.fromkeys(rows_from)))
        for task, version in givers:
            if (task, version) not in models.nodes:
                graph.notes[f"model {task}/{version} gave this answer and is not in the registry any more"] = None


def _cleaned(origin: Node) -> Node:
    """A file that rows were read from, as it was noted; a data version of that key is in the graph already."""
    facts = (("file", printable(origin.words)), ("sha256", origin.id)) if origin.kind == "source" else ()
    return Node(origin.kind, origin.id, printable(PurePath(origin.words).name), facts)


def _add_counts(graph: Graph, models: _Models, receipts: Receipts) -> None:
    for (task, version), count in receipts.counts().items():
        if (task, version) in models.nodes:
            words = f"{count:,} answer{'s' if count > 1 else ''}"
            graph.add(Node("prediction", f"{task}/{version}", words, (("answers", str(count)),)), models.nodes[task, version])


def _resolved(x: str, graph: Graph, champions: dict[str, str]) -> Node:
    """The one thing called X."""
    if x in champions:
        return graph.nodes[f"model:{x}/{champions[x]}"]
    exact = [node for node in graph.nodes.values() if x == node.id]
    found = exact or [node for node in graph.nodes.values() if _is_called(node, x)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"nothing stored is called {printable(x)[:80]!r}.{_near(x, graph, champions)} X can be {CAN_BE}.")
    order = sorted(found, key=lambda node: (STAGES.index(node.kind), node.id))
    listed = "; ".join(f"{n.kind} {n.id[:16]} ({n.words})" for n in order[:MOST_CANDIDATES])
    more = f"; and {len(order) - MOST_CANDIDATES} more" if len(order) > MOST_CANDIDATES else ""
    raise UserError(f"{printable(x)[:80]!r} can be {len(order)} things: {listed}{more}. Name one of them by its own id.")


def _is_called(node: Node, x: str) -> bool:
    facts = dict(node.facts)
    if node.kind == "source":
        name = facts["file"]
        if x == name or x == PurePath(name).name or name.endswith("/" + x):
            return True
    if not HASH.fullmatch(x.lower()):
        return False
    hashes = [node.id, *(facts[name] for name in ("id", "model hash") if name in facts and node.kind != "prediction")]
    return any(one.startswith(x.lower()) for one in hashes)


def _near(x: str, graph: Graph, champions: dict[str, str]) -> str:
    """What comes near, in a sentence."""
    names = [*champions, *(n.id for n in graph.nodes.values() if n.kind in ("model", "table version"))]
    names += [part for n in graph.nodes.values() if n.kind == "source" for part in {n.words, PurePath(n.words).name}]
    near = get_close_matches(x, list(dict.fromkeys(names)), n=3, cutoff=0.5)
    return f" Near: {', '.join(near)}." if near else ""
