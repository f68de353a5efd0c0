"""`nice -n 15 python benchmarks/audit.py [--record NAME] [--only WORD]`: what the audit keeps and leaves out on public tables.

Each table is audited as it is, without the columns that are known to give its label away, and once with each of the leaks of
`leaks_for` planted in it. A planted column is *left out*, *told and kept*, or not named; of the others each that is left out or
named is a false alarm, but for those that name rows. Tables larger than 4,000 rows are cut to a random 4,000.

A record, benchmarks/results/audit/NAME.json, keeps every finished audit; a second run does what is missing, or all where the
sources of the package changed. To record another commit, put its `src` first on PYTHONPATH and name the record `before`.
docs/evidence-audit.md is written from `before` and `after`.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from stamp import DATA, ROOT, machine

import epic22
from epic22.core.errors import UserError

RESULTS = ROOT / "benchmarks" / "results" / "audit"
PAGE = ROOT / "docs" / "evidence-audit.md"
MAX_ROWS = 4_000
PLANTS_VERSION = 2
"""Raised where another set of tables or planted columns makes old records stale."""

WATCHED = ("core/data", "core/tables", "spec")
PACKAGES = Path(np.__file__).parent.parent
PLOTLY, STATSMODELS = PACKAGES / "plotly" / "package_data" / "datasets", PACKAGES / "statsmodels" / "datasets"
"""Tables that packages beside numpy ship."""

ENERGY = (
    *("SiteEUI(kBtu/sf)", "SiteEUIWN(kBtu/sf)", "SourceEUI(kBtu/sf)", "SourceEUIWN(kBtu/sf)", "SiteEnergyUseWN(kBtu)"),
    *("SteamUse(kBtu)", "Electricity(kWh)", "Electricity(kBtu)", "NaturalGas(therms)", "NaturalGas(kBtu)"),
    *("TotalGHGEmissions", "GHGEmissionsIntensity"),
)
"""Parts of a building's energy use, and what is reckoned from it."""


@dataclass(frozen=True)
class PublicTable:
    """A public table: its label, the columns that its maker or its README says give the label away (`leaks`), and those that
    name its rows (`names`), which an audit may leave out."""

    name: str
    read: Callable[[], pl.DataFrame]
    label: str
    is_regression: bool = False
    leaks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def read_csv(path: Path, separator: str = ",") -> Callable[[], pl.DataFrame]:
    """What reads a file when it is its turn."""
    return lambda: pl.read_csv(path, separator=separator, infer_schema_length=None, null_values=["", "NA"])


