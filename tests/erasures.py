"""A portfolio with a person who is to be erased, ingested as three versions, and a search for what is left of a person."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from functools import cache
from pathlib import Path

import polars as pl

from epic22.adapters.file_store import FileStore, FolderFiles
from epic22.bootstrap.stores import Stores, open_stores
from epic22.config import Settings
from epic22.core.lineage import Node, PredictionRecord
from tests.folders import folder_of_process
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

TENANT, LEASE, LONGER = "tenant-1", "L1", "tenant-10"
"""The person, the person's lease, and another whose id begins as the person's."""


def person_tables() -> dict[str, pl.DataFrame]:
    """The small portfolio; its tenants are `tenant-0` to `tenant-11`, and two work orders name one."""
    tables = small_tables()
    for name in ("tenants", "leases", "protected"):
        tables[name] = tables[name].with_columns(pl.col("tenant_id").str.replace("T", "tenant-"))
    texts = {"W0": f"ring at {TENANT}, she is in", "W2": f"ring at {LONGER}."}
    described = pl.col("work_order_id").replace_strict(texts, default="filter")
    return tables | {"work_orders": tables["work_orders"].with_columns(description=described)}


def ingest_person(stores: Stores, folder: Path) -> None:
    """Ingest three versions: half of the rows; all, with broken rows of the person and of another; the first one again."""
    tables = person_tables()
    half = {name: frame.head(max(frame.height // 2, 3)) for name, frame in tables.items()}
    take_in(stores.table_store, write_tables(folder / "half", half))
    whole = write_tables(folder / "whole", tables)
    with (whole / "leases.csv").open("a") as leases:
        for lease, tenant in (("L90", TENANT), ("L91", LONGER)):
            leases.write(f"{lease},U1,{tenant},2022-01-01,2021-01-01,5,5,fixed,2021-12-01,,,,2021-12-01\n")
    take_in(stores.table_store, whole)
    stores.table_store.restore(1, "tester")
    at = datetime(2024, 1, 1)
    origin = Node("source", "c" * 64, f"{TENANT}.csv")
    stores.prediction_log.write(
        PredictionRecord(digit * 64, task, "1", "a" * 64, entity, at, row_from)
        for digit, task, entity, row_from in (
            ("1", "tenant_churn", LEASE, None),
            ("2", "tenant_churn", "L10", None),
            ("3", "toy", TENANT, None),
            ("4", "toy", LEASE, None),
            ("5", "toy", LONGER, origin),
        )
    )


@cache
def fill_home_once(has_database: bool) -> Path:
    """A folder with a `home` that has the person's rows, in files or with an SQLite database, and the tables of each ingest:
    made once a process, to be copied."""
    folder = folder_of_process()
    home = folder / "home"
    database = {"EPIC22_DATABASE_URL": f"sqlite:///{home}/data.sqlite"} if has_database else {}
    ingest_person(open_stores(Settings.read({"EPIC22_HOME": str(home), **database})), folder)
    return folder


def list_contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of all files below a folder, and the rows of Parquet files and SQLite databases."""
    yield from list_store_contents(FolderFiles(folder))
    for path in folder.rglob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            yield f"{path} dump", "\n".join(connection.iterdump()).encode()


def list_store_contents(files: FileStore) -> Iterator[tuple[str, bytes]]:
    """The bytes of all files of a store, and the rows of Parquet files."""
    for name in files.list_files(""):
        content = files.read(name) or b""
        yield name, name.encode() + content
        if name.endswith(".parquet"):
            yield f"{name} rows", str(pl.read_parquet(content).to_dicts()).encode()


def list_naming(contents: Iterator[tuple[str, bytes]], text: str = TENANT) -> list[str]:
    """Where the text stands, and is not part of the longer id."""
    return [
        name for name, content in contents if text.encode() in content.replace(LONGER.encode(), b"").replace(b"tenant-11", b"")
    ]
