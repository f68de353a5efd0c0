"""A set, and the ten public ones: how each file is read, what all systems get of it, and how it is split.

Everybody gets the columns `DataSet.inputs` names, with names that no library trips over. What is dropped is known only with or
after the label, is the label's own parts, or names one row. The log of a target is taken here, for everybody.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

Kind = Literal["binary", "regression"]
Metric = Literal["average_precision", "roc_auc", "root_mean_squared_error"]
MISSING = ("", " ", "NA", "nan", "NaN")


@dataclass(frozen=True)
class DataSet:
    """One set. `read` gives inputs, label, and the columns of `time` and `group`, from the file.

    `time` is for systems that can split by it; it is an input only where `time_is_input`. `group` never is: it names a house or a
    policy. `holdout` is the first moment of the test part; without one rows are dealt, `repeats` times over. `cluster` is what is
    drawn together when one split is resampled: "group", "day" of `time`, or None for copies of a row. `read_by` says what decides
    how the file is read besides the code, so that splits are written anew when it changes.
    """

    name: str
    file: str
    kind: Kind
    label: str
    metric: Metric
    read: Callable[[Path], pl.DataFrame]
    about: str
    time: str | None = None
    group: str | None = None
    time_is_input: bool = False
    holdout: datetime | None = None
    repeats: int = 5
    cluster: Literal["group", "day"] | None = None
    read_by: str = ""

    def frame(self, data: Path) -> pl.DataFrame:
        """The set's rows, columns under plain names."""
        frame = self.read(data / self.file)
        return frame.rename({name: plain(name) for name in frame.columns})

    def inputs(self, frame: pl.DataFrame) -> list[str]:
        """The columns that every system learns from."""
        left_out = {self.label, self.group, None if self.time_is_input else self.time}
        return [name for name in frame.columns if name not in left_out]


def plain(name: str) -> str:
    """A name of letters, digits and underscores: LightGBM and XGBoost refuse brackets.

    >>> plain("Air temperature [K]")
    'Air_temperature_K'
    """
    return re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")


def _csv(path: Path, separator: str = ",") -> pl.DataFrame:
    return pl.read_csv(path, separator=separator, null_values=list(MISSING), infer_schema_length=None)


def _ai4i(path: Path) -> pl.DataFrame:
    return _csv(path, "\t").drop("UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF")


def _ai4i_formulas(path: Path) -> pl.DataFrame:
    speed = pl.col("Rotational speed [rpm]") * (2 * math.pi / 60)
    return _ai4i(path).with_columns(
        power=pl.col("Torque [Nm]") * speed,
        temperature_difference=pl.col("Process temperature [K]") - pl.col("Air temperature [K]"),
        strain=pl.col("Tool wear [min]") * pl.col("Torque [Nm]"),
    )


def _telco(path: Path) -> pl.DataFrame:
    return _csv(path).drop("customerID").with_columns((pl.col("Churn") == "Yes").cast(pl.Int8))


def _hotel(path: Path) -> pl.DataFrame:
    day = pl.format("{}-{}-{}", "ArrivalDateYear", "ArrivalDateMonth", "ArrivalDateDayOfMonth")
    late = ("ReservationStatus", "ReservationStatusDate", "AssignedRoomType", "BookingChanges")
    return (
        pl.read_parquet(path)
        .with_columns(arrival=day.str.to_datetime("%Y-%B-%d", time_unit="us"))
        .drop(*late, "ArrivalDateYear")
        .with_columns(pl.col(pl.String).str.strip_chars())
    )


def _uci_default(path: Path) -> pl.DataFrame:
    return _csv(path).drop("ID")


def _credit(path: Path) -> pl.DataFrame:
    frame = _csv(path)
    return frame.drop(frame.columns[0])


def _king_county(path: Path) -> pl.DataFrame:
    text = pl.read_csv(path, infer_schema=False)
    date = pl.col("date").str.to_datetime("%Y%m%dT%H%M%S", time_unit="us")
    numbers = [name for name in text.columns if name not in ("id", "date")]
    return text.with_columns(date, pl.col(numbers).cast(pl.Float64))


def _india_rents(path: Path) -> pl.DataFrame:
    posted = pl.col("Posted On").str.to_datetime("%d/%m/%Y", time_unit="us")
    return _csv(path).with_columns(posted, pl.col("Rent").log().alias("log_rent")).drop("Rent")


def _lgpif(path: Path) -> pl.DataFrame:
    begun = pl.datetime(pl.col("Year"), 1, 1, time_unit="us").alias("begun")
    claimed = (pl.col("Freq") > 0).cast(pl.Int8).alias("claimed")
    return _csv(path).with_columns(begun, claimed).drop("Year", "Freq", "y", "lny", "yAvg")


