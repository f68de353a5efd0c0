"""The benchmark of peers: splits without labels, what is run again, what others took of the machine, what may be claimed."""

import dataclasses
import doctest
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module

from epic22.core.evaluation.metrics import LOG_LOSS, ROC_AUC, roc_auc

PAGE = benchmark_module("page")
SETS = benchmark_module("peers.sets")
SPLITS = benchmark_module("peers.splits")
ENVIRONMENTS = benchmark_module("peers.environments")
WATCH = benchmark_module("peers.watch")
RUNS = benchmark_module("peers.runs")
STATISTICS = benchmark_module("peers.statistics")
COMPARE = benchmark_module("peers.compare")
BARS = benchmark_module("peers.bars")
CELLS = benchmark_module("peers.cells")
COLLECTION = benchmark_module("peers.collection")
FINDINGS = benchmark_module("peers.findings")
TABLE = benchmark_module("peers.table")
MAIN = benchmark_module("peers.__main__")


@pytest.mark.parametrize("module", [PAGE, SETS, WATCH, STATISTICS, CELLS, COLLECTION], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    tried = doctest.testmod(module)
    assert tried.attempted > 0
    assert tried.failed == 0


# The page.


def test_a_section_is_replaced_and_the_others_are_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    PAGE.write_section(page, "peers", "first")
    PAGE.write_section(page, "speed", "fast")
    between = page.read_text().replace("<!-- begin: speed", "Written by a person.\n\n<!-- begin: speed")
    page.write_text(between)
    PAGE.write_section(page, "peers", "second")
    assert page.read_text() == between.replace("first", "second")
    PAGE.write_section(page, "peers", "second")
    assert page.read_text() == between.replace("first", "second")


BEGIN, END = "<!-- begin: a -->", "<!-- end: a -->"


@pytest.mark.parametrize("page", [BEGIN, END, END + BEGIN, BEGIN + END + BEGIN + END])
def test_a_page_whose_marks_do_not_fit_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="section a"):
        PAGE.with_section(page, "a", "text")


def test_a_text_with_a_mark_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="mark"):
        PAGE.with_section("", "a", "<!-- end: b -->")


# Splits.


