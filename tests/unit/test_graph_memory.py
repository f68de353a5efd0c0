"""Graphs that are kept: no longer than room is, and by all that they follow from."""

from dataclasses import replace
from pathlib import Path

from tests.graph_folder import GraphFolder

from epic22.core.models.networks.graph_memory import GraphMemory
from epic22.core.models.networks.specification import MlpLayers, NetworkColumns, NetworkSpec

SPEC = NetworkSpec(NetworkColumns((0,)), MlpLayers(), 1, "value")


def test_of_more_graphs_than_there_is_room_for_the_last_are_kept() -> None:
    memory = GraphMemory(capacity=2)
    for n_outputs in (1, 2, 3, 3, 2, 1):
        spec = replace(SPEC, n_outputs=n_outputs)
        assert memory.find("score", spec, lambda spec: bytes([spec.n_outputs])) == bytes([n_outputs])
    assert memory.n_misses == 4


def test_another_process_finds_a_graph_in_the_folder_and_only_that_of_its_specification(tmp_path: Path) -> None:
    assert GraphFolder(tmp_path).find("score", SPEC, lambda spec: b"graph") == b"graph"
    other = GraphFolder(tmp_path)
    assert other.find("score", SPEC, lambda spec: b"another") == b"graph"
    assert other.find("reasons", SPEC, lambda spec: b"reasons") == b"reasons"
    assert other.find("score", replace(SPEC, n_outputs=2), lambda spec: b"two") == b"two"