def list_tables() -> Iterator[PublicTable]:
    """The tables of EPIC22_PUBLIC_DATA and its shelf, and those that installed packages ship."""
    for row in pl.read_csv(DATA / "shelf" / "index.csv").iter_rows(named=True):
        yield PublicTable(
            row["file"].split(".")[0], read_csv(DATA / "shelf" / row["file"]), row["label"], row["kind"] == "regression"
        )
    yield PublicTable(
        "ai4i2020",
        read_csv(DATA / "maintenance" / "ai4i2020" / "ai4i2020.csv", "\t"),
        "Machine failure",
        leaks=("TWF", "HDF", "PWF", "OSF"),
        names=("UDI", "Product ID"),
    )
    yield PublicTable("telco", read_csv(DATA / "churn/ibm_telco/Telco-Customer-Churn.csv"), "Churn", names=("customerID",))
    yield PublicTable(
        "hotel_booking",
        lambda: pl.read_parquet(DATA / "churn" / "hotel_booking" / "hotel_booking.parquet"),
        "IsCanceled",
        leaks=("ReservationStatus", "ReservationStatusDate", "AssignedRoomType", "BookingChanges"),
    )
    yield PublicTable(
        "uci_default",
        read_csv(DATA / "risk/uci_default_credit_card/UCI_Credit_Card.csv"),
        "default.payment.next.month",
        names=("ID",),
    )
    yield PublicTable(
        "give_me_some_credit",
        lambda: read_csv(DATA / "risk/give_me_some_credit/cs-training.csv.gz")().rename({"": "number"}, strict=False),
        "SeriousDlqin2yrs",
        names=("number",),
    )
    yield PublicTable(
        "property_fund",
        lambda: read_csv(DATA / "risk/lgpif/PropertyFundInsample.csv")().with_columns(claim=pl.col("Freq") > 0),
        "claim",
        leaks=("Freq", "y", "lny", "yAvg"),
        names=("PolicyNum",),
    )
    yield PublicTable("king_county", read_csv(DATA / "market/king_county/kc_house_data.csv"), "price", True, names=("id",))
    yield PublicTable("india_rents", read_csv(DATA / "market/india_house_rent/House_Rent_Dataset.csv"), "Rent", True)
    yield PublicTable(
        "appliances",
        lambda: read_csv(DATA / "reporting/appliances_energy/energydata_complete.csv.gz")().with_columns(
            pl.col(pl.String).exclude("date").str.strip_chars().cast(pl.Float64, strict=False)
        ),
        "Appliances",
        True,
        names=("date",),
    )
    yield PublicTable(
        "seattle_energy",
        # Years run together to one number of 40 digits are refused, so that column is left out.
        lambda: _drop_thousands(
            read_csv(next((DATA / "reporting" / "seattle_building_energy").glob("*.csv")))().drop("YearsENERGYSTARCertified")
        ),
        "SiteEnergyUse(kBtu)",
        True,
        leaks=ENERGY,
        names=("OSEBuildingID", "PropertyName", "Address", "TaxParcelIdentificationNumber"),
    )
    yield PublicTable("breast_cancer", _load_sklearn("load_breast_cancer"), "target")
    yield PublicTable("wine", _load_sklearn("load_wine"), "target")
    yield PublicTable("iris", _load_sklearn("load_iris"), "target")
    yield PublicTable("digits", _load_sklearn("load_digits"), "target")
    yield PublicTable("diabetes", _load_sklearn("load_diabetes"), "target", True)
    yield PublicTable("tips", read_csv(PLOTLY / "tips.csv.gz"), "tip", True)
    yield PublicTable("gapminder", read_csv(PLOTLY / "gapminder.csv.gz"), "lifeExp", True, names=("iso_alpha", "iso_num"))
    yield PublicTable(
        "fair",
        lambda: read_csv(STATSMODELS / "fair" / "fair.csv")().with_columns(affair=pl.col("affairs") > 0).drop("affairs"),
        "affair",
    )
    yield PublicTable(
        "anes96",
        lambda: read_csv(STATSMODELS / "anes96" / "anes96.csv", "\t")().rename(lambda name: name.strip("'")),
        "vote",
    )
    yield PublicTable("modechoice", read_csv(STATSMODELS / "modechoice" / "modechoice.csv", ";"), "choice", names=("individual",))
    yield PublicTable("randhie", read_csv(STATSMODELS / "randhie" / "randhie.csv"), "mdvis", True)
    yield PublicTable("star98", read_csv(STATSMODELS / "star98" / "star98.csv"), "PR50M", True)
    yield PublicTable("cancer", read_csv(STATSMODELS / "cancer" / "cancer.csv"), "cancer", True)
    yield PublicTable("engel", read_csv(STATSMODELS / "engel" / "engel.csv"), "foodexp", True)
    yield PublicTable("macrodata", read_csv(STATSMODELS / "macrodata" / "macrodata.csv"), "infl", True)


def _drop_thousands(frame: pl.DataFrame) -> pl.DataFrame:
    """Text such as 7,226,362.50 as numbers, where a column holds nothing else."""
    numbers = frame.select(pl.col(pl.String).str.replace_all(",", "").cast(pl.Float64, strict=False))
    fits = frame.select(pl.col(pl.String).str.contains(r"^\d{1,3}(,\d{3})*(\.\d+)?$|^\d+(\.\d+)?$").all())
    whole = [name for name in numbers.columns if fits[name].item() and numbers[name].null_count() == frame[name].null_count()]
    return frame.with_columns(numbers.select(whole))