ENERGY_OUTCOMES = (
    *("ENERGYSTARScore", "SiteEUI(kBtu/sf)", "SiteEUIWN(kBtu/sf)", "SourceEUI(kBtu/sf)", "SourceEUIWN(kBtu/sf)"),
    *("SiteEnergyUse(kBtu)", "SiteEnergyUseWN(kBtu)", "SteamUse(kBtu)", "Electricity(kWh)", "Electricity(kBtu)"),
    *("NaturalGas(therms)", "NaturalGas(kBtu)", "TotalGHGEmissions", "GHGEmissionsIntensity"),
    *("DefaultData", "ComplianceStatus", "Outlier", "YearsENERGYSTARCertified"),
)
"""Energy, what is worked out of it, and what was judged by it."""
ENERGY_NAMES = ("OSEBuildingID", "PropertyName", "Address", "TaxParcelIdentificationNumber")
ENERGY_EMPTY = ("DataYear", "City", "State", "Comments")
WITH_THOUSANDS = (
    *("SiteEnergyUse(kBtu)", "PropertyGFATotal", "PropertyGFAParking", "PropertyGFABuilding(s)"),
    *("LargestPropertyUseTypeGFA", "SecondLargestPropertyUseTypeGFA", "ThirdLargestPropertyUseTypeGFA"),
)


def _seattle(path: Path) -> pl.DataFrame:
    used = pl.col("SiteEnergyUse(kBtu)")
    return (
        _csv(path)
        .with_columns(pl.col(WITH_THOUSANDS).cast(pl.String).str.replace_all(",", "").cast(pl.Float64))
        .filter(used > 0)
        .with_columns(used.log().alias("log_energy"))
        .drop(*ENERGY_OUTCOMES, *ENERGY_NAMES, *ENERGY_EMPTY)
    )


AI4I = "maintenance/ai4i2020/ai4i2020.csv"
SETS = (
    DataSet("ai4i", AI4I, "binary", "Machine_failure", "average_precision", _ai4i, "machine failure from sensors"),
    DataSet(
        "ai4i-formulas",
        AI4I,
        "binary",
        "Machine_failure",
        "average_precision",
        _ai4i_formulas,
        "the same with three physical columns, given to all",
    ),
    DataSet("telco", "churn/ibm_telco/Telco-Customer-Churn.csv", "binary", "Churn", "roc_auc", _telco, "churn"),
    DataSet(
        "hotel",
        "churn/hotel_booking/hotel_booking.parquet",
        "binary",
        "IsCanceled",
        "roc_auc",
        _hotel,
        "cancellation; arrivals of 2017 from those before; columns known late, and the year, left out",
        time="arrival",
        holdout=datetime(2017, 1, 1),
        repeats=1,
        cluster="day",
    ),
    DataSet(
        "uci-default",
        "risk/uci_default_credit_card/UCI_Credit_Card.csv",
        "binary",
        "default_payment_next_month",
        "roc_auc",
        _uci_default,
        "default next month",
        repeats=1,
    ),
    DataSet(
        "give-me-some-credit",
        "risk/give_me_some_credit/cs-training.csv.gz",
        "binary",
        "SeriousDlqin2yrs",
        "roc_auc",
        _credit,
        "serious delinquency in two years",
        repeats=1,
    ),
    DataSet(
        "king-county",
        "market/king_county/kc_house_data.csv",
        "regression",
        "price",
        "root_mean_squared_error",
        _king_county,
        "price; sold from March 2015 on, from those sold before",
        time="date",
        group="id",
        time_is_input=True,
        holdout=datetime(2015, 3, 1),
        repeats=1,
        cluster="group",
    ),
    DataSet(
        "india-rents",
        "market/india_house_rent/House_Rent_Dataset.csv",
        "regression",
        "log_rent",
        "root_mean_squared_error",
        _india_rents,
        "log of the rent",
    ),
    DataSet(
        "lgpif",
        "risk/lgpif/PropertyFundInsample.csv",
        "binary",
        "claimed",
        "average_precision",
        _lgpif,
        "any claim; 2010 from 2006 to 2009; outcomes and the year left out",
        time="begun",
        group="PolicyNum",
        holdout=datetime(2010, 1, 1),
        repeats=1,
        cluster="group",
    ),
    DataSet(
        "seattle-energy",
        "reporting/seattle_building_energy/2016_Building_Energy_Benchmarking.csv",
        "regression",
        "log_energy",
        "root_mean_squared_error",
        _seattle,
        "log of the energy used; other energy columns, what follows from them, and names of buildings left out",
    ),
)


def set_named(name: str, sets: Sequence[DataSet] = SETS) -> DataSet:
    """The set of that name. Raises ValueError naming those there are."""
    for one in sets:
        if one.name == name:
            return one
    raise ValueError(f"no set is called {name!r}; there are {', '.join(one.name for one in sets)}.")