def toy_frame(rows: int = 300) -> pl.DataFrame:
    """Numbers, text, a day, a group, and two classes; the last 49 rows copy the first 49."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    frame = pl.DataFrame(
        {
            "x": x,
            "kind": rng.choice(["a", "b"], rows),
            "day": pl.Series(np.datetime64("2020-01-01") + np.arange(rows) // 2).cast(pl.Datetime("us")),
            "house": rng.integers(0, 100, rows),
            "y": (x + rng.normal(size=rows) > 0.5).astype(np.int8),
        }
    )
    return pl.concat([frame.head(rows - 49), frame.head(49)])


def toy_set(folder: Path, **changes: Any) -> Any:
    """A set in a file of its own."""
    toy_frame().write_parquet(folder / "toy.parquet")
    made = SETS.DataSet("toy", "toy.parquet", "binary", "y", "roc_auc", pl.read_parquet, "a toy", time="day", group="house")
    return dataclasses.replace(made, **changes)


def test_the_test_file_has_no_label_and_the_truth_lies_apart(tmp_path: Path) -> None:
    for split in SPLITS.splits_of(toy_set(tmp_path), tmp_path, tmp_path / "cache"):
        test, train, truth = (pl.read_parquet(path) for path in (split.test, split.train, split.truth))
        assert "y" not in test.columns
        assert "y" in train.columns
        assert (truth.height, train.height) == (test.height, split.n_train)
        assert train.height + test.height == 300


def test_time_and_group_are_no_inputs_unless_the_set_says_so(tmp_path: Path) -> None:
    dataset = toy_set(tmp_path)
    assert dataset.inputs(toy_frame()) == ["x", "kind"]
    assert dataclasses.replace(dataset, time_is_input=True).inputs(toy_frame()) == ["x", "kind", "day"]


def test_copies_of_a_row_stay_on_one_side_and_each_class_is_dealt_alike(tmp_path: Path) -> None:
    for split in SPLITS.splits_of(toy_set(tmp_path), tmp_path, tmp_path / "cache"):
        train, test = pl.read_parquet(split.train), pl.read_parquet(split.test)
        assert set(train["x"]).isdisjoint(test["x"])
        truth = pl.read_parquet(split.truth)["label"]
        assert truth.mean() == pytest.approx(train["y"].mean(), abs=0.06)


def test_the_same_data_give_the_same_digests_and_other_data_give_others(tmp_path: Path) -> None:
    dataset = toy_set(tmp_path)
    first = SPLITS.splits_of(dataset, tmp_path, tmp_path / "one")
    again = SPLITS.splits_of(dataset, tmp_path, tmp_path / "two")
    assert [s.digest for s in first] == [s.digest for s in again]
    assert len({s.digest for s in first}) == 5
    toy_frame().with_columns(pl.col("x") + 1).write_parquet(tmp_path / "toy.parquet")
    other = SPLITS.splits_of(dataset, tmp_path, tmp_path / "one")
    assert {s.digest for s in first}.isdisjoint(s.digest for s in other)


def test_splits_are_written_once(tmp_path: Path) -> None:
    dataset = toy_set(tmp_path)
    first = SPLITS.splits_of(dataset, tmp_path, tmp_path / "cache")
    written = [s.train.stat().st_mtime_ns for s in first]
    assert SPLITS.splits_of(dataset, tmp_path, tmp_path / "cache") == first
    assert [s.train.stat().st_mtime_ns for s in first] == written


def test_a_set_with_a_time_is_tested_on_its_last_part_by_cluster(tmp_path: Path) -> None:
    frame = toy_frame()
    start = frame["day"].sort()[240]
    dataset = toy_set(tmp_path, holdout=start, repeats=1, cluster="group")
    (split,) = SPLITS.splits_of(dataset, tmp_path, tmp_path / "cache")
    train, test, truth = (pl.read_parquet(path) for path in (split.train, split.test, split.truth))
    assert train["day"].max() < start <= test["day"].min()
    assert truth["cluster"].n_unique() == test["house"].n_unique()


# The machine.


def fake_process(proc: Path, pid: int, parent: int, ticks: int, pages: int, mark: str | None) -> None:
    """A process as /proc shows it; its name has a blank and a bracket."""
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    words = ["S", str(parent), *["0"] * 9, str(ticks), "0", *["0"] * 6, str(1000 + pid), "0", str(pages), *["0"] * 5]
    (folder / "stat").write_text(f"{pid} (a b) c) {' '.join(words)}")
    marks = b"" if mark is None else f"{WATCH.MARK}={mark}".encode()
    (folder / "environ").write_bytes(b"PATH=/bin\0" + marks + b"\0")


def fake_stat(proc: Path, user: int, stolen: int = 0) -> None:
    """The machine's CPU time so far."""
    proc.mkdir(exist_ok=True)
    (proc / "stat").write_text(f"cpu  {user} 0 0 100 0 0 0 {stolen} 0 0\ncpu0 ...\n")


