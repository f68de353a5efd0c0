"""`python benchmarks/sound_ingests.py`: how often sound snapshots that go through the real ingest raise an alarm.

Exports of simulated portfolios (size small) as their system shows them each month, and each week, without `known_at`: each is
written as files and ingested into a lake, with the gate. An alarm is a note of the gate, a row in quarantine, or a finding of
`epic22 data quality` of level warn or more. Writes benchmarks/results/sound_ingests.json after each portfolio and the section of
docs/evidence-quality.md; what was made of the same sources is not made again.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from page import write_section

from epic22.adapters.lake import Lake
from epic22.adapters.sources.folder import list_canonical_files
from epic22.core.tables.canonical import KNOWN_AT
from epic22.services.ingest import IngestRequest, ingest
from epic22.services.ingest_gate import QualityGate
from epic22.services.quality import assess_quality
from epic22.simulator.portfolio import SMALL, simulate
from epic22.simulator.snapshot import take_snapshot

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sound_ingests.json"
PAGE = ROOT / "docs" / "evidence-quality.md"
WATCHED = ("core/quality", "core/tables", "simulator", "services/ingest.py", "services/ingest_gate.py", "services/quality.py")
"""What of the source shapes a record."""

SIZE = replace(SMALL, replicates=2)
END = datetime(2026, 1, 1)
RHYTHMS = {
    "monthly": [*(datetime(2025, month, 1) for month in range(3, 13)), END],
    "weekly": [END - timedelta(weeks=weeks) for weeks in range(10, -1, -1)],
}
"""The moments of the snapshots; the first is a load of history, with nothing before it to compare with."""
FRESH = {"monthly": (304, 305, 306, 307), "weekly": (304, 305)}
"""Portfolios by rhythm, for which nothing was changed; 0, 300 and 301 were looked at while this was built."""


def measure(seed: int, rhythm: str) -> list[dict[str, Any]]:
    """One portfolio in one rhythm, in a lake of its own: the alarms of each version but the first."""
    tables = simulate(SIZE, seed).tables
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lake = Lake(folder / "lake")
        return [ingest_snapshot(lake, folder / f"{at:%Y-%m-%d}", dict(tables), at) for at in RHYTHMS[rhythm]][1:]


def ingest_snapshot(lake: Lake, folder: Path, tables: dict[str, Any], at: datetime) -> dict[str, Any]:
    """The snapshot of a moment through files into the lake, and what alarms there are of it."""
    folder.mkdir()
    for name, frame in take_snapshot(tables, at).items():
        frame.drop(KNOWN_AT).write_parquet(folder / f"{name}.parquet")
    request = IngestRequest("benchmark", at, at, QualityGate(accepted_because="measured"))
    result = ingest(list_canonical_files(folder), lake, request)
    assert result.version is not None
    gate = [note for note in result.notes if note.startswith("quality")]
    quarantined = {table: rows for table, rows in result.quarantined.items() if rows}
    quality = assess_quality(lake)
    said = [f"{one.level} {one.finding.table}.{one.finding.column}: {one.finding.evidence}" for one in quality.alarms]
    return {"end": f"{at:%Y-%m-%d}", "tests": len(quality.tests), "gate": gate, "quarantined": quarantined, "quality": said}


def source_stamp() -> str:
    """SHA-256 over the sources that shape a record, and over what is measured here."""
    digest = hashlib.sha256(Path(__file__).read_text(encoding="utf-8").split("def describe_results")[0].encode())
    for part in WATCHED:
        place = ROOT / "src" / "epic22" / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def describe_results(runs: Sequence[dict[str, Any]]) -> str:
    """The section of the page."""
    lines = [
        "## Sound versions through the real ingest",
        "",
        "`python benchmarks/sound_ingests.py`: the same portfolios as their system exports them, without `known_at`, written as",
        "files and ingested into a lake as `epic22 ingest --as-of` does it. An order that is still open has the status open. An",
        "alarm is a note of the ingest's gate, a row in quarantine, or a finding of `epic22 data quality` of level warn or more.",
        "",
        "| snapshots | seeds | versions | tests a version | with a note of the gate | with rows in quarantine | with any alarm |",
        "|---|---|---|---|---|---|---|",
    ]
    for rhythm in RHYTHMS:
        versions = [one for run in runs if run["rhythm"] == rhythm for one in run["versions"]]
        if versions:
            seeds = ", ".join(str(run["seed"]) for run in runs if run["rhythm"] == rhythm)
            counts = [sum(bool(one[part]) for one in versions) for part in ("gate", "quarantined")]
            any_alarm = sum(bool(one["gate"] or one["quarantined"] or one["quality"]) for one in versions)
            tests = f"{min(one['tests'] for one in versions)} to {max(one['tests'] for one in versions)}"
            cells = [rhythm, seeds, len(versions), tests, *counts, f"**{any_alarm}**"]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    said = [
        f"* seed {run['seed']}, {run['rhythm']}, {one['end']}: {text}"
        for run in runs
        for one in run["versions"]
        for text in dict.fromkeys((*one["gate"], *map(str, one["quarantined"].items()), *one["quality"]))
    ]
    return "\n".join([*lines, *([""] if said else []), *said])


def main() -> None:
    """Run what is missing, and write the record and the page after each portfolio."""
    stamp, began = source_stamp(), time.perf_counter()
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    runs = [run for run in stored if run["source"] == stamp]
    for rhythm, seeds in FRESH.items():
        for seed in seeds:
            if (seed, rhythm) not in [(run["seed"], run["rhythm"]) for run in runs]:
                runs.append({"source": stamp, "seed": seed, "rhythm": rhythm, "versions": measure(seed, rhythm)})
                RESULTS.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
                print(f"{rhythm} {seed}: {time.perf_counter() - began:.0f} s", flush=True)
                write_section(PAGE, "sound_ingests", describe_results(runs))


if __name__ == "__main__":
    main()
