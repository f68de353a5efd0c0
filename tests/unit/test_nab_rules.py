"""The Numenta benchmark's rules, against scores worked out by hand."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from epic22.core.task import Array

PATH = Path(__file__).parents[2] / "benchmarks" / "nab.py"
ROWS, WINDOW = 1000, (500, 599)


def benchmark() -> ModuleType:
    """The benchmark, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("nab_benchmark", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


NAB = benchmark()


def normalised(detected: list[int], windows: tuple[tuple[int, int], ...] = (WINDOW,)) -> float:
    """The score of detections at these rows, in one series."""
    score = np.where(np.isin(np.arange(ROWS), detected), 1.0, 0.0)
    series = NAB.Series("folder", "name", np.zeros(ROWS), windows, 288)
    return float(NAB.sweep([series], [score]).normalised(1.0))


@pytest.mark.parametrize(
    ("position", "worth"), [(-1.0, 0.98661), (-0.5, 0.84828), (0.0, 0.0), (1.0, -0.98661), (3.0, -1.0), (3.1, -1.0), (9.0, -1.0)]
)
def test_the_scaled_sigmoid_has_the_published_values(position: float, worth: float) -> None:
    assert NAB.scaled_sigmoid(position) == pytest.approx(worth, abs=1e-5)


@pytest.mark.parametrize(("rows", "probation"), [(1000, 150), (1007, 151), (4032, 604), (5000, 750), (22695, 750)])
def test_the_probation_is_15_percent_and_at_most_750_rows(rows: int, probation: int) -> None:
    assert NAB.probation(rows) == probation


def test_the_perfect_detector_scores_100_and_the_null_detector_0() -> None:
    assert normalised([500]) == pytest.approx(100)
    series = NAB.Series("folder", "name", np.zeros(ROWS), (WINDOW,), 288)
    assert NAB.sweep([series], [np.zeros(ROWS)]).normalised(2.0) == 0.0
    assert NAB.sweep([series], [np.zeros(ROWS)]).normalised(0.5) == 0.0


def test_earlier_in_the_window_is_worth_more_and_the_last_row_still_something() -> None:
    left, middle, right = (normalised([row]) for row in (500, 550, 599))
    assert left > middle > right > 50
    by_hand = 50 + 50 * (2 / (1 + math.exp(-5 * 0.5)) - 1) / (2 / (1 + math.exp(-5)) - 1)
    assert middle == pytest.approx(by_hand)


def test_further_detections_in_a_window_count_for_nothing() -> None:
    assert normalised([520, 521, 599]) == normalised([520])


def test_a_detection_before_all_windows_costs_its_whole_weight() -> None:
    assert normalised([300, 500]) == pytest.approx(100 - 100 * 0.11 / 2)


def test_a_detection_soon_after_a_window_costs_less_than_one_long_after() -> None:
    soon, late = (normalised([500, row]) for row in (600, 998))
    assert soon == pytest.approx(100 + 50 * 0.11 * (2 / (1 + math.exp(5 / 99)) - 1))
    assert late == pytest.approx(100 - 50 * 0.11)


def test_rows_of_the_probation_are_not_scored() -> None:
    assert normalised([0, 149, 500]) == pytest.approx(100)
    assert normalised([0, 150, 500]) < 100


def test_the_nearest_window_before_decides_on_the_cost() -> None:
    windows = ((200, 299), (500, 599))
    assert normalised([200, 500, 610], windows) == pytest.approx(100 + 25 * 0.11 * NAB.scaled_sigmoid(11 / 99))


def brute(series: list[tuple[Array, tuple[tuple[int, int], ...]]], threshold: float) -> float:
    """The raw score by the wording of the rules, one row after the other."""
    total = 0.0
    for score, windows in series:
        start = min(math.floor(0.15 * len(score)), 750)
        hits = [t for t in range(start, len(score)) if score[t] >= threshold]
        for first, last in windows:
            inside = [t for t in hits if first <= t <= last]
            place = -(last - inside[0] + 1) / (last - first + 1) if inside else 0.0
            total += NAB.scaled_sigmoid(place) / NAB.scaled_sigmoid(-1.0) if inside else -1.0
        for t in hits:
            if not any(first <= t <= last for first, last in windows):
                before = [(first, last) for first, last in windows if last < t]
                total += 0.11 * (NAB.scaled_sigmoid((t - before[-1][1]) / (before[-1][1] - before[-1][0])) if before else -1.0)
    return total


def test_the_sweep_agrees_with_the_rules_row_by_row_at_every_threshold() -> None:
    rng = np.random.default_rng(0)
    made: list[tuple[Array, tuple[tuple[int, int], ...]]] = [
        (np.round(rng.uniform(size=n), 1), windows)
        for n, windows in ((300, ((60, 90), (200, 230))), (120, ()), (200, ((50, 69),)))
    ]
    swept = NAB.sweep([NAB.Series("f", "n", s, w, 1) for s, w in made], [s for s, _ in made])
    assert len(swept.thresholds) == 12
    for threshold, total in zip(swept.thresholds, swept.totals, strict=True):
        assert total == pytest.approx(brute(made, float(threshold)))


def test_a_threshold_between_two_scores_detects_what_reaches_it() -> None:
    series = NAB.Series("f", "n", np.zeros(ROWS), (WINDOW,), 1)
    score = np.zeros(ROWS)
    score[500], score[700] = 0.9, 0.5
    swept = NAB.sweep([series], [score])
    assert swept.best() == 0.9
    assert swept.normalised(0.7) == pytest.approx(100)
    assert swept.normalised(0.95) == 0.0


def test_the_windowed_gaussian_scores_the_tail_of_what_it_has_seen() -> None:
    values = np.array([1.0, 3.0, 2.0, 4.0])
    found = NAB.windowed_gaussian(NAB.Series("f", "n", values, (), 1))
    by_hand = 1 - 0.5 * math.erfc((4 - 2) / math.sqrt(2 / 3) / math.sqrt(2))
    assert found.tolist() == pytest.approx([0.0, 1.0, 0.5, by_hand])


def test_the_windowed_gaussian_moves_on_by_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NAB, "GAUSSIAN_WINDOW", 4)
    monkeypatch.setattr(NAB, "GAUSSIAN_STEP", 2)
    values = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 20.0, 5.0])
    found = NAB.windowed_gaussian(NAB.Series("f", "n", values, (), 1))
    old, new = values[:4], values[2:6]
    assert found[5] == pytest.approx(1 - 0.5 * math.erfc((20 - old.mean()) / old.std() / math.sqrt(2)))
    assert found[6] == pytest.approx(1 - 0.5 * math.erfc((new.mean() - 5) / new.std() / math.sqrt(2)))


def test_without_the_data_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EPIC22_PUBLIC_DATA", str(tmp_path))
    assert NAB.main() == 0
    assert "EPIC22_PUBLIC_DATA" in capsys.readouterr().err