def test_what_others_took_is_what_was_busy_without_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WATCH.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(WATCH.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(WATCH.time, "perf_counter", lambda: 10.0)
    monkeypatch.setattr(WATCH.time, "process_time", lambda: 1.0)
    proc = tmp_path / "proc"
    fake_stat(proc, 1000)
    watch = WATCH.Watch("m", proc, began=0.0)
    fake_process(proc, 10, 1, 400, 100, "m")
    fake_process(proc, 11, 10, 300, 50, None)
    fake_process(proc, 12, 1, 100, 25, "m")
    fake_process(proc, 20, 1, 9000, 9999, "another")
    watch.sample()
    fake_process(proc, 11, 1, 350, 10, None)
    watch.sample()
    fake_stat(proc, 2350, stolen=40)
    usage = watch.usage()
    assert usage.own_cpu_seconds == 8.5
    assert usage.others_cpu_share == 0.25
    assert usage.stolen_cpu_share == 0.02
    assert usage.peak_rss_mb == pytest.approx(175 * WATCH.PAGE / 2**20, abs=0.1)


def test_the_share_of_others_lies_between_nothing_and_all() -> None:
    assert WATCH.others_cpu_share(100, 200, 10.0, 2, 100) == 0.0
    assert WATCH.others_cpu_share(5000, 0, 10.0, 2, 100) == 1.0
    assert WATCH.others_cpu_share(100, 0, 0.0, 2, 100) == 0.0


def test_where_there_is_no_proc_nothing_is_claimed(tmp_path: Path) -> None:
    watch = WATCH.Watch("m", tmp_path / "absent")
    watch.sample()
    assert watch.usage().others_cpu_share is None


def test_processes_of_a_killed_call_are_found_by_their_mark(tmp_path: Path) -> None:
    fake_process(tmp_path, 10, 1, 0, 0, "cache-1")
    fake_process(tmp_path, 11, 1, 0, 0, "other-1")
    fake_process(tmp_path, 12, 1, 0, 0, None)
    assert WATCH.left_over("cache-", tmp_path) == [10]


# What is run again.


def toy_run(folder: Path, system: str = "xgboost", number: int = 0, **changes: Any) -> Any:
    """A run on the toy set, whose files are below the folder."""
    dataset = toy_set(folder, **changes)
    split = SPLITS.splits_of(dataset, folder, folder / "cache")[number]
    return RUNS.Run(dataset, split, ENVIRONMENTS.system_named(system), RUNS.Limits(20.0, 2))


def result_of(run: Any, **changes: Any) -> dict[str, Any]:
    """A stored result."""
    score = changes.pop("score", 0.8)
    made = {
        **RUNS._identity(run),
        **{"status": "ok", "message": "", "disturbed": False, "late": False, "version": "1", "at": "2026-01-01"},
        **{"seconds_to_model": 5.0, "predict_seconds": 0.1, "row_ms": {"row": 2.0}, "peak_rss_mb": 100.0, "machine": "a machine"},
        "scores": dict.fromkeys(("average_precision", "roc_auc"), score) | dict.fromkeys(("log_loss", "brier_score"), 1 - score),
    }
    return made | changes


def test_a_run_that_is_kept_is_done_and_one_that_is_not_is_not(tmp_path: Path) -> None:
    store, run = RUNS.Store(tmp_path / "results"), toy_run(tmp_path)
    assert not store.is_done(run, False)
    store.keep(run, result_of(run), np.array([0.25, 0.5]))
    assert store.is_done(run, False)
    assert store.predictions(run).tolist() == [0.25, 0.5]
    assert not store.is_done(dataclasses.replace(run, limits=RUNS.Limits(60.0, 2)), False)
    assert not store.is_done(toy_run(tmp_path, number=1), False)


def test_a_crash_is_kept_a_disturbed_run_is_repeated_and_so_is_one_that_could_not_be(tmp_path: Path) -> None:
    store, run = RUNS.Store(tmp_path / "results"), toy_run(tmp_path)
    store.keep(run, result_of(run, status="crash", message="boom"), None)
    assert store.is_done(run, False)
    assert store.predictions(run) is None
    store.keep(run, result_of(run, disturbed=True), None)
    assert not store.is_done(run, False)
    assert store.is_done(run, True)
    store.keep(run, RUNS.not_run(run, "no Java runtime"), None)
    assert not store.is_done(run, True)


def test_a_run_is_repeated_when_what_decides_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ours, theirs = RUNS.Store(tmp_path / "results"), toy_run(tmp_path, "epic22"), toy_run(tmp_path)
    for run in (ours, theirs):
        store.keep(run, result_of(run), None)
    monkeypatch.setattr(RUNS, "source_digest", lambda: "changed")
    assert not store.is_done(ours, False)
    assert store.latest(ours) is not None
    assert store.is_done(theirs, False)
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    (requirements / "xgboost.txt").write_text("xgboost==99")
    monkeypatch.setattr(RUNS, "REQUIREMENTS", requirements)
    assert not store.is_done(theirs, False)


def test_only_what_is_left_is_run_and_a_system_that_cannot_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, made = toy_set(tmp_path), []

    def perform(run: Any, python: Any, cache: Any) -> tuple[dict[str, Any], Any]:
        made.append(run.name)
        return result_of(run, others_cpu_share=0.0, disturbed=len(made) == 1), np.zeros(3)

    monkeypatch.setattr(MAIN, "perform", perform)
    monkeypatch.setattr(MAIN, "_ready", lambda system: "no Java runtime" if system.needs_java else Path("python"))
    systems = tuple(ENVIRONMENTS.system_named(name) for name in ("xgboost", "h2o"))
    collection = COLLECTION.Collection("peers-toys", "Toys", "", tmp_path, (dataset,))
    asked = MAIN.Asked(collection, (dataset,), systems, (0, 1), RUNS.Limits(), False, float("inf"))
    store = RUNS.Store(tmp_path / "results")
    assert MAIN.run_all(asked, store, tmp_path / "cache") == 3
    assert made == ["toy/xgboost-0", "toy/xgboost-1"]
    assert MAIN.run_all(asked, store, tmp_path / "cache") == 2
    assert made[2:] == ["toy/xgboost-0"]
    assert MAIN.run_all(dataclasses.replace(asked, until=0.0), store, tmp_path / "cache") == 2
    assert len(made) == 3
    stored = json.loads((tmp_path / "results" / "runs" / "toy" / "h2o-0.json").read_text())
    assert (stored["status"], stored["message"]) == ("not run", "no Java runtime")


def test_every_system_has_its_script_and_pinned_requirements() -> None:
    for system in ENVIRONMENTS.SYSTEMS:
        assert system.source.exists()
        if system.environment is not None:
            wanted = ENVIRONMENTS.pins(ENVIRONMENTS.REQUIREMENTS / f"{system.environment}.txt")
            assert all(version[0].isdigit() for version in wanted.values())


def test_an_environment_lacks_what_is_absent_or_of_another_version() -> None:
    lacking = ENVIRONMENTS.lacking(Path(sys.executable), {"pytest": "0.1", "no-such-thing": "1"})
    assert set(lacking) == {"pytest", "no-such-thing"}
    assert lacking["no-such-thing"] is None


# Statistics.


def test_mean_ranks_have_an_interval_over_sets() -> None:
    always = np.tile([1.0, 2.0], (6, 1))
    assert STATISTICS.mean_rank_intervals(always).tolist() == [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    mixed = STATISTICS.mean_rank_intervals(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0]]))
    assert mixed[0].tolist() == [1.25, 1.0, 1.75]


