"""What a panel's training shows beside its scores: coverage of the intervals, skill of each series, values out of line."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.decisions import meet_challenge
from tests.forecast_runs import forecast_run, usual_run
from tests.panels import lines

from epic22.bootstrap.python_api import collect_scores
from epic22.bootstrap.training import TrainingResult
from epic22.cli.forecast_result import print_forecast
from epic22.core.artifact.panel_model import SeriesRequest, forecast_series
from epic22.core.evaluation.adaptive_conformal import StretchedState
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.fairness import PROMOTED
from epic22.reports.html.forecast import headline, lead, render_forecast_report
from epic22.services.forecast_findings import (
    GROUPS,
    compute_coverage_by_origin,
    compute_forecast_coverage,
    compute_series_skill,
)
from epic22.services.recent_anomalies import find_recent_anomalies
from epic22.services.training_run import SeriesRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run() -> SeriesRun:
    return usual_run()[0]


def test_of_a_forecast_the_python_call_gives_the_scores_pooled_over_horizons_and_not_those_of_the_last(run: SeriesRun) -> None:
    scores, skill = collect_scores(run.champion), run.champion.score("skill")
    assert list(scores) == list(dict.fromkeys(one.metric for one in run.champion.scores))
    assert (scores["skill"].value, scores["skill"].low) == (skill.value, skill.low)
    assert scores["skill"].value != run.champion.score("skill", run.plan.horizon).value


def test_the_coverage_of_the_whole_lies_between_those_of_its_parts(run: SeriesRun) -> None:
    coverage = compute_forecast_coverage(run)
    whole = coverage.kinds[0]
    for parts in (
        [one.coverage for one in coverage.by_origin],
        [one.coverage for one in coverage.by_group],
        list(whole.coverage_by_year),
    ):
        assert 0 <= min(parts) <= whole.coverage <= max(parts) <= 100


def test_every_test_origin_and_every_series_is_counted_once(run: SeriesRun) -> None:
    coverage = compute_forecast_coverage(run)
    assert [one.origin for one in coverage.by_origin] == [run.frequency.label(int(origin)) for origin in run.plan.test]
    assert sum(one.series for one in coverage.by_group) == len(set(run.examples.entity[run.test]))
    assert {one.group for one in coverage.by_group} <= set(GROUPS)


def test_the_champion_is_shown_adaptive_and_calibrated_once_and_every_other_family_by_its_own_interval(run: SeriesRun) -> None:
    kinds = [one.kind for one in compute_forecast_coverage(run).kinds]
    champion = run.champion.family
    others = [f"{one.family}, own" for one in run.leaderboard if one.family != champion]
    assert kinds == [f"{champion}, adaptive", f"{champion}, calibrated once", *others]


def test_intervals_without_end_cover_everything(run: SeriesRun) -> None:
    far = np.array([-1e12, -1e6, 0.0, 1e6, 1e12])
    endless = replace(run.adapted, quantiles=np.broadcast_to(far, run.adapted.quantiles.shape))
    assert {one.coverage for one in compute_coverage_by_origin(run, endless)} == {100.0}


def test_series_stand_from_the_worst_skill_to_the_best_and_a_perfect_forecast_has_skill_one(run: SeriesRun) -> None:
    ranked = compute_series_skill(run)
    assert {one.series for one in ranked} == set(run.examples.entity[run.test].astype(str))
    assert [one.skill for one in ranked] == sorted(one.skill for one in ranked)
    median = run.champion.forecasts.quantiles.copy()
    median[run.test] = run.rows.Y[:, :, None]
    perfect = replace(run.champion, forecasts=replace(run.champion.forecasts, quantiles=median))
    assert {round(one.skill, 9) for one in compute_series_skill(replace(run, champion=perfect))} == {1.0}


def test_a_jump_in_the_last_period_is_out_of_line_and_stands_first(run: SeriesRun) -> None:
    history = run.bundle.history
    jumped = history.lines.copy()
    jumped[history.line[2], history.end[2] - 1] *= 10
    bundle = replace(run.bundle, history=replace(history, lines=jumped))
    anomalies = find_recent_anomalies(replace(run, bundle=bundle), limit=5)
    newest = anomalies[0]
    assert newest.series == str(history.entity[2])
    assert newest.expected.value > newest.expected.high
    assert all(not one.expected.low <= one.expected.value <= one.expected.high for one in anomalies)
    assert len(anomalies) <= 5
    assert find_recent_anomalies(replace(run, bundle=bundle), limit=0) == ()


def test_boosting_that_kept_no_tree_from_the_test_origins_is_named_beside_the_regression_that_it_equals(run: SeriesRun) -> None:
    (equal,) = run.equals
    assert (equal.family, equal.equals, equal.everywhere) == ("pooled_boosting", "pooled_linear", False)
    assert "kept no tree" in equal.words
    assert "pooled_boosting" in run.members


def test_the_level_is_stated_only_at_horizons_where_it_is_supported_and_the_test_bore_it_out(run: SeriesRun) -> None:
    few = replace(run.adapted, state=replace(run.adapted.state, stretches=(12.0, 4.0, 2.5), coverage=(60.0, 80.0, 80.0)))
    coverage = compute_forecast_coverage(replace(run, adapted=few))
    assert [one.note is None for one in coverage.by_horizon] == [False, True, False]
    assert coverage.sentence == (
        "80 % is stated at h = 2: at h = 1, it held only 60 % of the test's values; "
        "at h = 3, 2.5 independent stretches of 3 months support 71 % at most."
    )


def test_what_the_bundle_says_of_its_intervals_is_what_the_test_showed(run: SeriesRun) -> None:
    shown = compute_forecast_coverage(run).by_horizon
    assert run.bundle.state.coverage == pytest.approx([one.coverage for one in shown])
    notes = [run.bundle.state.explain_level(one.horizon, run.frequency) for one in shown]
    assert notes == [one.note for one in shown]


def test_an_answer_says_of_which_interval_no_level_is_stated(run: SeriesRun) -> None:
    state = StretchedState(run.bundle.state.factors, (12.0, 4.0, 2.5), (80.0, 80.0, 80.0))
    bundle = replace(run.bundle, state=state)
    (answer, *_) = forecast_series(run.version, bundle, [SeriesRequest(str(bundle.history.entity[0]))])
    assert [value.interval_note for value in answer.values] == [
        None,
        None,
        "2.5 independent stretches of 3 months support 71 % at most",
    ]


@pytest.mark.slow
def test_the_report_of_a_challenger_says_which_version_goes_on_serving(run: SeriesRun) -> None:
    decision = meet_challenge(PROMOTED, Challenge("3", False, "it cannot be compared with version 3"))
    page = render_forecast_report(replace(run, promotion=decision), {})
    assert "It cannot be compared with version 3. Version 3 goes on serving; <code>epic22 promote" in page


@pytest.mark.slow
def test_no_series_is_among_the_best_and_the_worst(run: SeriesRun) -> None:
    table = render_forecast_report(run, {}).partition("<h2>Series</h2>")[2].partition("</table>")[0]
    names = re.findall(r'<th scope="row">([^<]*)</th>', table)
    assert names
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_a_headline_without_stretches_for_an_interval_names_none(run: SeriesRun, tmp_path: Path) -> None:
    short = forecast_run(tmp_path, lines(series=4, periods=16), ("naive", "drift"), holdout=4)[0]
    assert "(no interval) against the drift" in headline(short)
    assert "too few for an interval." in lead(short)
    assert "–" not in headline(short)
    assert "no interval" not in headline(run)


def test_no_family_and_no_figure_of_a_panel_is_broken_on_80_columns(
    run: SeriesRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_forecast(TrainingResult(run, Path("report.html"), ""))
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    names = [e.family for e in run.leaderboard]
    assert [row[0].strip() for row in rows] == [*names, *names]
    assert all(cell.strip() for row in rows for cell in row)


def test_the_coverage_that_is_shown_is_of_the_series_that_have_moved_and_that_of_groups_of_all(run: SeriesRun) -> None:
    rows, quantiles = run.rows, run.adapted.quantiles[run.test]
    lively = run.examples.entity[run.test] != run.examples.entity[0]
    shown = compute_forecast_coverage(replace(run, rows=replace(rows, is_lively=lively)))
    inside = (quantiles[:, :, 0] <= rows.Y) & (quantiles[:, :, -1] >= rows.Y)
    assert shown.kinds[0].coverage == pytest.approx(100 * inside[lively].mean())
    assert [one.coverage for one in shown.by_horizon] == pytest.approx((100 * inside[lively].mean(axis=0)).tolist())
    assert shown.by_group == compute_forecast_coverage(run).by_group