def _load_sklearn(function: str) -> Callable[[], pl.DataFrame]:
    def read() -> pl.DataFrame:
        from sklearn import datasets

        return pl.from_pandas(getattr(datasets, function)(as_frame=True).frame)

    return read


Planted = tuple[str, pl.Series]


def leaks_for(label: pl.Series, is_regression: bool, rng: np.random.Generator) -> Iterator[Planted]:
    """The leaks to plant, each by its name: what a column filled with the label in hand looks like."""
    days = np.datetime64("2023-01-01") + rng.integers(0, 365, len(label)).astype("timedelta64[D]")
    if is_regression:
        y = label.cast(pl.Float64).to_numpy()
        noise = rng.normal(size=len(y)) * np.nanstd(y)
        yield "another unit", pl.Series(y * 1.19 + 4)
        yield "copy, 1 % noise", pl.Series(y + 0.01 * noise)
        yield "copy, 5 % noise", pl.Series(y + 0.05 * noise)
        yield "tenths of the label", pl.Series(np.searchsorted(np.unique(np.quantile(y, np.arange(0.1, 1, 0.1))), y))
        yield "target-encoded", _encode_target(y, rng)
        later = (10 * np.argsort(np.argsort(y)) / len(y) * 36).astype(int) + rng.integers(0, 10, len(y))
        yield "date after the event", pl.Series(np.datetime64("2023-01-01") + later.astype("timedelta64[D]"))
        return
    text = label.cast(pl.String)
    event = find_rarest_class(label)
    for share in (0.02, 0.1):
        redrawn = rng.random(len(text)) < share
        other = rng.permutation(text.to_numpy())
        yield (
            f"copy, {share:.0%} redrawn",
            pl.Series(np.where(redrawn, other, text.to_numpy())).map_elements(
                lambda value: f"state {value}", return_dtype=pl.String
            ),
        )
    filled = event & (rng.random(len(event)) < 0.95)
    yield (
        "date filled at the event",
        pl.Series([day if is_filled else None for day, is_filled in zip(days.tolist(), filled, strict=True)]),
    )
    yield "amount at the event", pl.Series(np.where(filled, rng.gamma(2.0, 50.0, len(event)).round(2), 0.0))
    levels = np.where(event & (rng.random(len(event)) < 0.7), "closed", rng.choice(["open", "new", "waiting"], len(event)))
    yield "level of most of a class", pl.Series(levels)
    yield "target-encoded", _encode_target(event.astype(float), rng)
    far = [day if is_event else date(9999, 12, 31) for day, is_event in zip(days.tolist(), event, strict=True)]
    yield "end date, far where none", pl.Series(far)


def find_rarest_class(label: pl.Series) -> Any:
    """Which rows are of the class with the fewest rows, (n,)."""
    text = label.cast(pl.String)
    return (text == text.value_counts().sort("count", text.name)[text.name][0]).to_numpy()


def honest_columns_for(label: pl.Series, rng: np.random.Generator) -> Iterator[Planted]:
    """Columns known before the label of which some rare values happen to be of one class alone."""
    event = find_rarest_class(label)
    count = rng.poisson(np.where(event, 1.0, 0.5))
    # Two to four in a hundred of the class, never the others: eight late payments, all of them defaulted.
    few = rng.permutation(np.flatnonzero(event))[: max(10, int(0.04 * event.sum()))]
    count[few] = 7 + rng.integers(0, 2, len(few))
    yield "count with a pure tail", pl.Series(count)
    level = rng.choice(["north", "south", "east"], len(event))
    level[few] = "island"
    yield "rare level of one class", pl.Series(level)


