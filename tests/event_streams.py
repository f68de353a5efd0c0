"""Events of readings on the equipment of the small portfolio, and a home that has it stored."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from epic22.adapters.lake import Lake
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

FIRST = datetime(2026, 9, 1)


def fill_home(home: Path) -> Lake:
    """The lake of a home with houses, flats and equipment in it."""
    tables = small_tables()
    lake = Lake(home / "lake")
    folder = write_tables(home.parent / "equipment", {name: tables[name] for name in ("properties", "units", "equipment")})
    take_in(lake, folder)
    return lake


def build_reading(n: int, **row: Any) -> dict[str, Any]:
    """The n-th event: a reading of one of the twelve, a minute after the one before."""
    at = FIRST + timedelta(minutes=n)
    values = {"equipment_id": f"E{n % 12}", "measured_at": at.isoformat(), "kind": "temperature", "value": n % 90, "quality": 1}
    return {"id": f"e{n}", "table": "sensor_readings", "row": {**values, **row}}


def write_events(events: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Events as they are sent."""
    return [json.dumps(event).encode() for event in events]


def read_readings(lake: Lake) -> pl.DataFrame:
    """The readings that are stored."""
    return lake.scan("sensor_readings").collect()
