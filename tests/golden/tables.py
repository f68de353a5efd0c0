"""The tables that the cases train on: small, made by fixed seeds, and with nothing of the package in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

Maker = Callable[[Path], None]
PROPERTIES = 5
"""How many properties of the simulated company are kept; the features then train in seconds."""


def _inputs(n: int, seed: int) -> pl.DataFrame:
    """Rows with missing numbers, missing and rare categories, booleans and dates."""
    rng = np.random.default_rng(seed)
    wear = np.where(rng.uniform(size=n) < 0.05, np.nan, rng.normal(size=n).round(4))
    maker = np.array(["arden", "brook", "calder", None], dtype=object)[rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])]
    fitted = np.datetime64("2015-01-01") + rng.integers(0, 2000, n).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "wear": pl.Series(wear).fill_nan(None),
            "strain": rng.normal(size=n).round(4),
            "maker": pl.Series(list(maker), dtype=pl.String),
            "indoors": rng.uniform(size=n) < 0.5,
            "fitted": pl.Series(fitted),
        }
    )


def _signal(X: pl.DataFrame) -> "np.ndarray[Any, Any]":
    brook = (X["maker"].fill_null("") == "brook").to_numpy()
    return np.asarray(1.5 * X["wear"].fill_null(0).to_numpy() - X["strain"].to_numpy() + 1.5 * brook)


def _bent(X: pl.DataFrame) -> "np.ndarray[Any, Any]":
    """A signal that lines cannot follow."""
    wear, strain = X["wear"].fill_null(0).to_numpy(), X["strain"].to_numpy()
    return np.asarray(2.5 * np.sign(wear) * np.sign(strain) + 1.5 * (np.abs(wear) > 1))


def machines(folder: Path) -> None:
    """Two classes, a row number and a column that echoes the label; new rows to predict, with a maker never seen."""
    X = _inputs(240, 1)
    rng = np.random.default_rng([1, 1])
    failed = _signal(X) + rng.logistic(size=X.height) > 1.5
    repair = np.where(failed, rng.uniform(100, 200, X.height).round(2), 0.0)
    number = pl.Series("serial", [f"S{i:04d}" for i in range(X.height)])
    label = pl.Series("failed", np.where(failed, "yes", "no"))
    X.with_columns(number, pl.Series("repair", repair), label).write_csv(folder / "machines.csv")
    new = _inputs(5, 2).with_columns(pl.Series("serial", [f"N{i}" for i in range(5)]))
    new.with_columns(pl.Series("maker", ["arden", "brook", "delta", None, "calder"])).write_csv(folder / "new_machines.csv")


def visits(folder: Path) -> None:
    """Two classes over time: twelve readings of each of thirty sites; the last ones as a file of their own too."""
    n, sites = 360, 30
    X = _inputs(n, 3)
    rng = np.random.default_rng([3, 1])
    # On whole days, so that a row stands exactly one gap before a test window.
    at = np.datetime64("2021-01-01T06:00") + np.sort(rng.integers(0, 300, n)).astype("timedelta64[D]")
    overdue = _signal(X) + 0.3 * np.repeat(rng.normal(size=sites), n // sites) + rng.logistic(size=n) > 1.0
    frame = X.with_columns(
        pl.Series("read_at", at.astype("datetime64[us]")),
        pl.Series("site", [f"site {i % sites}" for i in range(n)]),
        pl.Series("overdue", overdue.astype(int)),
    )
    frame.write_csv(folder / "visits.csv")
    frame.head(280).write_csv(folder / "visits_before.csv")
    frame.tail(80).write_csv(folder / "visits_after.csv")


def grades(folder: Path) -> None:
    """Three classes."""
    X = _inputs(400, 4)
    noisy = _bent(X) + np.random.default_rng([4, 1]).logistic(size=X.height)
    X.with_columns(pl.Series("grade", np.array(["poor", "fair", "good"])[np.digitize(noisy, [-1.0, 1.5])])).write_csv(
        folder / "grades.csv"
    )


def flats(folder: Path) -> None:
    """A value, skewed and above zero."""
    X = _inputs(260, 5)
    price = np.exp(7 + 0.3 * _signal(X) + 0.2 * np.random.default_rng([5, 1]).normal(size=X.height))
    X.with_columns(pl.Series("price", price.round(2))).write_csv(folder / "flats.csv")


def claims(folder: Path) -> None:
    """Counts that grow with the years insured."""
    X = _inputs(500, 6)
    rng = np.random.default_rng([6, 1])
    years = rng.uniform(0.2, 3.0, X.height).round(3)
    counts = rng.poisson(years * np.exp(-1 + 0.5 * _bent(X)))
    X.with_columns(pl.Series("years_insured", years), pl.Series("claims", counts)).write_csv(folder / "claims.csv")


def batches(folder: Path) -> None:
    """Timed rows as Parquet, and values as CSV, both small enough to be quick and trained on in batches by a tiny cap."""
    n = 600
    X = _inputs(n, 7)
    rng = np.random.default_rng([7, 1])
    at = (np.datetime64("2022-01-01") + np.arange(n).astype("timedelta64[D]")).astype("datetime64[us]")
    noisy = _bent(X) + rng.logistic(size=n)
    frame = X.with_columns(pl.Series("read_at", at), pl.Series("overdue", (noisy > 0.5).astype(int)))
    frame.write_parquet(folder / "batches.parquet")
    X.with_columns(pl.Series("price", (10 + noisy).round(3))).write_csv(folder / "batches.csv")


def series(folder: Path) -> None:
    """Six series of 72 months with a drift and a season: wide, and the first four long."""
    rng = np.random.default_rng(8)
    steps = rng.normal(0.003, 0.004, (6, 72)) + rng.normal(0, 0.003, 72)[None, :]
    cycle = 0.03 * np.sin(2 * np.pi * np.arange(72) / 12)
    values = (500.0 * (1 + np.arange(6))[:, None] * np.exp(np.cumsum(steps, axis=1) + cycle[None, :])).round(2)
    months = [f"{2015 + i // 12}-{i % 12 + 1:02d}-28" for i in range(72)]
    zips = [f"zip {i:02d}" for i in range(6)]
    wide = pl.DataFrame({"zip": zips, **{month: values[:, i] for i, month in enumerate(months)}})
    wide.write_csv(folder / "rents_wide.csv")
    rows = [{"zip": zips[s], "month": months[i], "rent": float(values[s, i])} for s in range(4) for i in range(72)]
    pl.DataFrame(rows).write_csv(folder / "rents_long.csv")


def nothing(folder: Path) -> None:
    """Tables that cannot be trained on."""
    (folder / "empty.csv").write_bytes(b"")
    (folder / "ragged.csv").write_text("a,y\n1,0\n1,2,3\n")
    (folder / "one_class.csv").write_text("a,y\n" + "1,0\n" * 40)
    (folder / "few.csv").write_text("a,y\n" + "1,0\n2,1\n" * 5)
    (folder / "plain.csv").write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))


def portfolio(folder: Path) -> None:
    """The first properties of the simulated company in `sample`, with all that hangs on them, as the folder `company`."""
    source, company = folder / "sample" / "tables", folder / "company"
    company.mkdir()

    def read(name: str) -> pl.DataFrame:
        return pl.read_csv(source / f"{name}.csv", infer_schema=False)

    kept = {"properties": read("properties").head(PROPERTIES)}
    links = (
        ("units", "property_id", "properties"),
        ("leases", "unit_id", "units"),
        ("tenants", "tenant_id", "leases"),
        ("protected", "tenant_id", "tenants"),
        ("charges", "lease_id", "leases"),
        ("payments", "charge_id", "charges"),
        ("equipment", "property_id", "properties"),
        ("work_orders", "property_id", "properties"),
        ("sensor_readings", "equipment_id", "equipment"),
        ("messages", "lease_id", "leases"),
        ("ledger", "property_id", "properties"),
        ("market", "zip_code", "properties"),
    )
    for name, key, parent in links:
        kept[name] = read(name).filter(pl.col(key).is_in(kept[parent][key].to_list()))
    for name, frame in kept.items():
        frame.write_csv(company / f"{name}.csv")


def later(folder: Path) -> None:
    """The company again as `company_later`: a rent corrected, a message gone, a unit twice, rows that break their contract."""
    company, after = folder / "company", folder / "company_later"
    after.mkdir()
    for path in sorted(company.glob("*.csv")):
        frame = pl.read_csv(path, infer_schema=False)
        first = pl.int_range(pl.len()) == 0
        if path.stem == "leases":
            frame = frame.with_columns(pl.when(first).then(pl.lit("1234.50")).otherwise("monthly_rent").alias("monthly_rent"))
        elif path.stem == "messages":
            frame = frame.tail(-1)
        elif path.stem == "units":
            frame = pl.concat([frame, frame.head(1)])
        elif path.stem == "equipment":
            broken = frame.head(3).with_columns(
                pl.Series("equipment_id", ["X1", "X2", ""]),
                pl.Series("property_id", ["P9999", "P0001", "P0001"]),
                pl.Series("replacement_cost", ["10.00", "much", "10.00"]),
            )
            frame = pl.concat([frame, broken])
        frame.write_csv(after / path.name)


MAKERS: dict[str, Maker] = {
    maker.__name__: maker for maker in (machines, visits, grades, flats, claims, batches, series, nothing, portfolio, later)
}
