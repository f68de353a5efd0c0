"""The database server is stopped at random moments while its rows are read: a sentence, the version before, and another run."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.benchmark_modules import benchmark_module
from tests.postgres import database_url

from epic22.adapters.sources import postgres
from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.query import RowQuery
from epic22.core.errors import SourceError
from epic22.simulator.portfolio import PortfolioSize, simulate

STOPPED = benchmark_module("stopped_server")
TINY = PortfolioSize("tiny", 6, metros=1, zips=2, units=60, reading_days=20, years_of_ledger=3, replicates=2)


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL server of this test's own, or skip. Not in the test's folder, which the server's user may not enter."""
    database_url()
    folder = Path(tempfile.mkdtemp(prefix="epic22-postgres-"))
    yield STOPPED.StoppableServer(folder / "server")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_server_stopped_at_random_moments_costs_nothing_but_another_run(server: Any, tmp_path: Path) -> None:
    form = STOPPED.BUILDERS["platform-b"](simulate(TINY, seed=1).tables)
    setting = STOPPED.prepare(server, tmp_path, "platform-b", form)
    for stop in STOPPED.measure_stops(setting, 2, random.Random(0)):
        assert "run this again" in stop.sentence
        assert stop.is_one_sentence
        assert stop.hides_address
        assert stop.is_version_intact
        assert stop.is_next_run_equal


@pytest.mark.slow
def test_a_server_stopped_amid_the_rows_of_a_whole_table_is_one_sentence(server: Any) -> None:
    query = RowQuery("SELECT n || repeat('x', 100) AS x FROM generate_series(1, 3000000) n", ("x",))
    with postgres.connect(SourceAddress(server.address)) as session:
        batches = session.read_batches(query, timedelta(hours=1), sha256())
        next(batches)
        server.stop()
        with pytest.raises(SourceError, match="run this again"):
            list(batches)
