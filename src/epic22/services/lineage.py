"""Trace anything back to its source files and forward to what it led to, by what is kept beside tables, models and answers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from epic22.core.errors import UserError
from epic22.core.lineage import STAGES, LineageGraph, ModelVersion, Node, PredictionRecord, Provenance, Trace, printable
from epic22.core.ports import PredictionLogReader, Registry, TableStore
from epic22.core.tables.versions import LakeVersion, SourceFile
from epic22.core.text import find_near_names

MAX_MATCHES = 8
HASH = re.compile(r"[0-9a-f]{8,64}")
REFERENCE_HELP = (
    "a task (its champion), task/version, a data version's number, a source file's name, a table version such as leases@4, or "
    "the first 8 or more digits of a model hash, data version id, file's SHA-256, tracking run id or prediction receipt"
)


def trace_lineage(reference: str, table_store: TableStore, registry: Registry, prediction_log: PredictionLogReader) -> Trace:
    """What leads to X and what it led to.

    Raises UserError where nothing, or more than one thing, is called X; the message names what X can be and what comes near.
    """
    query = reference.strip()
    graph = LineageGraph()
    lake = _Tables(graph, table_store.log())
    lake.add_nodes()
    champions = {
        task: champion.version for task in registry.list_tasks() if (champion := registry.find_champion(task)) is not None
    }
    models = _Models(graph, lake, registry, champions)
    models.add_nodes()
    if HASH.fullmatch(query.lower()):
        _add_predictions(graph, models, prediction_log.find_receipts(query.lower()))
    subject = _resolve_node(query, graph, champions)
    if subject.type != "prediction":
        _add_counts(graph, models, prediction_log)
    return graph.trace(subject)


@dataclass
class _Tables:
    """The versions of the stored tables, drawn into a graph."""

    graph: LineageGraph
    log: Sequence[LakeVersion]
    introduced: dict[tuple[str, int], LakeVersion] = field(default_factory=dict)
    """The version that first held a table at a Delta version: it read the files that made it so."""
    numbers: dict[int, LakeVersion] = field(default_factory=dict)

    def add_nodes(self) -> None:
        for version in self.log:
            self.numbers[version.number] = version
            for name, table in version.tables.items():
                self.introduced.setdefault((name, table.delta_version), version)
        for version in self.log:
            tables = [self._table_node(name, table.delta_version) for name, table in version.tables.items() if table.rows]
            node = self.graph.add(_data_node(version), *tables)
            for source in version.sources:
                if not self._has_rows_from(version, source):
                    self.graph.add(node, self._source_node(source))

    def node(self, provenance: Provenance | None, data_id: str) -> Node | None:
        """The data version with that id, and that number where it was noted."""
        alike = [version for version in self.log if data_id in version.ids]
        if provenance is not None and provenance.data_number is not None:
            alike = [version for version in alike if version.number == provenance.data_number]
        return self.graph.nodes[_data_node(alike[0]).key] if alike else None

    def _has_rows_from(self, version: LakeVersion, source: SourceFile) -> bool:
        table = version.tables.get(source.table)
        return table is not None and table.rows > 0 and self.introduced[source.table, table.delta_version] is version

    def _table_node(self, name: str, delta: int) -> Node:
        table = self.introduced[name, delta].tables[name]
        facts = (("table", name), ("delta version", str(delta)), ("rows", str(table.rows)), ("digest", table.digest))
        node = Node("table version", f"{name}@{delta}", f"{name}, {table.rows:,} rows", facts)
        return self.graph.nodes.get(node.key) or self.graph.add(node, *self._find_causes(name, delta))

    def _find_causes(self, name: str, delta: int) -> Iterator[Node]:
        """What made a table version: the files that its ingest read, and the table version before."""
        maker = self.introduced[name, delta]
        yield from (self._source_node(source) for source in maker.sources if source.table == name)
        parent = None if maker.parent is None else self.numbers[maker.parent]
        before = None if parent is None else parent.tables.get(name)
        if before is not None and before.rows:
            yield self._table_node(name, before.delta_version)

    def _source_node(self, source: SourceFile) -> Node:
        facts = (("file", printable(source.name)), ("sha256", source.sha256))
        return self.graph.add(Node("source", source.sha256, printable(source.name), facts))


def _data_node(version: LakeVersion) -> Node:
    facts = (
        ("id", version.id),
        ("rows", str(version.rows)),
        ("quarantined", str(version.quarantined)),
        ("made", f"{version.action} by {printable(version.who)}, {version.at:%Y-%m-%d %H:%M} UTC"),
        ("complete to", f"{version.end:%Y-%m-%d}"),
        *((("superseded", ", ".join(version.supersedes)),) if version.supersedes else ()),
    )
    return Node("data version", str(version.number), f"data version {version.number}, {version.rows:,} rows", facts)


@dataclass
class _Models:
    """The registered models with their runs, drawn into a graph."""

    graph: LineageGraph
    lake: _Tables
    registry: Registry
    champions: dict[str, str]
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)

    def add_nodes(self) -> None:
        for version in self.registry.list_all_versions():
            provenance = self.registry.load_provenance(version.task, version.version)
            data = self._data_node(version, provenance)
            cause = data if provenance is None else self.graph.add(_run_node(provenance), data)
            self.nodes[version.task, version.version] = self.graph.add(self._model_node(version), cause)

    def _data_node(self, version: ModelVersion, provenance: Provenance | None) -> Node:
        stored = self.lake.node(provenance, version.data_version)
        if stored is not None:
            return stored
        files = provenance.sources if provenance is not None else ()
        node = Node("data version", version.data_version, f"data {version.data_version[:12]}", (("id", version.data_version),))
        sources = (_origin_node(Node("source", digest, name)) for name, digest in files)
        return self.graph.add(node, *(self.graph.add(source) for source in sources))

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


def _add_predictions(graph: LineageGraph, models: _Models, receipts: Sequence[PredictionRecord]) -> None:
    """One node a receipt, after every model that gave it."""
    for receipt in dict.fromkeys(one.receipt for one in receipts):
        times = [one for one in receipts if one.receipt == receipt]
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
        graph.add(node, *(graph.add(_origin_node(origin)) for origin in dict.fromkeys(rows_from)))
        for task, version in givers:
            if (task, version) not in models.nodes:
                graph.notes[f"model {task}/{version} gave this answer and is not in the registry any more"] = None


def _origin_node(origin: Node) -> Node:
    """A file, as it was noted; a data version of that key is in the graph already."""
    facts = (("file", printable(origin.label)), ("sha256", origin.id)) if origin.type == "source" else ()
    return Node(origin.type, origin.id, printable(PurePath(origin.label).name), facts)


def _add_counts(graph: LineageGraph, models: _Models, prediction_log: PredictionLogReader) -> None:
    for (task, version), count in prediction_log.count_predictions().items():
        if (task, version) in models.nodes:
            words = f"{count:,} answer{'s' if count > 1 else ''}"
            graph.add(Node("prediction", f"{task}/{version}", words, (("answers", str(count)),)), models.nodes[task, version])


def _resolve_node(reference: str, graph: LineageGraph, champions: dict[str, str]) -> Node:
    """The one thing called X."""
    if reference in champions:
        return graph.nodes[f"model:{reference}/{champions[reference]}"]
    exact = [node for node in graph.nodes.values() if reference == node.id]
    matches = exact or [node for node in graph.nodes.values() if _is_called(node, reference)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UserError(
            "nothing stored is called "
            f"{printable(reference)[:80]!r}.{_suggest_names(reference, graph, champions)} X can be {REFERENCE_HELP}."
        )
    order = sorted(matches, key=lambda node: (STAGES.index(node.type), node.id))
    listed = "; ".join(f"{n.type} {n.id[:16]} ({n.label})" for n in order[:MAX_MATCHES])
    more = f"; and {len(order) - MAX_MATCHES} more" if len(order) > MAX_MATCHES else ""
    raise UserError(f"{printable(reference)[:80]!r} can be {len(order)} things: {listed}{more}. Name one of them by its own id.")


def _is_called(node: Node, reference: str) -> bool:
    facts = dict(node.facts)
    if node.type == "source":
        name = facts["file"]
        if reference == name or reference == PurePath(name).name or name.endswith("/" + reference):
            return True
    if not HASH.fullmatch(reference.lower()):
        return False
    hashes = [node.id, *(facts[name] for name in ("id", "model hash") if name in facts and node.type != "prediction")]
    hashes += facts.get("superseded", "").split(", ")
    return any(one.startswith(reference.lower()) for one in hashes)


def _suggest_names(reference: str, graph: LineageGraph, champions: dict[str, str]) -> str:
    """What comes near, in a sentence."""
    names = [*champions, *(n.id for n in graph.nodes.values() if n.type in ("model", "table version"))]
    names += [part for n in graph.nodes.values() if n.type == "source" for part in {n.label, PurePath(n.label).name}]
    suggestions = find_near_names(reference, dict.fromkeys(names), 3, cutoff=0.5)
    return f" Near: {', '.join(suggestions)}." if suggestions else ""
