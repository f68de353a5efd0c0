"""What every source must do; a new source is greeted here, once `WRITERS` says how a test makes a place of its kind."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.lakes import NOW

from epic22.adapters.lake import Lake
from epic22.adapters.sources.base import SourceKind
from epic22.adapters.sources.catalog import SOURCES, list_sources
from epic22.core.errors import FileError
from epic22.core.tables.row_contract import LINE_COLUMN
from epic22.services.ingest import IngestRequest, ingest

WriteTables = Callable[[dict[str, pl.DataFrame], Path], Path]


def write_folder(tables: dict[str, pl.DataFrame], folder: Path) -> Path:
    place = folder / "company"
    place.mkdir(exist_ok=True)
    for name, frame in tables.items():
        frame.write_csv(place / f"{name}.csv")
    return place


WRITERS: dict[str, WriteTables] = {"folder": write_folder}
"""By the name of a source: writes tables of text and returns the path that `epic22 ingest` is given."""


def company(cities: tuple[str, ...] = ("Arden", "Brook", "Calder")) -> dict[str, pl.DataFrame]:
    """A table of properties, all as text, and one that is not canonical."""
    numbers = [str(n) for n in range(len(cities))]
    properties = pl.DataFrame(
        {
            "property_id": [f"P{n}" for n in numbers],
            "name": [f"House {n}" for n in numbers],
            "city": cities,
            "state": ["NA"] * len(cities),
            "zip_code": ["01234"] * len(cities),
            "property_type": ["apartment"] * len(cities),
            "year_built": ["1990"] * len(cities),
            "total_units": ["8"] * len(cities),
            "market_value": ["1000000"] * len(cities),
            "latitude": ["30.5"] * len(cities),
            "longitude": ["-97.7"] * len(cities),
            "known_at": ["2021-01-01T00:00:00"] * len(cities),
        }
    )
    return {"properties": properties, "notes": pl.DataFrame({"text": ["of no concern"]})}


@pytest.fixture(params=SOURCES, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> SourceKind:
    assert isinstance(request.param, SourceKind)
    return request.param


def read_properties(path: Path) -> pl.DataFrame:
    (source,) = list_sources(path)
    return pl.concat(source.batches())


def test_every_source_has_a_writer_for_its_tests() -> None:
    assert {kind.name for kind in SOURCES} <= set(WRITERS)


class TestEverySource:
    def test_it_lists_the_canonical_tables_of_its_place_and_no_other(self, kind: SourceKind, tmp_path: Path) -> None:
        path = WRITERS[kind.name](company(), tmp_path)
        assert [source.table.name for source in kind.list_sources(path)] == ["properties"]

    def test_every_row_comes_once_as_it_was_written_with_its_line(self, kind: SourceKind, tmp_path: Path) -> None:
        rows = read_properties(WRITERS[kind.name](company(), tmp_path))
        assert rows.drop(LINE_COLUMN).cast(pl.String).equals(company()["properties"])
        assert rows[LINE_COLUMN].is_unique().all()
        assert rows[LINE_COLUMN].is_sorted()

    def test_a_second_reading_gives_the_same_rows(self, kind: SourceKind, tmp_path: Path) -> None:
        (source,) = kind.list_sources(WRITERS[kind.name](company(), tmp_path))
        assert pl.concat(source.batches()).equals(pl.concat(source.batches()))

    def test_another_content_gives_another_hash_and_the_same_content_the_same(self, kind: SourceKind, tmp_path: Path) -> None:
        hashes = []
        for number, cities in enumerate([("Arden",), ("Arden",), ("Brook",)]):
            folder = tmp_path / str(number)
            folder.mkdir()
            (source,) = kind.list_sources(WRITERS[kind.name](company(cities), folder))
            hashes.append(source.sha256)
        assert hashes[0] == hashes[1] != hashes[2]

    def test_the_name_that_a_user_gives_stands_before_its_own(self, kind: SourceKind, tmp_path: Path) -> None:
        (source,) = list_sources(WRITERS[kind.name](company(), tmp_path), "head office")
        assert source.name.startswith("head office/")

    def test_what_it_lists_is_ingested_as_a_version(self, kind: SourceKind, tmp_path: Path) -> None:
        path = WRITERS[kind.name](company(), tmp_path)
        result = ingest(list_sources(path), Lake(tmp_path / "lake"), IngestRequest("tester", NOW))
        assert result.counts["properties"].new == 3
        assert not sum(result.quarantined.values())

    def test_no_other_source_claims_its_place(self, kind: SourceKind, tmp_path: Path) -> None:
        path = WRITERS[kind.name](company(), tmp_path)
        assert [other.name for other in SOURCES if other.accepts(path)] == [kind.name]


def test_a_path_that_no_source_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no folder"):
        list_sources(tmp_path / "nowhere.txt")
