"""`python benchmarks/data_quality.py`: how often `epic22 data quality` accuses a sound version, and what it finds of faults.

Monthly snapshots of simulated portfolios (size small), stored one after the other as an ingest would store them; every fault of
`simulator.faults` and faults of single months, planted in a later version. Writes benchmarks/results/data_quality.json after each
portfolio and docs/evidence-quality.md at the end; what was made of the same sources is not made again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from page import write_section

from epic22.core.quality import audit_tables
from epic22.core.quality.checks import ALARMS, QualityRules
from epic22.core.quality.version_comparison import VersionPair, compare_versions
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, MONEY, CanonicalTable
from epic22.services.quality import RatedFinding, rate_findings
from epic22.simulator.faults import FAULTS, plant
from epic22.simulator.portfolio import SMALL, simulate
from epic22.simulator.snapshot import take_snapshot

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "data_quality.json"
PAGE = ROOT / "docs" / "evidence-quality.md"
WATCHED = ("core/quality", "simulator")
"""What of the source shapes a record."""

SIZE = replace(SMALL, replicates=2)
MONTHS = [*(datetime(2025, month, 1) for month in range(3, 13)), datetime(2026, 1, 1)]
PARENT_END, END = MONTHS[-2:]
TUNED_SOUND, FRESH_SOUND = (0,), (300, 301, 302, 303)
TUNED_FAULTS, FRESH_FAULTS = (0,), tuple(range(300, 320))
"""Portfolios that were looked at while limits were set, and portfolios for which nothing was changed."""

OF_READINGS = ("fahrenheit_property", "fahrenheit_since", "drift_sensor", "drift_kind")
STORED = ("post_event_number", "post_event_filled")
"""Faults that are planted also into what comes in: an ingest stores them as changes of the rows that it has."""

RULES = QualityRules()
Frames = dict[str, pl.DataFrame]


def store_snapshot(stored: Frames, snapshot: Frames, moment: datetime) -> Frames:
    """What the lake holds after an ingest of the snapshot: rows only ever come to it."""
    if not stored:
        return snapshot
    return {t.name: pl.concat([stored[t.name], _select_new(t, stored[t.name], snapshot[t.name], moment)]) for t in CANONICAL}


def _select_new(table: CanonicalTable, stored: pl.DataFrame, rows: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The rows that are new or have changed; a change is known at its own event if that is later, else at the moment."""
    keys, content = list(table.key), [name for name in rows.columns if name != KNOWN_AT]
    newest = stored.sort(KNOWN_AT, maintain_order=True).unique(keys, keep="last", maintain_order=True)
    other = rows.join(newest.select(content), on=content, how="anti", nulls_equal=True)
    was = newest.select(*keys, pl.col(KNOWN_AT).alias("was"))
    dated = other.unique(maintain_order=True).join(was, on=keys, how="left", maintain_order="left")
    known = pl.when(pl.col("was").is_null() | (pl.col(KNOWN_AT) > pl.col("was"))).then(KNOWN_AT).otherwise(pl.lit(moment))
    return dated.with_columns(known.cast(pl.Datetime("us")).alias(KNOWN_AT)).drop("was").select(stored.columns)


def list_movements(now: Frames, before: Frames, begin: datetime, end: datetime) -> list[RatedFinding]:
    """The alarms of the comparison with the parent."""
    findings = compare_versions(VersionPair(now, before, begin, end), RULES).findings
    return [one for one in rate_findings(findings, RULES) if one.level in ALARMS]


def list_audited(now: Frames, before: Frames | None = None) -> list[RatedFinding]:
    """The alarms of the audit."""
    return [one for one in rate_findings(audit_tables(now, before), RULES) if one.level in ALARMS]


def name_place(rated: RatedFinding) -> tuple[str, str | None, str]:
    """The table, column and kind of a finding."""
    return rated.finding.table, rated.finding.column, rated.finding.what


def say(rated: RatedFinding) -> dict[str, Any]:
    """A finding for the record."""
    finding = rated.finding
    return {"level": rated.level, **{name: getattr(finding, name) for name in ("table", "column", "what", "evidence")}}


