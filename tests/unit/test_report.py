"""The report: whole in one file, loads nothing, says what matters, and is harmless whatever a column is called."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tests.decisions import meet_challenge
from tests.trained import trained

from epic22.bootstrap.training import TrainingResult
from epic22.cli.training_result import print_training
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.coverage import CoverageTable
from epic22.core.evaluation.crossval import EarlyExit
from epic22.core.evaluation.fairness import PROMOTED
from epic22.core.evaluation.savings import Saving
from epic22.core.selection.column_plan import ColumnPlan
from epic22.core.serialization import to_json
from epic22.core.statistics import Interval
from epic22.core.task import Kind
from epic22.reports.figures.explanation import draw_dependence, draw_explanation_figures, list_explanation_figures
from epic22.reports.figures.style import create_axes, render_pngs, render_svg
from epic22.reports.figures.training import draw_figures, list_figures
from epic22.reports.html.training import render_report, write_report
from epic22.reports.json import VIEWS
from epic22.services.assess import Savings
from epic22.services.prediction_intervals import PredictionIntervals
from epic22.services.training_run import RowRun, SplitComparison

pytestmark = pytest.mark.slow

KINDS: list[Kind] = ["binary", "multiclass", "regression"]
NO_PICTURES: dict[str, Figure] = {}
"""For a page of which only the words are looked at."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, RowRun]:
    return {kind: trained(tmp_path_factory.mktemp(kind), kind)[0] for kind in KINDS}


