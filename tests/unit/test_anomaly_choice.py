"""Which detector is used: the residuals, unless another finds certainly more planted anomalies at the same false-alarm rate."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from epic22.core.errors import UserError
from epic22.core.evaluation import anomaly_detectors
from epic22.core.evaluation.anomaly_detectors import (
    DetectorData,
    FittedDetector,
    combine_p_values,
    drop_repeats,
    get_detector,
    score_residuals,
)
from epic22.core.selection.anomaly_choice import (
    PLANTS,
    SeriesTrial,
    choose_detector,
    compare_detectors,
    compute_recalls,
    run_trials,
)
from epic22.core.task import Array


def noise(series: int = 8, rows: int = 120, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(series, rows))


def trial(found: tuple[float, ...], rng: np.random.Generator, plants: int = 40) -> SeriesTrial:
    """Uniform p-values of unplanted rows, and planted anomalies of which each detector finds a share."""
    hits = rng.random((len(found), plants)) < np.array(found)[:, None]
    return SeriesTrial(rng.random((len(found), 200)), np.where(hits, 1e-6, 0.5))


def score_nothing(values: Array, p: float) -> Array:
    return np.full(values.shape, p)


def test_a_detector_that_finds_certainly_more_is_used_and_the_words_say_so() -> None:
    rng = np.random.default_rng(0)
    evidence, reason = compare_detectors(("residuals", "autoencoder"), [trial((0.4, 0.8), rng) for _ in range(20)])
    assert reason.startswith("autoencoder: of 800 anomalies planted in earlier rows of 20 series autoencoder found ")
    assert evidence[1].gain.low > 0.3
    assert evidence[0].gain.low == evidence[0].gain.high == 0


def test_the_residuals_stay_where_another_is_not_certainly_better_or_worse_as_it_is_used() -> None:
    rng = np.random.default_rng(0)
    _, equal = compare_detectors(("residuals", "autoencoder"), [trial((0.6, 0.6), rng) for _ in range(20)])
    assert equal.startswith("residuals stay: ")
    assert equal.endswith("which is not certainly more")
    timid = [SeriesTrial(t.unplanted, t.planted) for t in (trial((0.4, 0.8), rng) for _ in range(20))]
    late = [SeriesTrial(t.unplanted * [[1], [100]], t.planted * [[1], [20000]]) for t in timid]
    _, unused = compare_detectors(("residuals", "autoencoder"), late)
    assert unused.startswith("residuals stay: ")
    assert unused.endswith("which is less in use")


def test_a_rate_claimed_falsely_wins_nothing() -> None:
    """A detector that halves all its p-values alarms twice as often, and finds no more at the same rate."""
    rng = np.random.default_rng(1)
    trials = []
    for _ in range(20):
        rows, planted = rng.random((1, 200)), rng.random((1, 40)) / 20
        trials.append(SeriesTrial(np.concatenate([rows, rows / 10]), np.concatenate([planted, planted / 10])))
    residuals, loud = compute_recalls(trials)
    assert residuals == loud
    assert compare_detectors(("residuals", "autoencoder"), trials)[1].startswith("residuals stay: ")


def test_few_series_or_rows_say_nothing() -> None:
    assert compare_detectors(("residuals", "autoencoder"), [])[1] == (
        "residuals stay: 0 series with rows enough to plant anomalies in, and 6 are needed"
    )
    data = DetectorData(noise(), None)
    late = FittedDetector("residuals", partial(score_nothing, p=1.0), 110)
    assert run_trials(data, [late], 120) == []
    assert run_trials(data, [FittedDetector("residuals", partial(score_nothing, p=1.0), np.inf)], 120) == []


def test_the_residuals_alone_need_no_evidence() -> None:
    choice = choose_detector(DetectorData(noise(), None), (), 108)
    assert (choice.name, choice.tried, choice.evidence) == ("residuals", (), ())
    assert choose_detector(DetectorData(noise(), None), ("residuals",), 108).tried == ()


def test_an_unknown_detector_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="no anomaly detector 'magic'; there are residuals, autoencoder, combined"):
        choose_detector(DetectorData(noise(), None), ("magic",), 108)


@pytest.mark.slow
def test_trials_plant_every_kind_before_the_end_and_leave_the_rows_before_a_plant_as_they_are() -> None:
    data, seen = DetectorData(noise(), 12), list[Array]()

    def remember(values: Array) -> Array:
        seen.append(values)
        return score_nothing(values, 1.0)

    trials = run_trials(data, [FittedDetector("residuals", remember, 60)], 108)
    assert len(trials) == 8
    assert all(one.unplanted.shape == (1, 48) for one in trials)
    originals, *copies = seen
    assert all(values.shape[1] == 108 for values in seen)
    changed = copies[0] != originals[0]
    starts = changed.argmax(axis=1)
    assert len(copies[0]) == trials[0].planted.shape[1] == 6 * len(PLANTS)
    assert starts.min() >= 60
    assert starts.max() < 108


@pytest.mark.parametrize(("kind", "plant"), PLANTS)
def test_a_planted_anomaly_changes_no_row_before_it(kind: str, plant: Callable[..., Array]) -> None:
    series = noise(1)[0]
    changed = plant(series, 70, 12, 2.0)
    assert np.array_equal(changed[:70], series[:70])
    assert not np.array_equal(changed[70:82], series[70:82]), kind


def test_residuals_begin_with_a_series_first_value_and_alarm_a_value_far_off() -> None:
    values = noise(2)
    values[0, :30], values[1, 100] = np.nan, 12.0
    p_values = score_residuals(values, None)
    assert np.isnan(p_values[0, :30]).all()
    assert (p_values[0, 30:50] == 1).all()
    assert p_values[1, 100] < 1e-3


def test_two_p_values_are_combined_so_that_the_rate_holds_however_they_depend() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(200_000)
    for second in (first, 1 - first, rng.random(200_000)):
        assert (combine_p_values(first, second) <= 0.05).mean() < 0.0515
    assert combine_p_values(np.array([np.nan]), np.array([0.3])).tolist() == [0.6]


def test_an_event_is_alarmed_once_in_a_window() -> None:
    p_values = np.array([[0.5, 0.01, 0.01, 0.001, 0.01, np.nan, 0.8, 0.02]])
    dropped = drop_repeats(p_values, 2)
    assert np.array_equal(dropped, [[0.5, 0.01, 1.0, 0.001, 1.0, np.nan, 1.0, 0.02]], equal_nan=True)


def test_every_detector_is_found_by_its_name() -> None:
    assert [get_detector(name).name for name in anomaly_detectors.list_detector_names()] == [
        "residuals",
        "autoencoder",
        "combined",
    ]