def measure_sound(seed: int) -> dict[str, Any]:
    """Ten months of a sound portfolio: the alarms of each version, and how many tests were made of it."""
    tables = dict(simulate(SIZE, seed).tables)
    stored = store_snapshot({}, take_snapshot(tables, MONTHS[0]), MONTHS[0])
    standing = {name_place(one) for one in list_audited(stored)}
    versions = []
    for begin, end in pairwise(MONTHS):
        now = store_snapshot(stored, take_snapshot(tables, end), end)
        compared = compare_versions(VersionPair(now, stored, begin, end), RULES)
        audited = list_audited(now, stored)
        moved = [one for one in rate_findings(compared.findings, RULES) if one.level in ALARMS]
        alarms = [say(one) for one in (*moved, *(one for one in audited if name_place(one) not in standing))]
        least = min(test.p_adjusted for test in compared.tests)
        versions.append({"end": f"{end:%Y-%m}", "tests": len(compared.tests), "least_p": least, "alarms": alarms})
        stored, standing = now, {name_place(one) for one in audited}
    return {"seed": seed, "versions": versions}


@dataclass(frozen=True)
class MonthFault:
    """A fault of the newest month's rows: where, in words, and how the rows of that month become."""

    name: str
    table: str
    column: str | None
    words: str
    change: Callable[[pl.DataFrame], pl.DataFrame]


def _keep(share: int) -> pl.Expr:
    return pl.int_range(pl.len()) % share == 0


