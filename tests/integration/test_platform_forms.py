"""`epic22 ingest --mapping platform-a`, and `platform-b`: the platform's own database, against what a portfolio put into it."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module
from tests.databases import create_database
from tests.shell import Shell

from epic22.adapters.lake import Lake
from epic22.adapters.sources.folder import load_mapping
from epic22.adapters.sources.presets import find_mapping, list_presets
from epic22.core.tables.canonical import CANONICAL
from epic22.simulator.portfolio import PortfolioSize, simulate

FORM = benchmark_module("platform_form")
BUILDERS = {
    "platform-a": benchmark_module("platform_form_a").build_form_a,
    "platform-b": benchmark_module("platform_form_b").build_form_b,
}
TINY = PortfolioSize("tiny", 6, metros=1, zips=2, units=60, reading_days=20, years_of_ledger=3, replicates=2)


@cache
def build_form(mapping: str) -> Any:
    """The form with the rows of a tiny portfolio."""
    return BUILDERS[mapping](simulate(TINY, seed=1).tables)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys, monkeypatch)


def read_stored(shell: Shell) -> dict[str, pl.DataFrame]:
    """All tables of the latest version."""
    lake = Lake(shell.home / "lake")
    return {table.name: lake.scan(table.name, lake.resolve_version().number).collect() for table in CANONICAL}


def test_every_preset_that_asks_a_database_is_tested() -> None:
    asking = [name for name in list_presets() if not load_mapping(find_mapping(Path(name))).has_address]
    assert asking == list(BUILDERS)


@pytest.mark.slow
@pytest.mark.parametrize("mapping", list(BUILDERS))
def test_every_row_and_value_that_the_form_can_hold_comes_out_as_it_went_in(mapping: str, shell: Shell) -> None:
    form, address = build_form(mapping), create_database()
    FORM.fill_database(address, form)
    ingested = shell.json("ingest", "--source", address, "--mapping", mapping)
    assert sum(counts["quarantined"] for counts in ingested["counts"].values()) == 0
    stored = read_stored(shell)
    for name, frame in form.expected.items():
        assert FORM.compare_table(frame, stored[name], name) == {"rows_in": frame.height, "rows_out": frame.height, "unequal": {}}
    assert shell.json("ingest", "--source", address, "--mapping", mapping)["version"] is None