def test_a_tie_is_half_a_win() -> None:
    wins = STATISTICS.win_rates(np.array([[1.0, 2.0], [1.5, 1.5], [2.0, 1.0], [1.0, 2.0]]))
    assert wins[0, 1] == 0.625
    assert wins[1, 0] == 0.375


def test_the_interval_over_splits_is_that_of_nadeau_and_bengio() -> None:
    found = STATISTICS.over_splits([0.9, 0.8, 0.9, 0.8, 0.85], [0.8, 0.8, 0.8, 0.8, 0.8], 0.25, True)
    half = 2.7764451 * np.sqrt((1 / 5 + 0.25) * 0.0025)
    assert found.value == pytest.approx(0.05)
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half))
    assert STATISTICS.over_splits([1.0, 1.2], [2.0, 2.2], 0.25, False).value == pytest.approx(1.0)


def test_the_interval_over_rows_is_paired_and_draws_clusters() -> None:
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(40), 10)
    y = (rng.random(400) < 0.4).astype(float)
    good, bad = np.clip(0.5 * y + rng.random(400) / 2, 0.01, 0.99), rng.uniform(0.01, 0.99, 400)
    found = STATISTICS.over_rows(ROC_AUC, y, good, bad, cluster)
    assert found.low > 0.2
    assert found.value == pytest.approx(roc_auc(y, good) - roc_auc(y, bad))
    assert found.method == "paired bootstrap, 40 clusters drawn"
    same = STATISTICS.over_rows(LOG_LOSS, y, good, good, cluster)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert STATISTICS.over_rows(LOG_LOSS, y, bad, good, cluster).high < 0