def _set(column: str, where: pl.Expr, value: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(pl.when(where).then(value).otherwise(pl.col(column)).alias(column))


MONTH_FAULTS = (
    MonthFault(
        "emptied", "payments", "method", "no payment of the month has a method", _set("method", pl.lit(True), pl.lit(None))
    ),
    MonthFault(
        "fifth_missing", "charges", "amount", "every fifth amount of the month is missing", _set("amount", _keep(5), pl.lit(None))
    ),
    MonthFault(
        "in_thousands",
        "ledger",
        "amount",
        "the month's amounts are in thousands",
        lambda rows: rows.with_columns((pl.col("amount").cast(pl.Float64) / 1000).round(2).cast(MONEY)),
    ),
    MonthFault(
        "method_moved",
        "payments",
        "method",
        "half of the month's payments by ach are said to be by check",
        _set("method", (pl.col("method") == "ach") & _keep(2), pl.lit("check")),
    ),
    MonthFault("half_lost", "payments", None, "every other payment of the month is lost", lambda rows: rows.filter(_keep(2))),
    MonthFault("table_stopped", "ledger", None, "no row of the ledger comes", lambda rows: rows.clear()),
    MonthFault(
        "stopped_early",
        "sensor_readings",
        None,
        "no reading comes in the month's last 20 days",
        lambda rows: rows.filter(pl.col(KNOWN_AT) < END - timedelta(days=20)),
    ),
    MonthFault(
        "new_source",
        "market",
        "source",
        "a fifth of the month's market rows are of a new source",
        _set("source", _keep(5), pl.lit("other")),
    ),
    MonthFault(
        "method_lost", "payments", "method", "no payment in cash", _set("method", pl.col("method") == "cash", pl.lit("check"))
    ),
)


def plant_month(now: Frames, fault: MonthFault) -> Frames:
    """The version with the fault in the rows known since the parent."""
    is_new = pl.col(KNOWN_AT) > PARENT_END
    frame = now[fault.table]
    return now | {fault.table: pl.concat([frame.filter(~is_new), fault.change(frame.filter(is_new))])}


def reuse_key(now: Frames) -> Frames:
    """Three units that come in another property."""
    units = now["units"]
    last = units["property_id"].sort()[-1]
    moved = units.filter(pl.col("property_id") != last).head(3).with_columns(property_id=pl.lit(last), known_at=pl.lit(END))
    return now | {"units": pl.concat([units, moved.cast({KNOWN_AT: pl.Datetime("us")})])}


@dataclass(frozen=True)
class SoundPair:
    """A version and its parent, what comes in between them, and the alarms that they raise without a fault."""

    before: Frames
    came: Frames
    now: Frames
    alarms: set[tuple[str, str | None, str]]


def build_pair(before: Frames, came: Frames) -> SoundPair:
    """The pair of an ingest."""
    now = store_all(before, came)
    alarms = [*list_movements(now, before, PARENT_END, END), *list_audited(now, before)]
    return SoundPair(before, came, now, {name_place(one) for one in alarms})


def measure_faults(seed: int) -> dict[str, Any]:
    """Each fault in the newest of two versions: the alarms that the sound version does not raise, where the fault is."""
    tables = dict(simulate(SIZE, seed).tables)
    stored, came = (take_snapshot(tables, moment) for moment in (PARENT_END, END))
    with_readings = build_pair(stored, came)
    without = build_pair(_without_readings(stored), _without_readings(came))
    found: dict[str, Any] = {}
    for name in FAULTS:
        pair = with_readings if name in OF_READINGS else without
        faulty, fault = plant(pair.now, name, seed)
        place = (fault.table, fault.column)
        found[name] = {"words": fault.words, "read": select(list_audited(faulty, pair.before), pair, place)}
        if name in STORED:
            faulty = store_all(pair.before, plant(pair.came, name, seed)[0])
            alarms = [*list_movements(faulty, pair.before, PARENT_END, END), *list_audited(faulty, pair.before)]
            found[name]["stored"] = select(alarms, pair, place)
    for month in MONTH_FAULTS:
        pair = with_readings if month.table == "sensor_readings" else without
        alarms = list_movements(plant_month(pair.now, month), pair.before, PARENT_END, END)
        found[month.name] = {
            "words": f"{month.table}: {month.words}",
            "stored": select(alarms, pair, (month.table, month.column)),
        }
    alarms = list_movements(reuse_key(without.now), without.before, PARENT_END, END)
    words = "units: three units come in another property"
    found["key_reused"] = {"words": words, "stored": select(alarms, without, ("units", "property_id"))}
    return {"seed": seed, "faults": found}


def store_all(before: Frames, came: Frames) -> Frames:
    """`store_snapshot` for the tables that there are."""
    return {
        t.name: pl.concat([before[t.name], _select_new(t, before[t.name], came[t.name], END)])
        for t in CANONICAL
        if t.name in came
    }


def _without_readings(tables: Frames) -> Frames:
    return {name: frame for name, frame in tables.items() if name != "sensor_readings"}


def select(alarms: list[RatedFinding], pair: SoundPair, place: tuple[str, str | None]) -> list[dict[str, Any]]:
    """The alarms that the sound version does not raise and that name the fault's table and, where both name one, its column."""
    table, column = place
    new = [one for one in alarms if name_place(one) not in pair.alarms and one.finding.table == table]
    return [say(one) for one in new if None in (column, one.finding.column) or one.finding.column == column]


def source_stamp() -> str:
    """SHA-256 over the sources that shape a record, and over what is measured here."""
    digest = hashlib.sha256(Path(__file__).read_text(encoding="utf-8").split("def build_page")[0].encode())
    for part in WATCHED:
        for path in sorted((ROOT / "src" / "epic22" / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build_page(record: Mapping[str, Any]) -> str:
    """The record as a page."""
    sound = {run["seed"]: run["versions"] for run in record["sound"]}
    faults = {run["seed"]: run["faults"] for run in record["faults"]}
    tuned, fresh = ", ".join(map(str, TUNED_FAULTS)), f"{FRESH_FAULTS[0]}–{FRESH_FAULTS[-1]}"
    sections = [
        INTRODUCTION,
        f"Months {MONTHS[0]:%Y-%m} to {MONTHS[-1]:%Y-%m}. While checks and limits were set, seed {tuned} was looked at; "
        "for the others nothing was changed.",
        "## Sound versions",
        "\n".join(_describe_sound(sound)),
        "## Faults of a later version",
        f"The version of {END:%Y-%m}, whose parent is that of {PARENT_END:%Y-%m}. {FAULT_RULE}",
        "\n".join(
            [
                f"| fault (seed {tuned}'s) | where it is | seeds {fresh} | seed {tuned} | told as |",
                "|---|---|---|---|---|",
                *_list_faults(faults),
            ]
        ),
    ]
    return "\n\n".join(sections) + "\n"


INTRODUCTION = """# What the quality checks find

Written by `python benchmarks/data_quality.py`. Simulated portfolios of size `small`, a snapshot each
first of a month, stored in memory one after the other as an ingest stores them. Nothing is measured on
a real company's tables. An alarm is a finding of level warn, quarantine or refuse, of the comparison
with the parent or of the audit, that the audit of the parent does not have."""

FAULT_RULE = """A fault is found when an alarm that the sound version does not raise names its table and, where both name
one, its column. Faults of `simulator.faults` are in the tables as they are read, and the audit alone was
asked. Two of them, and the faults of a month, are in what comes in: the rows that an ingest adds."""


def _describe_sound(sound: Mapping[int, list[dict[str, Any]]]) -> list[str]:
    lines = []
    for words, seeds in (("Fresh seeds", FRESH_SOUND), ("Seed", TUNED_SOUND)):
        versions = [version for seed in seeds for version in sound.get(seed, [])]
        accused, tests = sum(bool(one["alarms"]) for one in versions), [one["tests"] for one in versions]
        lines.append(
            f"* {words} {', '.join(map(str, seeds))}: **{accused} of {len(versions)} versions raise an alarm**; {min(tests)} to "
            f"{max(tests)} tests a version, corrected by Holm to {RULES.alpha:.0%}; the least corrected p is "
            f"{min(one['least_p'] for one in versions):.2g}."
        )
    alarms = ((seed, version, one) for seed, versions in sound.items() for version in versions for one in version["alarms"])
    return lines + [
        f"  * seed {seed}, {version['end']}, {one['table']}.{one['column']}, {one['what']}: {one['evidence']}"
        for seed, version, one in alarms
    ]


def _list_faults(faults: Mapping[int, dict[str, Any]]) -> list[str]:
    """A row for each fault and place."""
    lines = []
    for name, example in next(iter(faults.values()), {}).items():
        for kind, words in (("read", "tables as read"), ("stored", "what comes in")):
            if kind not in example:
                continue
            runs = [[faults[s][name][kind] for s in seeds if s in faults] for seeds in (FRESH_FAULTS, TUNED_FAULTS)]
            counts = [f"{sum(map(bool, group))}/{len(group)}" for group in runs]
            told = sorted({one["what"] for run in faults.values() for one in run[name][kind]})
            lines.append(f"| `{name}`: {example['words']} | {words} | {' | '.join(counts)} | {', '.join(told) or '—'} |")
    return lines


def main() -> None:
    """Run what is missing, write the record after each portfolio and the page at the end."""
    stamp, began = source_stamp(), time.perf_counter()
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    record: dict[str, list[dict[str, Any]]] = {
        part: [run for run in stored.get(part, []) if run["source"] == stamp] for part in ("sound", "faults")
    }
    work = [("sound", measure_sound, (*TUNED_SOUND, *FRESH_SOUND)), ("faults", measure_faults, (*TUNED_FAULTS, *FRESH_FAULTS))]
    for part, measure, seeds in work:
        for seed in seeds:
            if seed not in [run["seed"] for run in record[part]]:
                record[part].append({"source": stamp, **measure(seed)})
                write(record)
                print(f"{part} {seed}: {time.perf_counter() - began:.0f} s", flush=True)
    write_section(PAGE, "data_quality", build_page(record))
    print(f"written: {PAGE.relative_to(ROOT)}")


def write(record: Mapping[str, Any]) -> None:
    """The record, whole or not at all."""
    aside = RESULTS.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    aside.replace(RESULTS)


if __name__ == "__main__":
    main()
