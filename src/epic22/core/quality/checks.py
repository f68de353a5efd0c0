"""The checks of a data version: what each finds, how grave that is, from which size on it is said. One table, visible here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from epic22.core.quality.finding import Finding, FindingKind
from epic22.core.quality.movement_tests import ALPHA, MovementTest
from epic22.core.text import format_figure, format_quantity

Level = Literal["refuse", "quarantine", "warn", "note", "off"]
"""What a finding does. refuse: an ingest stores nothing. quarantine: the rows are set apart. warn: it is said. note: it is said
where all is told, and is no alarm. off: it is not looked for."""

LEVELS: tuple[Level, ...] = get_args(Level)
CHANGE_OF_SHARE = "change of the share"
ALARMS: tuple[Level, ...] = ("refuse", "quarantine", "warn")


@dataclass(frozen=True)
class Check:
    """A check: the kinds of findings that are its own, its level, and the least size that it tells, with its unit in words.

    `is_tested`: a finding of it also has to be unlikely by chance. `names_rows`: its rows can be set apart.
    """

    name: str
    level: Level
    about: str
    kinds: tuple[FindingKind, ...]
    limit: float | None = None
    unit: str = ""
    is_tested: bool = False
    names_rows: bool = False

    def describe_limit(self) -> str:
        """The least size that it tells, in words.

        >>> find_check = QualityRules().find_check
        >>> [find_check(kind).describe_limit() for kind in ("rows gone", "missing share moved", "stale table", "unit change")]
        ["20 % of the parent's rows", '5 percentage points', '2 times the longest pause in a year', 'any']
        """
        if self.limit is None:
            return "any"
        if self.unit == CHANGE_OF_SHARE:
            return format_quantity(100 * self.limit, "percentage points")
        shared = self.unit.removeprefix("share of ")
        return f"{format_figure(self.limit)} {self.unit}" if shared == self.unit else f"{100 * self.limit:g} % of {shared}"


CHECKS: tuple[Check, ...] = (
    Check(
        "schema",
        "refuse",
        "columns that are missing, renamed or of another type",
        ("missing column", "renamed column", "retyped column"),
    ),
    Check("emptied_columns", "refuse", "columns that came filled and come empty", ("column emptied",), is_tested=True),
    Check("rows_gone", "refuse", "rows of the parent that are gone", ("rows gone",), 0.2, "share of the parent's rows"),
    Check("key_reuse", "quarantine", "ids that name another thing than before", ("key reused",), names_rows=True),
    Check("missing_cells", "warn", "missing cells", ("missing share moved",), 0.05, CHANGE_OF_SHARE, is_tested=True),
    Check("distributions", "warn", "numbers, times and levels distributed otherwise", ("distribution moved",), 0.2, "PSI", True),
    Check("new_levels", "warn", "categories that no row had before", ("new level",), 0.01, "share of the new rows", True),
    Check("lost_levels", "warn", "categories that come no longer", ("lost level",), 0.01, "share of the rows before", True),
    Check("row_counts", "warn", "many more or fewer new rows than usual", ("row count moved",), 1.5, "times the usual", True),
    Check("freshness", "warn", "tables that nothing new came into", ("stale table",), 2.0, "times the longest pause in a year"),
    Check("known_after_end", "warn", "rows known after the version's end", ("known after the end",)),
    Check("rows_changed", "warn", "a column changed throughout", ("rows changed",), 0.2, "share of the parent's rows"),
    Check("rows_set_apart", "warn", "many rows that came are broken", ("rows set apart",), 0.05, "share of the rows that came"),
    Check("units", "warn", "values in another unit", ("unit change",)),
    Check(
        "duplicates",
        "warn",
        "the same thing twice",
        ("duplicate row", "duplicate row under a new id", "version without a change"),
    ),
    Check("sensor_drift", "warn", "sensors that drift by themselves", ("sensor drift", "drift of a kind")),
    Check("wear", "note", "sensors that drift before a failure, which is what they are for", ("drift before a failure",)),
    Check("dates", "warn", "dates and other values that cannot be so", ("dates disagree", "value out of contract")),
    Check("references", "warn", "ids that refer to nothing", ("unknown reference",)),
    Check(
        "known_at",
        "warn",
        "rows known before their event, or changed later under the same known_at",
        ("known_at before the event", "value overwritten", "filled after the event"),
    ),
    Check("known_at_load", "note", "tables known at the moment of loading", ("known at load",)),
)
"""All checks with their defaults. A new one is one line here and the function that finds it."""


@dataclass(frozen=True)
class QualityRules:
    """The checks as they are to be made. `ignored` are tables and `table.column`s of which nothing is said.

    `alpha`: the chance of any false alarm on a sound version over all that is tested.
    """

    checks: tuple[Check, ...] = CHECKS
    alpha: float = ALPHA
    ignored: frozenset[str] = field(default_factory=frozenset)

    def find_check(self, kind: FindingKind) -> Check:
        """The check that such findings belong to."""
        return next(check for check in self.checks if kind in check.kinds)

    def get_limit(self, kind: FindingKind) -> float:
        """From which size on such findings are told; 0 where all are."""
        return self.find_check(kind).limit or 0.0

    def rate_finding(self, finding: Finding) -> Level:
        """The level of a finding; "off" where nothing is to be said of it. What is not grave refuses nothing."""
        if not self.ignored.isdisjoint((finding.table, f"{finding.table}.{finding.column}")):
            return "off"
        level = self.find_check(finding.what).level
        return "warn" if level in ("refuse", "quarantine") and not finding.grave else level

    def with_check(self, name: str, level: Level | None = None, limit: float | None = None) -> "QualityRules":
        """The same rules with another level or limit of one check."""
        checks = (
            replace(check, level=level or check.level, limit=check.limit if limit is None else limit)
            if check.name == name
            else check
            for check in self.checks
        )
        return replace(self, checks=tuple(checks))

    def select_findings(self, tests: Sequence[MovementTest]) -> tuple[Finding, ...]:
        """What of the adjusted tests is unlikely by chance and large enough to be told."""
        certain = [t for t in tests if t.p_adjusted <= self.alpha and t.effect >= self._get_test_limit(t)]
        return tuple(Finding(t.table, t.column, t.what, f"{t.evidence[:-1]}; {describe_chance(t.p_adjusted)}.") for t in certain)

    def _get_test_limit(self, test: MovementTest) -> float:
        return self.get_limit("missing share moved" if test.what == "column emptied" else test.what)


def describe_chance(p: float) -> str:
    """An adjusted p in words.

    >>> describe_chance(0.0034), describe_chance(0.0)
    ('by chance in 0.0034 of sound versions', 'by chance in less than 1e-12 of sound versions')
    """
    return f"by chance in {'less than 1e-12' if p < 1e-12 else f'{p:.2g}'} of sound versions"