def comparison(name: str, metric: str, value: float, half: float, crashed: bool = False) -> Any:
    """Ours against a peer at 0.8."""
    difference = None if crashed else STATISTICS.Difference(value, value - half, value + half, "by hand")
    return COMPARE.Comparison(name, metric, "flaml", None if crashed else 0.8 + value, 0.8, difference, crashed)


@pytest.mark.parametrize(
    ("value", "crashed", "met"), [(-0.02, False, "not met"), (-0.013, False, "met"), (0.1, False, "met"), (0.0, True, "not met")]
)
def test_an_interval_wholly_below_by_half_a_percent_or_a_crash_fails_the_bar(value: float, crashed: bool, met: str) -> None:
    told = [comparison("a", "roc_auc", value, 0.01, crashed)]
    assert BARS.bars(None, told, [], ["a"])[1].met == met


def test_a_bar_is_incomplete_while_a_set_lacks_a_run() -> None:
    told = [comparison("a", "roc_auc", 0.1, 0.01)]
    assert [bar.met for bar in BARS.bars(None, told, ["a"], ["a", "b"])] == ["incomplete"] * 3


def test_probabilities_must_be_level_on_two_thirds_of_the_sets() -> None:
    def bar(worse: int) -> str:
        names = ["a", "b", "c"]
        gains = {name: -0.1 if i < worse else 0.0 for i, name in enumerate(names)}
        told = [comparison(name, metric, gains[name], 0.05) for name in names for metric in COMPARE.PROBABILITY_SCORES]
        return str(BARS.bars(None, told, names, names)[2].met)

    assert (bar(0), bar(1), bar(2)) == ("met", "met", "not met")


def test_the_first_bar_asks_for_the_first_place_or_an_interval_that_holds_it() -> None:
    def bar(rows: list[list[float]]) -> str:
        table = np.array(rows)
        stood = COMPARE.Standing(
            ("epic22", "flaml"), tuple("abcd"), table, STATISTICS.mean_rank_intervals(table), STATISTICS.win_rates(table)
        )
        return str(BARS.bars(stood, [], [], list("abcd"))[0].met)

    assert bar([[1, 2]] * 4) == "met"
    assert bar([[2, 1]] * 4) == "not met"
    assert bar([[2, 1], [2, 1], [2, 1], [1, 2]]) == "met"


def gathered(folder: Path, scores: dict[str, list[float | None]]) -> tuple[Any, Any]:
    """Results of systems on the toy set's first splits; None is a crash."""
    store = RUNS.Store(folder / "results")
    runs = [toy_run(folder, name, i) for name, of in scores.items() for i in range(len(of))]
    for run in runs:
        score = scores[run.system.name][run.split.number]
        crash = {"status": "crash", "message": "boom", "seconds_to_model": None}
        store.keep(run, result_of(run, **(crash if score is None else {"score": score})), None)
    return COMPARE.Results.gather(runs[0].dataset, runs, store), store


def test_a_system_that_crashed_on_one_split_ranks_behind_all_that_did_not(tmp_path: Path) -> None:
    results, store = gathered(tmp_path, {"epic22": [0.8, 0.8], "flaml": [0.99, None], "mljar": [0.6, 0.7]})
    assert results.ranks("roc_auc") == {"epic22": 1.0, "flaml": 3.0, "mljar": 2.0}
    best = COMPARE.against_best(results, "roc_auc", store)
    assert (best.peer, best.theirs, best.ours) == ("mljar", pytest.approx(0.65), 0.8)
    assert best.difference.value == pytest.approx(0.15)
    assert COMPARE.standing([results]).sets == ("toy",)


def test_our_own_crash_is_told_and_fails_the_bars(tmp_path: Path) -> None:
    results, store = gathered(tmp_path, {"epic22": [None, 0.9], "flaml": [0.7, 0.7]})
    told = [COMPARE.against_best(results, metric, store) for metric in ("roc_auc", "log_loss", "brier_score")]
    assert all(c.crashed for c in told)
    assert [bar.met for bar in BARS.bars(COMPARE.standing([results]), told, ["toy"], ["toy"])][1:] == ["not met", "not met"]


