"""`epic22 data quality`: what is wrong in a data version, against the version that it was made from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings

if TYPE_CHECKING:
    from epic22.services.quality import VersionQuality

Checks = Annotated[Path | None, typer.Option("--checks", help="A YAML file with other levels and limits of the checks.")]


def quality(
    version: Annotated[int | None, typer.Argument(help="A version's number; the newest otherwise.")] = None,
    checks: Checks = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write a page with pictures (HTML) there.")] = None,
    json: Json = False,
) -> None:
    """Check a version against its parent: missing cells, distributions, row counts, levels, keys, and all that audit finds.

    The chance that a sound version is accused stays below a stated share over all tests together. The exit code is 2 where a
    finding is of level refuse.

    epic22 data quality 7 --report quality.html
    """
    components = bootstrap.assemble(Settings.read())
    with show_progress() as bars:
        assessed = bootstrap.assess_version(components, version, checks, report, bars)
    if json:
        print_json(bootstrap.build_quality_document(assessed))
    else:
        _print_quality(assessed)
        if report is not None:
            print_line(f"Written: {report}")
    if assessed.is_refused:
        raise typer.Exit(REFUSED)


REFUSED = 2


def _print_quality(assessed: "VersionQuality") -> None:
    against = "no parent" if assessed.parent is None else f"parent {assessed.parent.number}"
    name = f"Data version {assessed.version.number} ({against})"
    if assessed.findings:
        rows = [
            [one.level, one.finding.table, one.finding.column or "(rows)", one.finding.what, one.finding.evidence]
            for one in assessed.findings
        ]
        print_table(name, ["level", "table", "column", "finding", "evidence"], rows)
    if not assessed.alarms:
        print_line(f"{name}: nothing moved more than its tables move by themselves, and the audit finds nothing new.")
    for reason in assessed.untested:
        print_line(f"· not tested: {reason}", "dim")
    if assessed.tests:
        alpha = f"{100 * assessed.rules.alpha:g} %"
        print_line(f"{len(assessed.tests)} tests, corrected together: a sound version is accused in at most {alpha} of cases.")
