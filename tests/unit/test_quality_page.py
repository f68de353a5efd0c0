"""The page of a version's quality: pictures of what it says, names escaped, nothing loaded from anywhere."""

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.core.errors import LakeError
from epic22.core.quality.finding import Finding
from epic22.core.quality.movement_tests import Histogram, MovementTest
from epic22.reports.figures.quality import list_distribution_figures, list_missing, list_reasons
from epic22.reports.html.quality import name_outcome, render_quality, write_quality_report
from epic22.services.quality import RatedFinding, VersionQuality, assess_quality

pytestmark = pytest.mark.slow


@cache
def two_versions() -> VersionQuality:
    """A second version in which one row is broken and one unit names another property."""
    folder = Path(mkdtemp())
    lake, tables = Lake(folder / "lake"), small_tables()
    take_in(lake, write_tables(folder / "one", tables))
    units = tables["units"].with_columns(known_at=datetime(2022, 6, 1)).head(2)
    moved = units.with_columns(property_id="P2" + units["property_id"].str.slice(2))
    broken = units.head(1).with_columns(unit_id=units["unit_id"].head(1) + "x", property_id=units["property_id"].head(1) + "?")
    take_in(lake, write_tables(folder / "two", {"units": moved.vstack(broken)}))
    return assess_quality(lake)


def test_the_page_shows_what_was_found_and_loads_nothing() -> None:
    quality = two_versions()
    text = render_quality(quality)
    assert "key reused" in text
    assert text.count("<svg") >= 4
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|url\((?!#)", text)
    assert "2 rows" not in name_outcome(quality)
    assert name_outcome(quality).startswith("Data version 2: ")


def test_the_page_of_a_first_version_speaks_of_no_comparison_and_limits_are_in_words() -> None:
    text = render_quality(VersionQuality(**{**vars(two_versions()), "tests": ()}))
    assert "Nothing was compared with a version before" in text
    assert "comparisons were made" not in text
    assert "<td>20 % of the parent&#39;s rows</td>" in text


def test_the_same_quality_gives_the_same_page() -> None:
    assert render_quality(two_versions()) == render_quality(two_versions())


def test_a_name_out_of_the_data_is_escaped() -> None:
    quality = two_versions()
    finding = RatedFinding(Finding("units", "<b>x</b>", "new level", "<i>y</i>"), "new_levels", "warn")
    text = render_quality(VersionQuality(**{**vars(quality), "findings": (finding,)}))
    assert "&lt;i&gt;y" in text
    assert "<i>y" not in text


def test_what_is_drawn_is_what_is_stored() -> None:
    quality = two_versions()
    units = next(table for table in quality.tables if table.name == "units")
    assert units.rows_by_version == ((1, 12), (2, 14))
    assert units.quarantined == {"property_id": 1} or sum(units.quarantined.values()) == 1
    assert sum(rows for _, rows in list_reasons(quality)) == 1
    missing = {name: (before, now) for name, before, now in list_missing(quality)}
    assert missing["units.floor"] == (1.0, 1.0)


def test_a_report_is_written_whole_over_an_older_one(tmp_path: Path) -> None:
    place = tmp_path / "quality.html"
    place.write_text("old", encoding="utf-8")
    write_quality_report(place, two_versions())
    assert place.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["quality.html"]


def test_a_restored_version_has_lost_the_rows_since(tmp_path: Path) -> None:
    lake, tables = Lake(tmp_path / "lake"), small_tables()
    few = {name: tables[name] for name in ("properties", "units")}
    take_in(lake, write_tables(tmp_path / "one", few | {"units": tables["units"].head(3)}))
    take_in(lake, write_tables(tmp_path / "two", few))
    lake.restore(1, "tester")
    quality = assess_quality(lake)
    assert [(one.finding.table, one.finding.what, one.level) for one in quality.alarms] == [("units", "rows gone", "refuse")]
    assert quality.is_refused
    assert not assess_quality(lake, 2).is_refused
    with pytest.raises(LakeError, match="no data version 9; there are 1 to 3"):
        assess_quality(lake, 9)


def test_what_the_parent_has_too_is_a_note(tmp_path: Path) -> None:
    lake, tables = Lake(tmp_path / "lake"), small_tables()
    late = {name: frame for name, frame in tables.items() if name in ("properties", "units", "tenants", "leases", "messages")}
    late["messages"] = late["messages"].with_columns(sent_at=datetime(2020, 1, 1), known_at=datetime(2021, 1, 1))
    take_in(lake, write_tables(tmp_path / "one", late))
    assert [(one.finding.what, one.level) for one in assess_quality(lake).alarms] == [("dates disagree", "warn")]
    take_in(
        lake, write_tables(tmp_path / "two", {"properties": tables["properties"].with_columns(known_at=datetime(2022, 1, 1))})
    )
    quality = assess_quality(lake)
    assert [one.level for one in quality.findings if one.finding.table == "messages"] == ["note"]
    assert [one.is_standing for one in quality.findings if one.finding.table == "messages"] == [True]


def test_a_distribution_that_did_not_move_has_no_picture_and_one_that_chance_explains_is_not_called_moved() -> None:
    quality, histogram = two_versions(), Histogram(("a", "b"), (0.5, 0.5), (0.4, 0.6))
    tests = [
        MovementTest("units", "floor", "distribution moved", effect, p, "floor is distributed otherwise", p, histogram)
        for effect, p in ((0.0, 1.0), (0.1, 0.4), (0.9, 1e-9))
    ]
    shown = list_distribution_figures(VersionQuality(**{**vars(quality), "tests": tuple(tests)}))
    assert [("distributed otherwise" in one.caption, "chance explains" in one.caption) for one in shown] == [
        (True, False),
        (False, True),
    ]
