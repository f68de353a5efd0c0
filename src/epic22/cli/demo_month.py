"""The month of the demonstration: thirty daily ingests, trainings that a plan calls for, a planted bad one, lists in money."""

import os
import shutil
import time
from pathlib import Path

import yaml

from epic22.bootstrap import MonthInFastTime, PlannedTraining, assemble
from epic22.cli.terminal import print_line, show_progress
from epic22.config import Settings
from epic22.core.retraining.plan import read_plan
from epic22.reports.html.month import describe_outcome, write_month_report
from epic22.services.month import Month
from epic22.simulator.portfolio import simulate

TASK = "predictive_maintenance"
PLAN = f"""
at_most_per_week: 1
tasks:
  {TASK}:
    schedule: {{cron: "0 0 10 * *", zone: UTC}}
    new_rows: {{share: 0.01, tables: [work_orders]}}
"""
"""What is retrained in the month, as a file retraining.yaml would say it."""
BAD = PlannedTraining(26, "a person", "linear models alone would be easier to explain", ("--families", "linear"))
CAPACITY = 2
SHARED_STORES = ("EPIC22_DATABASE_URL", "EPIC22_ARTIFACTS", "EPIC22_REDIS_URL", "EPIC22_OPENLINEAGE_URL")


def demonstrate_month(folder: Path, seed: int) -> Month:
    """The month, printed day by day; the page and all that was taken in are written to `folder`, which has a home of its own."""
    began = time.monotonic()
    folder = folder.resolve() / "month"
    # The processes of jobs read their settings from here: never the company's own store.
    for name in SHARED_STORES:
        os.environ.pop(name, None)
    os.environ["EPIC22_HOME"] = str(folder / "home")
    shutil.rmtree(folder, ignore_errors=True)
    components = assemble(Settings.read())
    with show_progress() as bars:
        portfolio = simulate("small", seed, on_part=lambda what: bars.begin(what, 1))
    plan = read_plan("retraining.yaml", yaml.safe_load(PLAN))
    print_line(f"A month in fast time, in {folder}", "bold")
    month = MonthInFastTime(components, portfolio, plan, folder / "arrivals", CAPACITY, print_line, (BAD,)).run()
    report = write_month_report(folder / "month.html", month, f"simulated portfolio, seed {seed}")
    print_line(f"{describe_outcome(month)}.", "bold")
    print_line(f"{time.monotonic() - began:,.0f} s; the report is in {report}", "bold green")
    return month
