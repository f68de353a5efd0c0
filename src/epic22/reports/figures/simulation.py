"""Pictures of a simulated portfolio, drawn from its tables alone, and the page that holds them."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from epic22.reports.figures.style import MAIN, OTHER, SMALL_LETTERS, WARM, ReportFigure, add_legend, use_logarithmic_scale
from epic22.simulator.calendar import Array
from epic22.simulator.equipment import HAZARD_FACTOR, SHAPE
from epic22.simulator.estate import KINDS, SCALE_YEARS
from epic22.simulator.portfolio import Portfolio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MONTHS = ("J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D")
YEAR = 365.25
MAX_ZIPS = 12


def select_failures(portfolio: Portfolio) -> pl.DataFrame:
    """Corrective orders of priority high or critical with the kind and age in years of their equipment."""
    orders = portfolio.tables["work_orders"].unique("work_order_id", keep="first", maintain_order=True)
    urgent = orders.filter((pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"]))
    pieces = portfolio.tables["equipment"].select("equipment_id", "installed_on", piece="kind")
    age = (pl.col("opened_at") - pl.col("installed_on")).dt.total_days() / YEAR
    return urgent.join(pieces, on="equipment_id").with_columns(age=age).sort("work_order_id")


def compute_time_at_risk(portfolio: Portfolio) -> tuple[Array, Array, Array]:
    """Kind (place in KINDS), age in years and time under watch in years, of every piece and month of the window."""
    begin = datetime(portfolio.end.year - 3, portfolio.end.month, 1)
    pieces = portfolio.tables["equipment"]
    months = pl.datetime_range(begin, portfolio.end, "1mo", eager=True, closed="left")
    rows = pieces.join(pl.DataFrame({"at": months}), how="cross").filter(
        (pl.col("installed_on") <= pl.col("at")) & (pl.col("retired_on").is_null() | (pl.col("retired_on") > pl.col("at")))
    )
    kind = rows["kind"].replace_strict({k: i for i, k in enumerate(KINDS)}, return_dtype=pl.Int64).to_numpy()
    age = ((rows["at"] - rows["installed_on"]).dt.total_days() / YEAR).to_numpy()
    return kind, age, np.full(len(kind), 1 / 12)


def compute_weibull_hazard(kind: Array, age: Array) -> Array:
    """The raised Weibull hazard a year of a kind at an age in years, without what else moves it."""
    scale = SCALE_YEARS[kind]
    return np.asarray(HAZARD_FACTOR * SHAPE[kind] / scale * (np.maximum(age, 0.01) / scale) ** (SHAPE[kind] - 1))


def plot_failures_by_kind(portfolio: Portfolio, axes: "Axes") -> None:
    """Failures per piece and year of each kind, beside the Weibull hazard at the same ages."""
    kind, age, years_at_risk = compute_time_at_risk(portfolio)
    failed_kinds = (
        select_failures(portfolio)["piece"].replace_strict({k: i for i, k in enumerate(KINDS)}, return_dtype=pl.Int64).to_numpy()
    )
    years = np.bincount(kind, years_at_risk, len(KINDS))
    place = np.arange(len(KINDS))
    axes.barh(place, np.bincount(failed_kinds, minlength=len(KINDS)) / years, color=MAIN, height=0.6, label="failed")
    axes.plot(
        np.bincount(kind, compute_weibull_hazard(kind, age) * years_at_risk, len(KINDS)) / years,
        place,
        "D",
        color=WARM,
        label="expected by age alone",
    )
    axes.set_yticks(place, KINDS)
    axes.set_xlabel("failures a year of one piece of equipment")
    add_legend(axes, fontsize=SMALL_LETTERS)


def plot_failures_by_age(portfolio: Portfolio, axes: "Axes") -> None:
    """Failures per piece and year by age as a share of the kind's scale, beside the Weibull hazard."""
    kind, age, years_at_risk = compute_time_at_risk(portfolio)
    failed = select_failures(portfolio)
    scale = dict(zip(KINDS, SCALE_YEARS, strict=True))
    edges = np.linspace(0, 1.6, 9)
    share = (failed["age"] / failed["piece"].replace_strict(scale, return_dtype=pl.Float64)).to_numpy()
    years = np.histogram(age / SCALE_YEARS[kind], edges, weights=years_at_risk)[0]
    hazard = np.histogram(age / SCALE_YEARS[kind], edges, weights=years_at_risk * compute_weibull_hazard(kind, age))[0]
    rate = np.histogram(share, edges)[0]
    has_exposure = years > 0
    middle = ((edges[1:] + edges[:-1]) / 2)[has_exposure]
    axes.bar(middle, rate[has_exposure] / years[has_exposure], width=0.15, color=MAIN, label="failed")
    axes.plot(middle, hazard[has_exposure] / years[has_exposure], "D-", color=WARM, label="expected by age alone")
    axes.set_xlabel("age as a share of the kind's usual life")
    axes.set_ylabel("failures a year of one piece")
    add_legend(axes, fontsize=SMALL_LETTERS)