def _encode_target(y: Any, rng: np.random.Generator) -> pl.Series:
    """Means of the label over groups of about four rows, the row's own label among them."""
    group = rng.integers(0, max(len(y) // 4, 1), len(y))
    return pl.DataFrame({"group": group, "y": y}).select(pl.col("y").mean().over("group")).to_series()


PLANTED = "status_detail"
LIMITS = (
    "What is not named: a copy of the label of which one row in ten is drawn anew, where the other columns tell nearly as much; "
    "parts of a total, as those of a building's energy, which explain one another, so that none is implausible beside the rest. "
    "Columns that name rows are left out rightly, and not counted."
)


def audit_table(frame: pl.DataFrame, table: PublicTable) -> dict[str, list[list[str]]]:
    """What an audit names: columns left out and columns told and kept, with the kind of finding."""
    try:
        suspicions = epic22.audit(frame, label=table.label, kind="regression" if table.is_regression else None)
    except UserError as error:
        return {"refused": [[str(error)]], "left out": [], "told": []}
    named = [s for s in suspicions if s.column is not None]
    return {
        "left out": [[str(s.column), s.suspicion] for s in named if s.withheld],
        "told": [[str(s.column), s.suspicion] for s in named if not s.withheld],
    }


def run(record: Path, only: str) -> None:
    """Audit what the record lacks."""
    stamp = source_stamp()
    state = json.loads(record.read_text()) if record.exists() else {}
    if state.get("source") != stamp:
        state = {"source": stamp, "machine": machine(), "audits": {}}
    record.parent.mkdir(parents=True, exist_ok=True)
    for table in list_tables():
        if only not in table.name:
            continue
        frame = None
        audits = state["audits"].setdefault(table.name, {})
        if audits.get("whole"):
            continue
        frame = table.read()
        frame = frame.filter(pl.col(table.label).is_not_null())
        frame = frame.sample(MAX_ROWS, seed=0) if frame.height > MAX_ROWS else frame
        audits["rows"], audits["columns"] = frame.height, frame.width - 1 - len(table.leaks)
        audits["names"] = list(table.names)
        clean = frame.drop(*table.leaks)
        audits["clean"] = audit_table(clean, table)
        if table.leaks:
            audits["as published"] = audit_table(frame, table) | {"leaks": list(table.leaks)}
        for name, column in leaks_for(frame[table.label], table.is_regression, np.random.default_rng(22)):
            audits[f"planted: {name}"] = audit_table(clean.with_columns(column.alias(PLANTED)), table)
        for name, column in () if table.is_regression else honest_columns_for(frame[table.label], np.random.default_rng(23)):
            audits[f"honest: {name}"] = audit_table(clean.with_columns(column.alias(PLANTED)), table)
        audits["whole"] = True
        record.write_text(json.dumps(state, indent=1) + "\n")
        print(table.name, json.dumps({k: v for k, v in audits.items() if k in ("clean", "as published")}), flush=True)


def write_page(before: dict[str, Any], after: dict[str, Any]) -> None:
    """docs/evidence-audit.md from both records."""
    tables = [name for name, audits in after["audits"].items() if audits.get("whole") and name in before["audits"]]
    records = [{name: record["audits"][name] for name in tables} for record in (before, after)]
    columns = sum(audits["columns"] for audits in records[1].values())
    kinds = list(dict.fromkeys(kind for audits in records[1].values() for kind in audits if ": " in kind))
    lines = [
        "# What the audit takes away",
        "",
        "Written by `python benchmarks/audit.py`; see there for the tables and what is planted in them. "
        f"{len(tables)} public tables with {columns:,} honest columns, at most {MAX_ROWS:,} rows of each; {after['machine']}. "
        "*Before* is commit 4fe1ae0. A column *left out* is not learned from unless it is kept by name; "
        "one *told* is learned from, raced with and without, and its price is told.",
        "",
        "| | before | after |",
        "|---|---|---|",
    ]
    wrong = [_count_wrong(audits) for audits in records]
    lines += [
        f"| tables that lose an honest column | {wrong[0][0]} | {wrong[1][0]} |",
        f"| honest columns left out, of {columns:,} | {wrong[0][1]} | {wrong[1][1]} |",
        f"| honest columns told and kept | {wrong[0][2]} | {wrong[1][2]} |",
    ]
    planted = [_count_planted(audits) for audits in records]
    lines += [
        f"| planted leaks left out, of {planted[0][2]:,} | {planted[0][0]} | {planted[1][0]} |",
        f"| planted leaks left out or told (recall) | {_share(sum(planted[0][:2]), planted[0][2])} | "
        f"{_share(sum(planted[1][:2]), planted[1][2])} |",
        "| of all columns left out in tables with a planted column, leaks (precision) | "
        + " | ".join(_share(p[0], p[0] + p[3]) for p in planted)
        + " |",
        "",
        "| planted column | tables | before: left out, told, not named | after: left out, told, not named |",
        "|---|---|---|---|",
    ]
    for kind in kinds:
        cells = [_count_kind(audits, kind) for audits in records]
        counts = [", ".join(str(cell[how]) for how in ("left out", "told", "not named")) for cell in cells]
        title = kind.replace("planted: ", "").replace("honest: ", "*honest:* ")
        lines.append(f"| {title} | {sum(cells[1].values())} | {counts[0]} | {counts[1]} |")
    lines += ["", "## Honest columns that were left out, without a planted one", ""]
    for title, audits in zip(("Before", "After"), records, strict=True):
        named = [f"{name}: {', '.join(_list_wrong(one, one['clean'], 'left out'))}" for name, one in audits.items()]
        lines.append(f"* {title}: " + ("; ".join(text for text in named if not text.endswith(": ")) or "none") + ".")
    lines += [
        "",
        "## Leaks that tables have as they are published",
        "",
        "| table | column | before | after |",
        "|---|---|---|---|",
    ]
    for name in tables:
        for leak in records[1][name].get("as published", {}).get("leaks", ()):
            how = [_classify(audits[name]["as published"], leak) for audits in records]
            lines.append(f"| {name} | {leak} | {how[0]} | {how[1]} |")
    lines += ["", LIMITS, ""]
    PAGE.write_text("\n".join(lines))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part} of {whole})" if whole else "–"