@pytest.fixture(scope="module")
def pages(runs: dict[Kind, RowRun]) -> dict[Kind, str]:
    """The report of each run, drawn once."""
    return {kind: render_report(run) for kind, run in runs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_whole_and_loads_nothing(runs: dict[Kind, RowRun], pages: dict[Kind, str], kind: Kind) -> None:
    page = pages[kind]
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|<script|<link|@import|url\((?!#)|src=", outside)
    assert page.count("<svg") == len(list_figures(runs[kind])) + len(list_explanation_figures(runs[kind].explanation))
    assert len(set(re.findall(r' id="([^"]+)"', page))) == len(re.findall(r' id="([^"]+)"', page))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_run_gives_the_same_bytes(runs: dict[Kind, RowRun], pages: dict[Kind, str], kind: Kind) -> None:
    assert render_report(runs[kind]) == pages[kind]


def test_column_names_are_text_and_never_markup(pages: dict[Kind, str]) -> None:
    page = pages["binary"]
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_it_says_who_won_by_how_much_and_what_doing_nothing_scores(runs: dict[Kind, RowRun], pages: dict[Kind, str]) -> None:
    run, page = runs["binary"], pages["binary"]
    for said in (
        run.version.model_hash,
        run.data_version.id,
        "than the constant, which is certain.",
        "doing nothing has",
    ):
        assert said in page
    assert all(score.metric in page.replace("<wbr>", "") for score in run.champion.scores)


def test_a_champion_behind_the_constant_is_worse_by_an_amount_above_zero(
    runs: dict[Kind, RowRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs["binary"]
    behind = replace(run.verdicts[0], against="constant", difference=Interval(-0.0261, -0.07, 0.01), enough_data=False)
    behind_run = replace(run, verdicts=(behind,))
    words = "0.0261 worse (-0.01 … 0.07"
    assert f"{words}) than the constant, which is not certain." in render_report(behind_run, NO_PICTURES)
    print_training(TrainingResult(behind_run, Path("report.html"), ""))
    assert words in " ".join(capsys.readouterr().out.split())


def test_a_plan_that_tried_no_change_of_columns_says_so_instead_of_an_empty_table(
    runs: dict[Kind, RowRun], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ColumnPlan(FeatureRecipe(), (), (), "log loss", 0.1565, 0.1565, 3, 900, 3)
    run = replace(runs["binary"], column_plan=plan)
    print_training(TrainingResult(run, Path("report.html"), ""))
    assert "Columns: as they come; no change of them was tried." in capsys.readouterr().out
    page = render_report(run, NO_PICTURES)
    assert "No change of them was tried." in page
    assert '<th scope="col">gain</th>' not in page


def test_no_path_of_the_machine_is_told(runs: dict[Kind, RowRun], pages: dict[Kind, str]) -> None:
    assert str(Path(runs["binary"].data_version.sources[0][0]).parent) not in pages["binary"]


def test_a_provisional_model_and_forced_rows_are_told_at_the_top(runs: dict[Kind, RowRun]) -> None:
    run = runs["binary"]
    forced = replace(
        run,
        version=replace(run.version, status="provisional"),
        warnings=("rows were dealt at random",),
        split_comparisons=(SplitComparison("roc_auc", 0.99, 0.85, "by_group", "whole days"),),
    )
    page = render_report(forced, NO_PICTURES)
    assert page.index("Provisional.") < page.index("Leaderboard")
    assert page.index("rows were dealt at random") < page.index("Leaderboard")
    assert "Random rows beside honest folds" in page


def test_the_boards_have_a_column_a_family_and_fit_the_page(runs: dict[Kind, RowRun], pages: dict[Kind, str]) -> None:
    run, page = runs["binary"], pages["binary"]
    board, verdicts = (page.partition(f"<h2>{title}</h2>")[2].partition("</table>")[0] for title in ("Leaderboard", "Verdicts"))
    assert board.partition("</tr>")[0].count("<th ") == 1 + len(run.leaderboard)
    assert board.count('<th scope="row">') == len(run.champion.scores) + 2
    assert verdicts.partition("</tr>")[0].count("<th ") == 4
    assert all(f'<span class="interval">{verdict.method}</span></td></tr>' in verdicts for verdict in run.verdicts)


def test_the_report_of_a_challenger_says_who_goes_on_serving_and_how_it_would_come_to(runs: dict[Kind, RowRun]) -> None:
    decision = meet_challenge(PROMOTED, Challenge("3", False, "it cannot be compared with version 3"))
    page = render_report(replace(runs["binary"], promotion=decision), NO_PICTURES)
    assert "It cannot be compared with version 3. Version 3 goes on serving; <code>epic22 promote" in page
    assert page.index("goes on serving") < page.index("Leaderboard")


def test_the_report_of_a_version_that_does_not_serve_calls_no_family_the_champion_that_answers(
    runs: dict[Kind, RowRun], pages: dict[Kind, str]
) -> None:
    decision = meet_challenge(PROMOTED, Challenge("3", False, "it cannot be compared with version 3"))
    page = render_report(replace(runs["binary"], promotion=decision), NO_PICTURES)
    assert '<span class="tag champion">chosen</span>' in page
    assert "On this page the champion is the model that this training chose." in page
    assert ">champion</span>" not in page
    assert '<span class="tag champion">champion</span>' in pages["binary"]


def test_a_page_whose_words_are_explained_at_its_end_says_so_at_its_top(pages: dict[Kind, str]) -> None:
    page = pages["binary"]
    assert page.index('<a href="#words">') < page.index("<h1>") < page.index('id="words"')


def test_families_whose_lines_have_one_colour_differ_by_the_style_of_the_line(runs: dict[Kind, RowRun]) -> None:
    run = runs["binary"]
    assert len([e for e in run.leaderboard if e is not run.champion and e.family != "constant"]) >= 1
    twin = replace(next(e for e in run.leaderboard if e is not run.champion and e.family != "constant"), family="incumbent")
    figures = draw_figures(replace(run, leaderboard=(*run.leaderboard, twin)))
    for name in ("fold_scores", "precision_recall"):
        named = [line for line in figures[name].axes[0].lines if not str(line.get_label()).startswith("_")]
        looks = [(line.get_color(), line.get_linestyle()) for line in named]
        assert len(set(looks)) == len(looks) == len(run.leaderboard) + 1


def test_a_fraction_has_its_values_in_per_cent_under_its_picture(runs: dict[Kind, RowRun]) -> None:
    explanation = runs["binary"].explanation
    assert explanation is not None
    numbers = [one for one in explanation.dependences if one.column.dtype == "float" and one.bins]
    shares = replace(numbers[0], column=replace(numbers[0].column, unit="fraction"))
    _, axes = create_axes()
    draw_dependence(explanation, axes, shares)
    assert axes.get_xlabel() == "per cent"
    assert axes.xaxis.get_major_formatter()(0.25) == "25 %"


def test_a_month_that_fell_short_is_told_above_its_chart_and_table(runs: dict[Kind, RowRun]) -> None:
    run = runs["regression"]
    coverage = run.intervals.coverage
    assert coverage is not None
    good = replace(coverage.overall, name="2024-01")
    bad = replace(good, name="2024-02", share=Interval(0.6, 0.5, 0.7), short=True)
    timed = replace(coverage, tables=(*coverage.tables, CoverageTable("month", (good, bad))))
    drifted = replace(run, intervals=replace(run.intervals, coverage=timed))
    page = render_report(drifted)
    assert (
        page.index("Coverage fell short in 2024-02: 60.0%") < page.index("Coverage by month") < page.index("By month: 2 groups")
    )
    assert {"coverage_by_group", "coverage_by_month"} <= {picture.name for picture in list_figures(drifted)}
    assert to_json(drifted, VIEWS)["coverage"]["covered"]["short_months"] == ["2024-02"]


def test_what_could_not_be_judged_is_told_in_place_of_a_chart(runs: dict[Kind, RowRun]) -> None:
    unjudged = replace(runs["binary"], intervals=PredictionIntervals(note="no fold of Rents could be judged"))
    assert "No fold of Rents could be judged." in render_report(unjudged, NO_PICTURES)
    assert "coverage_by_group" not in {picture.name for picture in list_figures(unjudged)}
    assert to_json(unjudged, VIEWS)["coverage"]["covered"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_as_json_says_what_was_promised_and_what_was_covered(runs: dict[Kind, RowRun], kind: Kind) -> None:
    told = json.loads(json.dumps(to_json(runs[kind], VIEWS)["coverage"], allow_nan=False))
    assert (told["interval"] is None) == (kind != "regression")
    assert (told["sets"] is None) == (kind == "regression")
    overall = told["covered"]["overall"]["coverage"]
    assert overall["low"] < 0.9 < overall["high"]
    assert told["covered"]["worst"]["off"] == pytest.approx(told["covered"]["worst"]["coverage"]["value"] - 0.9)
    by = {table["by"] for table in told["covered"]["tables"]}
    assert by == ({"predicted y"} if kind == "regression" else {"y", "largest probability"})


def test_an_undefined_score_is_a_dash(runs: dict[Kind, RowRun]) -> None:
    run = runs["binary"]
    nan = float("nan")
    scores = tuple(replace(s, value=nan, low=nan, high=nan) if s.metric == "f1" else s for s in run.champion.scores)
    champion = replace(run.champion, scores=scores)
    page = render_report(replace(run, champion=champion, leaderboard=(champion, *run.leaderboard[1:])), NO_PICTURES)
    assert '<td class="number">–</td>' in page
    assert "–<span" not in page


def test_it_is_written_whole_over_an_old_one(runs: dict[Kind, RowRun], pages: dict[Kind, str], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(runs["binary"], path)
    assert path.read_text() == pages["binary"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_is_drawn_for_page_and_tracker(runs: dict[Kind, RowRun], kind: Kind) -> None:
    figures = draw_figures(runs[kind])
    for picture in list_figures(runs[kind]):
        afresh = render_svg(picture.draw(runs[kind]), picture.name)
        assert "var(--" in afresh
        assert render_svg(figures[picture.name], picture.name) == afresh
    drawn = render_pngs(figures)
    assert set(drawn) == {picture.name for picture in list_figures(runs[kind])}
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_champion_looks_at_is_told_with_intervals_and_pictures(
    runs: dict[Kind, RowRun], pages: dict[Kind, str], kind: Kind
) -> None:
    found, page = runs[kind].explanation, pages[kind]
    assert found is not None
    assert page.index("Leaderboard") < page.index("What the champion looks at") < page.index("What the audit found")
    assert all(warning.split(" ")[0] in page for warning in found.warnings)
    drawn = render_pngs(draw_explanation_figures(found))
    assert list(drawn)[:2] == ["importance", "permutation"]
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())
    assert not set(drawn) & {picture.name for picture in list_figures(runs[kind])}
    assert all(part.fitted is None for one in runs[kind].leaderboard for part in one.fold_predictions)


def test_without_an_explanation_the_old_bars_are_shown(runs: dict[Kind, RowRun]) -> None:
    bare = replace(runs["binary"], explanation=None)
    page = render_report(bare)
    assert "What the champion looks at" not in page
    assert "importance" in {picture.name for picture in list_figures(bare)}


def test_who_left_early_is_shown_with_the_folds_that_it_saw(runs: dict[Kind, RowRun], capsys: pytest.CaptureFixture[str]) -> None:
    run = runs["binary"]
    left = replace(run.leaderboard[-1], early_exit=EarlyExit(5, len(run.plan.folds), "boosting", 1e-6))
    run = replace(run, leaderboard=(*run.leaderboard[:-1], left))
    words = f"left early, after 5 of {len(run.plan.folds)} folds: certainly worse than boosting"
    assert words in render_report(run, NO_PICTURES)
    assert to_json(left, VIEWS)["early_exit"]["words"] == words
    assert "early_exit" not in to_json(run.leaderboard[0], VIEWS)
    print_training(TrainingResult(run, Path("report.html"), ""))
    assert f"{left.family} {words}." in " ".join(capsys.readouterr().out.split())


def test_a_champion_among_several_that_cannot_be_told_apart_says_that_its_intervals_allow_for_it(
    runs: dict[Kind, RowRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs["binary"]
    for n in (1, 3):
        champion = replace(run.champion, scores=tuple(replace(score, n_choices=n) for score in run.champion.scores))
        chosen = replace(run, champion=champion, leaderboard=(champion, *run.leaderboard[1:]))
        assert ("The champion was chosen among 3 that" in render_report(chosen, NO_PICTURES)) == (n == 3)
        assert to_json(chosen, VIEWS)["champion"]["chosen_among"] == n
        print_training(TrainingResult(chosen, Path("report.html"), ""))
        assert ("The champion was chosen among 3" in " ".join(capsys.readouterr().out.split())) == (n == 3)


def test_a_list_of_nobody_has_no_share_that_was_right(runs: dict[Kind, RowRun]) -> None:
    run, nan = runs["binary"], float("nan")
    nothing = Interval(0.0, 0.0, 0.0)
    nobody = Saving("calibrated", nothing, nothing, 0, 0, nan, nan, None, ())
    assert run.assessment is not None
    task = replace(run.task, costs={"miss": 1500.0, "false_alarm": 150.0})
    assessment = replace(run.assessment, savings=Savings(nobody))
    page = render_report(replace(run, task=task, assessment=assessment), NO_PICTURES)
    assert "saved a year" in page
    assert "nan%" not in page
    assert page.count('<td class="number">–</td>') >= 2