def test_the_page_tells_crashes_and_losses(tmp_path: Path) -> None:
    scores: dict[str, list[float | None]] = {system.name: [0.8, 0.81] for system in ENVIRONMENTS.SYSTEMS}
    results, store = gathered(tmp_path, scores | {"mljar": [None, 0.9], "flaml": [0.95, 0.96]})
    findings = FINDINGS.judge([results], [results.dataset], store)
    collection = COLLECTION.Collection("peers-toys", "Toys", "--folder toys", tmp_path, (results.dataset,), ("b.csv is away.",))
    text = "\n".join(TABLE.lines(findings, collection, RUNS.Limits(20.0, 2)))
    assert text.startswith("## Toys, 20 seconds")
    assert '`make bench-peers ONLY="--folder toys --seconds 20 --cores 2 --keep"`' in text
    assert "* Not compared: b.csv is away." in text
    assert "mljar-supervised, Compete: crash: boom (toy 0)" in text
    assert "toy (AUC) to FLAML" in text
    assert "**0.9550** ± 0.0071" in text
    assert "not met" in text


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ([0.80, 0.81], ["certainly better on none", "certainly worse on\n1 (toy)", "if not certainly, on 1 (toy)"]),
        ([0.99, 0.999], ["certainly better on 1 (toy)", "certainly worse on\nnone", "if not certainly, on none"]),
        ([0.951, 0.999], ["certainly better on none", "certainly worse on\nnone", "if not certainly, on none"]),
        ([None, 0.99], ["certainly better on none", "certainly worse on\n1 (toy)", "if not certainly, on 1 (toy)"]),
    ],
    ids=["behind", "ahead", "perhaps ahead", "our own crash"],
)
def test_the_short_section_hides_no_loss_and_claims_no_luck(tmp_path: Path, ours: list[float | None], said: list[str]) -> None:
    scores: dict[str, list[float | None]] = {system.name: [0.90, 0.91] for system in ENVIRONMENTS.SYSTEMS}
    results, store = gathered(tmp_path, scores | {"epic22": ours, "flaml": [0.95, 0.96]})
    text = "\n".join(TABLE.brief(FINDINGS.judge([results], [results.dataset], store)))
    assert text.startswith("| system | mean rank | one row, ms |")
    assert all(part in text for part in said)


def test_what_a_crash_said_is_kept_without_folders_of_the_machine(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(f"fine\nTraceback\nValueError: no {tmp_path}/file\nsome warning\n")
    said = RUNS.last_words(log)
    assert said == f"ValueError: no {tmp_path}/file"
    assert RUNS.without_places(said, tmp_path, Path("/elsewhere/bin/python")) == "ValueError: no SCRATCH/file"


@pytest.mark.slow
def test_a_peer_runs_in_its_own_process_and_its_answer_is_scored(tmp_path: Path) -> None:
    run = toy_run(tmp_path, repeats=1)
    result, predictions = RUNS.perform(run, Path(sys.executable), tmp_path / "cache")
    truth = pl.read_parquet(run.split.truth)["label"].to_numpy()
    assert result["message"] == ""
    assert result["status"] == "ok"
    assert result["scores"]["roc_auc"] == pytest.approx(roc_auc(truth, predictions))
    assert result["scores"]["roc_auc"] > 0.6
    assert 0 < result["seconds_to_model"] < result["seconds_in_all"]
    assert result["row_ms"]["row"] > 0
    assert result["row_difference"] < 1e-6
    assert not list((tmp_path / "cache" / "scratch").iterdir())


@pytest.mark.slow
def test_a_process_that_brings_no_model_is_a_crash(tmp_path: Path) -> None:
    system = dataclasses.replace(ENVIRONMENTS.system_named("xgboost"), module="columns")
    run = dataclasses.replace(toy_run(tmp_path, repeats=1), system=system)
    result, predictions = RUNS.perform(run, Path(sys.executable), tmp_path / "cache")
    assert result["status"] == "crash"
    assert "no model within" in result["message"]
    assert predictions is None