def _classify(audit: dict[str, Any], column: str) -> str:
    return next((how for how in ("left out", "told") if column in {name for name, _ in audit[how]}), "not named")


def _count_kind(records: dict[str, Any], kind: str) -> Counter[str]:
    return Counter(_classify(audits[kind], PLANTED) for audits in records.values() if kind in audits)


def _list_wrong(audits: dict[str, Any], audit: dict[str, Any], how: str) -> list[str]:
    """Columns named that are neither planted nor known to name rows."""
    return [name for name, _ in audit[how] if name not in (*audits["names"], PLANTED)]


def _count_wrong(records: dict[str, Any]) -> tuple[int, int, int]:
    """Tables that lose an honest column, honest columns left out, and honest columns told, without a planted one."""
    left_out = [len(_list_wrong(audits, audits["clean"], "left out")) for audits in records.values()]
    told = sum(len(_list_wrong(audits, audits["clean"], "told")) for audits in records.values())
    return sum(map(bool, left_out)), sum(left_out), told


def _count_planted(records: dict[str, Any]) -> tuple[int, int, int, int]:
    """Planted leaks left out, told, and all of them; other columns left out beside a planted one, honest planted ones too."""
    left_out = told = n = wrong = 0
    for audits in records.values():
        for kind, audit in audits.items():
            if kind.startswith("planted: "):
                n += 1
                left_out += _classify(audit, PLANTED) == "left out"
                told += _classify(audit, PLANTED) == "told"
                wrong += len(_list_wrong(audits, audit, "left out"))
            if kind.startswith("honest: "):
                wrong += len(_list_wrong(audits, audit, "left out")) + (_classify(audit, PLANTED) == "left out")
    return left_out, told, n, wrong


def source_stamp() -> str:
    """Digest of the imported package's sources that shape an audit."""
    digest = hashlib.sha256(f"{PLANTS_VERSION}".encode())
    package = Path(epic22.__file__).parent
    for path in sorted(path for part in WATCHED for path in (package / part).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    """Run what the arguments ask for, and write the page where both records are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", default="after")
    parser.add_argument("--only", default="")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    if not arguments.page:
        run(RESULTS / f"{arguments.record}.json", arguments.only)
    records = [RESULTS / f"{name}.json" for name in ("before", "after")]
    if all(record.exists() for record in records):
        before, after = (json.loads(record.read_text()) for record in records)
        write_page(before, after)


if __name__ == "__main__":
    main()