def plot_seasons(portfolio: Portfolio, axes: "Axes") -> None:
    """Failures of some kinds by month of the year, and utilities, each as a share of its mean."""
    failed = select_failures(portfolio)
    for kind, colour in (("hvac", MAIN), ("plumbing", OTHER)):
        counts = np.bincount(failed.filter(pl.col("piece") == kind)["opened_at"].dt.month().to_numpy(), minlength=13)[1:]
        axes.plot(range(12), counts / max(counts.mean(), 1e-9), "o-", color=colour, label=f"failures: {kind}")
    paid = portfolio.tables["ledger"].filter(pl.col("account") == "utilities")
    months = paid.group_by(pl.col("posted_on").dt.month().alias("month")).agg(-pl.col("amount").cast(pl.Float64).mean())
    spent = months.sort("month")["amount"].to_numpy()
    axes.plot(range(len(spent)), spent / spent.mean(), "o-", color=WARM, label="utilities")
    axes.set_xticks(range(12), MONTHS)
    axes.set_ylabel("times the mean month")
    add_legend(axes, fontsize=SMALL_LETTERS)


def plot_rents(portfolio: Portfolio, axes: "Axes") -> None:
    """Average rent of two-bedroom homes, one line a zip code."""
    market = portfolio.tables["market"].filter((pl.col("bedrooms") == 2) & (pl.col("provenance") != "nonpublic_competitor"))
    last = market.sort("known_at").unique(["zip_code", "month"], keep="last", maintain_order=True)
    zips = last["zip_code"].unique().sort().to_list()[:MAX_ZIPS]
    metros = sorted({zip_code[:2] for zip_code in zips})
    for zip_code in zips:
        path = last.filter(pl.col("zip_code") == zip_code).sort("month")
        colour = (MAIN, WARM, OTHER)[metros.index(zip_code[:2]) % 3]
        axes.plot(_to_decimal_years(path["month"]), path["average_rent"].cast(pl.Float64).to_numpy(), color=colour, linewidth=1.2)
    axes.set_ylabel("average rent, two bedrooms")


def _to_decimal_years(times: pl.Series) -> Array:
    return ((times - datetime(1970, 1, 1)).dt.total_days() / YEAR + 1970).to_numpy()


def plot_vacancy(portfolio: Portfolio, axes: "Axes") -> None:
    """The share of homes that stand empty in the market, mean over zip codes, and in the portfolio."""
    market = portfolio.tables["market"].group_by("month").agg(pl.col("vacancy_rate").mean()).sort("month")
    axes.plot(_to_decimal_years(market["month"]), 100 * market["vacancy_rate"].to_numpy(), color=OTHER, label="market")
    leases, units = portfolio.tables["leases"], portfolio.tables["units"].height
    days = pl.datetime_range(portfolio.end - timedelta(days=1000), portfolio.end, "1mo", eager=True, closed="left")
    let = [_count_let_units(leases, day) / units for day in days.to_list()]
    axes.plot(_to_decimal_years(days), 100 * (1 - np.array(let)), color=MAIN, label="portfolio")
    axes.set_ylabel("vacant, %")
    add_legend(axes, fontsize=SMALL_LETTERS)


