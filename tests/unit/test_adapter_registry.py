"""The registry's files and the trackers beside it: what a version, a promotion, a run and an event are written down as."""

import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from epic22.adapters import model_store
from epic22.adapters.artifacts import CachedArtifacts
from epic22.adapters.file_store import FolderFiles
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import BufferedPredictionLog, FilePredictionLog
from epic22.adapters.tracking.openlineage import MAX_ERROR_CHARS, OpenLineageEvents
from epic22.core.artifact.sealed import verify_sealed_folder, write_sealed_folder
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation import supplementary_tests
from epic22.core.evaluation.fairness import AdverseImpact, FairnessVerdict, GroupShare, Override, PromotionDecision
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import Dataset, ModelVersion, PredictionRecord, Provenance, sha256
from epic22.core.prediction import Prediction, PredictionScore
from epic22.core.statistics import Interval
from epic22.services.promote import list_models

MODEL = ModelVersion("toy", "1", "boosting", "a" * 64, "v0", "proven", "2024-01-01T00:00:00+00:00")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with a file; the store does not look into it before it is loaded."""
    (tmp_path / "bundle" / "deep").mkdir(parents=True)
    (tmp_path / "bundle" / "deep" / "model.json").write_text("{}")
    return tmp_path / "bundle"


def save(store: ModelStore, bundle: Path, task: str = "toy") -> ModelVersion:
    return store.save(task, "boosting", "a" * 64, "v0", "proven", bundle)


def log_lines(store: ModelStore) -> list[dict[str, Any]]:
    """The log of promotions of the toy task."""
    return [json.loads(line) for line in (store.root / "toy" / "promotions.jsonl").read_text().splitlines()]


def fairness(ratio: float | None) -> FairnessVerdict:
    """A verdict whose worst group has this ratio; None where no groups can be compared."""
    group = None if ratio is None else GroupShare("children", 40, 80, 0.4, Interval(ratio, 0.6, 0.9), "")
    impact = AdverseImpact("family_status", "no children", () if group is None else (group,), group)
    return FairnessVerdict("inconclusive", impact, (impact,), "too few")


def test_a_saved_version_is_a_whole_copy_and_leaves_the_folder_where_it_was(store: ModelStore, bundle: Path) -> None:
    version = save(store, bundle)
    place = store.folder("toy", version.version)
    assert (place / "bundle" / "deep" / "model.json").read_text() == "{}"
    assert (bundle / "deep" / "model.json").exists()
    assert ModelVersion(**json.loads((place / "version.json").read_text())) == version
    age = datetime.now(UTC) - datetime.fromisoformat(version.made_at)
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_a_save_that_fails_half_way_leaves_nothing_behind(store: ModelStore, bundle: Path) -> None:
    (bundle / "calibrator.json").symlink_to(bundle / "nowhere")
    with pytest.raises(shutil.Error):
        save(store, bundle)
    assert list((store.root / "toy").iterdir()) == []
    assert store.list_versions("toy") == ()


def test_a_number_that_is_taken_is_passed_over(store: ModelStore, bundle: Path) -> None:
    (store.root / "toy" / "1" / "half").mkdir(parents=True)
    assert save(store, bundle).version == "2"


def test_everything_lists_tasks_without_a_champion_too(store: ModelStore, bundle: Path) -> None:
    for task in ("beta", "alpha", "alpha"):
        save(store, bundle, task)
    (store.root / "Not a task").mkdir()
    assert [(v.task, v.version) for v in store.list_all_versions()] == [("alpha", "1"), ("alpha", "2"), ("beta", "1")]
    assert store.list_tasks() == ()


def test_a_champion_that_is_not_there_any_more_is_refused(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    store.promote("toy", "1", ())
    (store.folder("toy", "1") / "version.json").unlink()
    with pytest.raises(BundleError, match="points to version '1', which is not there"):
        store.champion("toy")


def test_a_task_without_a_champion_names_those_that_have_one(store: ModelStore, bundle: Path) -> None:
    with pytest.raises(UnknownTaskError, match="tasks with one: none yet"):
        store.champion("toy")
    save(store, bundle)
    store.promote("toy", "1", ())
    with pytest.raises(UnknownTaskError, match="tasks with one: toy"):
        store.champion("other")


def promote_and_be_killed(store: ModelStore, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion whose process ends after its line in the log, before the pointer."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model_store, "write_json", end)
        with pytest.raises(KeyboardInterrupt):
            store.promote("toy", version, ())


def list_states(store: ModelStore) -> list[str]:
    return [one.state for one in list_models(store, "toy")]


def test_a_promotion_whose_process_ended_before_the_pointer_was_written_is_listed_as_that(
    store: ModelStore, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        save(store, bundle)
    promote_and_be_killed(store, "1", monkeypatch)
    assert list_states(store) == ["promotion unfinished", "not promoted", "not promoted", "not promoted"]
    store.promote("toy", "2", ())
    promote_and_be_killed(store, "3", monkeypatch)
    assert list_states(store) == ["promotion unfinished", "champion", "promotion unfinished", "not promoted"]
    store.promote("toy", "4", ())
    assert list_states(store) == ["promotion unfinished", "former champion", "promotion unfinished", "champion"]
    store.promote("toy", "3", ())
    assert list_states(store) == ["promotion unfinished", "former champion", "champion", "former champion"]


def test_promotions_of_an_older_release_and_of_a_lost_pointer_count(store: ModelStore, bundle: Path) -> None:
    for version in ("1", "2", "3"):
        save(store, bundle)
        store.promote("toy", version, ())
    log = store.root / "toy" / "promotions.jsonl"
    old = [{name: value for name, value in line.items() if name != "replaces"} for line in log_lines(store)[:1]]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in old + log_lines(store)[1:]))
    assert list_states(store) == ["former champion", "former champion", "champion"]
    pointer = store.root / "toy" / "champion.json"
    pointer.write_text("")
    assert list_states(store) == ["former champion", "former champion", "former champion"]
    pointer.unlink()
    assert list_states(store) == ["former champion", "former champion", "promotion unfinished"]


def test_a_version_that_is_not_there_is_told_with_those_that_are(store: ModelStore, bundle: Path) -> None:
    for _ in range(2):
        save(store, bundle)
    with pytest.raises(UnknownTaskError, match=r"task 'toy' has no version '99'; there are 1, 2\.$"):
        store.load("toy", "99")
    store.promote("toy", "2", ())
    with pytest.raises(UnknownTaskError, match=r"no version 'x'; there are 1, 2, of which 2 serves\.$"):
        store.load("toy", "x")
    for _ in range(10):
        save(store, bundle)
    with pytest.raises(UnknownTaskError, match="there are 1, …, 4, 5, 6, 7, 8, 9, 10, 11, 12, of which 2 serves"):
        store.load("toy", "99")
    with pytest.raises(UnknownTaskError, match=r"task 'other' has no versions; tasks with some: toy\. Train it"):
        store.load("other", "1")


def test_a_promotion_keeps_its_verdicts_and_leaves_no_file_beside_the_pointer(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    verdict = Verdict("constant", "y", None, "log_loss", Interval(0.1, 0.05, 0.15), 0.01, True, "paired", "")
    store.promote("toy", "1", [verdict], PromotionDecision(True, "proven", "fairness passed"))
    pointer = json.loads((store.root / "toy" / "champion.json").read_text())
    assert (pointer["version"], pointer["why"]) == ("1", "fairness passed")
    (because,) = pointer["because"]
    assert [because[name] for name in ("difference", "low", "high", "p")] == [0.1, 0.05, 0.15, 0.01]
    assert list(because)[:5] == ["against", "target", "horizon", "metric", "difference"]
    assert sorted(path.name for path in (store.root / "toy").iterdir()) == ["1", "champion.json", "promotions.jsonl"]


def test_a_figure_that_is_undefined_is_null_in_the_pointer_and_an_old_pointer_with_nan_is_read(
    store: ModelStore, bundle: Path
) -> None:
    save(store, bundle)
    refused = supplementary_tests.TestResult("DeLong", "roc_auc", refusal="rows share a cluster")
    verdict = Verdict("constant", "y", None, "r2", Interval(0.1, 0.05, 0.15), 0.01, True, "paired", "")
    verdict = replace(verdict, supplementary_tests=(refused,))
    store.promote("toy", "1", [verdict])
    path = store.root / "toy" / "champion.json"
    text = path.read_text()
    (opinion,) = json.loads(text, parse_constant=pytest.fail)["because"][0]["supplementary_tests"]
    assert opinion == dict.fromkeys(("difference", "low", "high", "p")) | {
        "test": "DeLong",
        "metric": "roc_auc",
        "refused": "rows share a cluster",
    }
    path.write_text(text.replace("null", "NaN"))
    assert store.champion("toy").version == "1"


def test_the_log_has_a_line_for_each_promotion_and_refusal_in_their_order(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    save(store, bundle)
    store.promote("toy", "1", ())
    store.refuse("toy", "2", PromotionDecision(False, "refused", "too uneven", fairness(0.7)))
    store.promote("toy", "2", (), PromotionDecision(True, "overridden", "said so", fairness(0.7), Override("key-7", "urgent")))
    lines = log_lines(store)
    assert [(line["version"], line["status"], line["why"]) for line in lines] == [
        ("1", "promoted", ""),
        ("2", "refused", "too uneven"),
        ("2", "overridden", "said so"),
    ]
    assert lines[0]["fairness"] is None
    assert lines[2]["override"] == {"key_id": "key-7", "reason": "urgent"}
    assert store.champion("toy").version == "2"


@pytest.mark.parametrize(
    ("ratio", "written"),
    [
        (0.7, {"group": "children", "ratio": 0.7, "low": 0.6, "high": 0.9}),
        (float("nan"), {"group": "children", "ratio": None, "low": 0.6, "high": 0.9}),
        (None, {"group": None, "ratio": None, "low": None, "high": None}),
    ],
)
def test_the_log_writes_a_ratio_that_is_undefined_as_none(
    store: ModelStore, bundle: Path, ratio: float | None, written: dict[str, Any]
) -> None:
    save(store, bundle)
    store.refuse("toy", "1", PromotionDecision(False, "refused", "", fairness(ratio)))
    (line,) = log_lines(store)
    status = {"status": "inconclusive", "class": "family_status", "against": "no children"}
    assert line["fairness"] == status | written


def test_a_refusal_of_a_version_that_is_not_there_is_not_logged(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    with pytest.raises(UnknownTaskError, match="no version '2'"):
        store.refuse("toy", "2", PromotionDecision(False, "refused", ""))
    assert not (store.root / "toy" / "promotions.jsonl").exists()


def test_an_explanation_with_numbers_that_json_lacks_is_refused_and_the_old_one_stays(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    assert store.load_explanation("toy", "1") is None
    store.save_explanation("toy", "1", {"columns": ["rent"]})
    with pytest.raises(ValueError, match="JSON compliant"):
        store.save_explanation("toy", "1", {"value": float("nan")})
    assert store.load_explanation("toy", "1") == {"columns": ["rent"]}


def test_provenance_comes_back_as_it_was_kept(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    assert store.load_provenance("toy", "1") is None
    provenance = Provenance("toy", "1", "a" * 64, "v0", 3, (("a.csv", "0" * 64),), None, "1.0", "7", "2024-01-01", None)
    store.save_provenance(provenance)
    assert store.load_provenance("toy", "1") == provenance


def test_a_version_file_that_describes_none_is_refused(store: ModelStore, bundle: Path) -> None:
    save(store, bundle)
    (store.folder("toy", "1") / "version.json").write_text('{"task": "toy"}')
    with pytest.raises(BundleError, match="does not describe a model version"):
        store.load("toy", "1")


def prediction(receipt: str, entity: str) -> Prediction:
    return Prediction(entity, None, (), PredictionScore(0.0, ""), (), MODEL, receipt)


def test_receipts_go_into_the_file_of_their_day(tmp_path: Path) -> None:
    files = FilePredictionLog(tmp_path / "receipts")
    days = [datetime(2024, 1, 31, 23, 59), datetime(2024, 2, 1), datetime(2024, 1, 31)]
    files.write(PredictionRecord(str(n) * 64, "toy", "1", "a" * 64, "anna", at) for n, at in enumerate(days))
    assert sorted(path.name for path in files.folder.iterdir()) == ["2024-01-31.jsonl", "2024-02-01.jsonl"]
    assert [r.at for r in files.find_receipts("")] == [days[0], days[2], days[1]]
    assert files.find_receipts("3") == ()
    assert [r.receipt[0] for r in files.find_receipts("2")] == ["2"]


def test_no_receipt_is_given_for_an_entity_that_looks_like_one(tmp_path: Path) -> None:
    files = FilePredictionLog(tmp_path)
    at = datetime(2024, 1, 1)
    files.write(iter([PredictionRecord("b" * 64, "toy", "1", "a" * 64, '"receipt":"cc', at)]))
    assert files.find_receipts("cc") == ()


def test_many_threads_lose_no_receipt(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(FilePredictionLog(tmp_path), flush_seconds=0.001)

    def note(number: int) -> None:
        for n in range(50):
            queue.log_predictions(MODEL, [prediction(f"{number:02d}{n:02d}" + "0" * 60, f"e{n}")])

    threads = [threading.Thread(target=note, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.close()
    assert len({r.receipt for r in queue.store.find_receipts("")}) == 400
    assert queue.dropped == 0


def test_a_full_queue_takes_answers_again_once_it_was_written(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(FilePredictionLog(tmp_path), max_pending=2, flush_seconds=60)
    with capture_logs() as logs:
        for _ in range(3):
            queue.log_predictions(MODEL, [prediction("1" * 64, "a"), prediction("2" * 64, "b")])
            queue.log_predictions(MODEL, [prediction("3" * 64, "c")])
            queue.flush()
        queue.close()
    assert queue.dropped == 3
    assert [log["count"] for log in logs] == [1, 1, 1]
    assert [log["since_start"] for log in logs] == [1, 2, 3]
    assert queue.store.count_predictions() == {("toy", "1"): 6}


def test_events_of_one_piece_of_work_share_a_run_and_name_each_kind_of_thing(tmp_path: Path) -> None:
    lineage = OpenLineageEvents(tmp_path / "events.jsonl")
    inputs = [Dataset("source", "a.csv", "0" * 64, "0" * 64), Dataset("table", "units", "3", "f" * 32)]
    run = lineage.start("train.toy", inputs)
    lineage.complete(
        "train.toy", run, inputs, [Dataset("model", "toy", "1", "a" * 64), Dataset("predictions", "out", "1", rows=9)]
    )
    start, complete = (json.loads(line) for line in lineage.path.read_text().splitlines())
    assert start["run"]["runId"] == complete["run"]["runId"] == run
    assert [d["namespace"] for d in start["inputs"]] == ["epic22.source", "epic22.table"]
    contents = [d["facets"]["epic22_content"] for d in start["inputs"]]
    assert (contents[0]["sha256"], contents[1]["rowDigest"]) == ("0" * 64, "f" * 32)
    model, rows = complete["outputs"]
    assert model["facets"]["datasetType"]["datasetType"] == "MODEL"
    assert "outputStatistics" not in model.get("outputFacets", {})
    assert rows["outputFacets"]["outputStatistics"]["rowCount"] == 9
    assert "epic22_content" not in rows["facets"]


def test_a_long_error_is_cut_in_its_event(tmp_path: Path) -> None:
    lineage = OpenLineageEvents(tmp_path / "events.jsonl")
    lineage.fail("ingest", lineage.start("ingest", []), [], "x" * 10_000)
    failed = json.loads(lineage.path.read_text().splitlines()[1])
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "x" * MAX_ERROR_CHARS


def test_two_jobs_get_runs_of_their_own(tmp_path: Path) -> None:
    lineage = OpenLineageEvents(tmp_path / "events.jsonl")
    runs = [lineage.start("ingest", []) for _ in range(3)]
    assert len(set(runs)) == 3


def test_a_fetched_file_that_was_damaged_here_is_fetched_again(tmp_path: Path) -> None:
    write_sealed_folder(tmp_path / "bundle", {}, {"model.json": b"{}", "weights.bin": b"12345678"})
    artifacts = CachedArtifacts(FolderFiles(tmp_path / "storage"), tmp_path / "cache")
    artifacts.add_folder("toy/1", tmp_path / "bundle", "bundle")
    digest = sha256((tmp_path / "bundle" / "manifest.json").read_bytes())
    for damaged in ("weights.bin", "manifest.json"):
        folder = artifacts.fetch_sealed("toy/1", "bundle", digest)
        verify_sealed_folder(folder)
        (folder / damaged).write_bytes(b"1234")
    verify_sealed_folder(artifacts.fetch_sealed("toy/1", "bundle", digest))