def _count_let_units(leases: pl.DataFrame, day: datetime) -> int:
    gone = pl.col("ended_on") < day
    return leases.filter((pl.col("start_date") <= day) & ~gone.fill_null(False))["unit_id"].n_unique()


def plot_days_late(portfolio: Portfolio, axes: "Axes") -> None:
    """Rents by days from due date to the last payment, by screening: what a company can see of reliability."""
    tables = portfolio.tables
    rents = tables["charges"].filter((pl.col("kind") == "rent") & (pl.col("due_on") < portfolio.end - timedelta(days=60)))
    paid = tables["payments"].filter(pl.col("status") == "paid").group_by("charge_id").agg(pl.col("paid_on").max())
    leases = tables["leases"].join(tables["tenants"], on="tenant_id").select("lease_id", "screening_risk")
    rows = rents.join(paid, on="charge_id", how="left").join(leases, on="lease_id")
    late = (pl.col("paid_on") - pl.col("due_on")).dt.total_days()
    rows = rows.with_columns(late=late).filter(pl.col("screening_risk").is_not_null())
    edges = [0, 1, 6, 16, 31, 10**6]
    names = ("on time", "1–5", "6–15", "16–30", "later", "never")
    for place, (risk, colour) in enumerate((("low", MAIN), ("medium", OTHER), ("high", WARM))):
        own = rows.filter(pl.col("screening_risk") == risk)
        counts = np.append(np.histogram(own["late"].drop_nulls().to_numpy(), edges)[0], own["late"].null_count())
        shares = 100 * counts / max(own.height, 1)
        axes.bar(np.arange(6) + 0.27 * (place - 1), shares, 0.25, color=colour, label=f"{risk} risk")
    axes.set_xticks(range(6), names)
    use_logarithmic_scale(axes, "y")
    axes.set_xlabel("days from the due date to the payment")
    axes.set_ylabel("share of rents, % (logarithmic)")
    add_legend(axes, fontsize=SMALL_LETTERS)


def plot_lease_ends(portfolio: Portfolio, axes: "Axes") -> None:
    """Renewals and move-outs by month of the lease."""
    leases = portfolio.tables["leases"].filter(pl.col("ended_on").is_not_null())
    month = (pl.col("ended_on") - pl.col("start_date")).dt.total_days() / (YEAR / 12)
    for place, (reason, colour) in enumerate((("renewed", OTHER), ("moved_out", MAIN), ("evicted", WARM))):
        ends = leases.filter(pl.col("end_reason") == reason).select(month)
        counts = np.histogram(ends.to_series().to_numpy(), np.arange(0, 20) - 0.5)[0]
        axes.bar(np.arange(19) + 0.28 * (place - 1), counts, 0.27, color=colour, label=reason.replace("_", " "))
    axes.set_xticks(range(0, 19, 3))
    axes.set_xlabel("months from the start of the lease to its end")
    axes.set_ylabel("leases")
    add_legend(axes, fontsize=SMALL_LETTERS)


def plot_moves_by_month(portfolio: Portfolio, axes: "Axes") -> None:
    """Move-outs by month of the year."""
    moved = portfolio.tables["leases"].filter(pl.col("end_reason") == "moved_out")
    counts = np.bincount(moved["ended_on"].dt.month().to_numpy(), minlength=13)[1:]
    axes.bar(range(12), counts, color=MAIN)
    axes.set_xticks(range(12), MONTHS)
    axes.set_ylabel("move-outs")


def plot_arrears(portfolio: Portfolio, axes: "Axes") -> None:
    """Rent of running leases that is more than 30 days past due, as a share of a month's rent of all."""
    tables = portfolio.tables
    rents = tables["charges"].filter(pl.col("kind") == "rent").select("charge_id", "lease_id", "due_on", "amount")
    paid = tables["payments"].filter(pl.col("status") == "paid").group_by("charge_id").agg(pl.col("paid_on").max())
    ends = tables["leases"].select("lease_id", "ended_on", "start_date", "monthly_rent")
    rows = rents.join(paid, on="charge_id", how="left").join(ends, on="lease_id")
    days = pl.datetime_range(portfolio.end - timedelta(days=1000), portfolio.end, "1mo", eager=True)
    shares = [_compute_arrears_share(rows, ends, day) for day in days.to_list()]
    axes.plot(_to_decimal_years(days), 100 * np.array(shares), color=MAIN)
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("arrears, % of a month's rent")
    axes.set_ylim(0, None)


def _compute_arrears_share(rows: pl.DataFrame, leases: pl.DataFrame, day: datetime) -> float:
    runs = (pl.col("start_date") <= day) & (pl.col("ended_on").is_null() | (pl.col("ended_on") > day))
    unpaid = pl.col("paid_on").is_null() | (pl.col("paid_on") > day)
    old = rows.filter(runs & unpaid & (pl.col("due_on") + timedelta(days=30) <= day))
    every = leases.filter(runs)["monthly_rent"].cast(pl.Float64).sum()
    return float(old["amount"].cast(pl.Float64).sum()) / max(float(every), 1.0)


def plot_precursors(portfolio: Portfolio, axes: "Axes") -> None:
    """Readings before a failure, in spreads of the piece's own sensor: mean over failures."""
    readings = portfolio.tables["sensor_readings"].filter(pl.col("kind").is_in(["vibration", "pressure"]))
    scaled = readings.with_columns(
        z=(pl.col("value") - pl.col("value").median().over("equipment_id")) / pl.col("value").std().over("equipment_id")
    )
    events = select_failures(portfolio).select("equipment_id", "opened_at")
    near = scaled.join(events, on="equipment_id").with_columns(
        before=(pl.col("opened_at") - pl.col("measured_at")).dt.total_days()
    )
    for signal, colour in (("vibration", MAIN), ("pressure", WARM)):
        own = near.filter((pl.col("kind") == signal) & pl.col("before").is_between(0, 60))
        mean = own.group_by(pl.col("before") // 3 * 3).agg(pl.col("z").mean()).sort("before")
        axes.plot(-mean["before"].to_numpy(), mean["z"].to_numpy(), "o-", color=colour, label=signal)
    axes.set_xlabel("days before the failure")
    axes.set_ylabel("mean reading, standard deviations")
    add_legend(axes, fontsize=SMALL_LETTERS)


FIGURES: tuple[ReportFigure[Portfolio], ...] = (
    ReportFigure(
        "kinds",
        "Failures by kind",
        "Bars: repairs of priority high or critical. Diamonds: what the simulator expects of equipment of that age, before wear, "
        "season and neglected visits raise it.",
        plot_failures_by_kind,
        height=3.8,
    ),
    ReportFigure("ages", "Failures by age", "Older equipment fails more often.", plot_failures_by_age),
    ReportFigure(
        "precursors",
        "Before a failure",
        "Readings drift for days before a failure, noisily. In standard deviations of the sensor's own readings.",
        plot_precursors,
    ),
    ReportFigure(
        "seasons",
        "Seasons",
        "Heating and cooling fail in winter and summer, pipes in winter; heating is paid in winter.",
        plot_seasons,
    ),
    ReportFigure(
        "rents", "Rents by zip code", "One line a zip code. Lines of one colour are of one region and move together.", plot_rents
    ),
    ReportFigure("vacancy", "Vacancy", "Homes that stand empty: in the market, and in the portfolio itself.", plot_vacancy),
    ReportFigure(
        "payments",
        "Days late",
        "Colours: the risk that screening gave the tenant, which shows reliability only in part.",
        plot_days_late,
    ),
    ReportFigure("leases", "How leases end", "Notice is given mostly in the last months of a lease.", plot_lease_ends),
    ReportFigure("moves", "Moves by month", "People move in summer.", plot_moves_by_month),
    ReportFigure("arrears", "Arrears", "Rent more than 30 days past due, of running leases.", plot_arrears),
)
"""All pictures, in the page's order. A new one is one function and one line here."""
