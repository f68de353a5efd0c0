"""What every registry must do: the one in a folder, and the shared one in a database, SQLite or PostgreSQL."""

import json
import multiprocessing
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.redis_server import new_redis
from tests.toy import toy

from epic22.adapters.artifacts import open_artifacts
from epic22.adapters.file_store import open_file_store
from epic22.adapters.metadata.database import Database
from epic22.adapters.model_store import ModelStore
from epic22.adapters.redis.contents import RedisContents
from epic22.adapters.redis.link import PATIENCE, RedisLink
from epic22.adapters.redis.notices import PromotionNotices
from epic22.adapters.redis.server import RedisServer
from epic22.adapters.shared_model_store import SharedModelStore
from epic22.bootstrap import assemble
from epic22.bootstrap.promotion import promote_version
from epic22.config import Settings
from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, write_bundle
from epic22.core.artifact.model import Model
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import BundleError, UnknownTaskError, UserError
from epic22.core.evaluation.fairness import Override, compute_adverse_impact, decide_promotion, judge_fairness
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.lineage import ModelVersion, Provenance
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.ports import Registry
from epic22.core.statistics import Interval


def put(store: Registry, aside: Path, seed: int = 0) -> ModelVersion:
    """A constant's bundle, registered."""
    made = toy()
    preprocessor = Preprocessor.fit(made.task.input_columns, made.examples.X)
    estimator = (
        get_family("constant").build(LearningProblem.of(made.task)).fit(preprocessor.transform(made.examples.X), made.examples.y)
    )
    empty = Bundle(Schema.of(made.task), "constant", "proven", "", "v0", seed, preprocessor, estimator, None)
    bundle = replace(empty, model_hash=compute_model_hash(empty))
    write_bundle(aside, bundle, made.examples.X)
    return store.save("toy", "constant", bundle.model_hash, "v0", "proven", aside)


@dataclass(frozen=True)
class Place:
    """Where a registry keeps things; every process opens one of its own."""

    root: Path
    url: str | None
    artifacts: str | None = None
    redis: str | None = None

    def open(self) -> Registry:
        if self.url is None:
            return ModelStore(self.root)
        files = open_file_store(str(self.root if self.artifacts is None else self.artifacts))
        if self.redis is None:
            return SharedModelStore(Database(self.url), open_artifacts(files, self.root))
        link = RedisLink(RedisServer(self.redis, patience=PATIENCE))
        artifacts = open_artifacts(files, self.root, RedisContents(link))
        return SharedModelStore(Database(self.url), artifacts, PromotionNotices(link))


KINDS = ("folder", "sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "s3", "s3 and redis")))


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    file = f"sqlite:///{tmp_path}/meta/data.sqlite"
    if request.param.startswith("s3"):
        address = new_bucket()
        for name, value in storage_environment().items():
            monkeypatch.setenv(name, value)
        redis = new_redis().url if request.param.endswith("redis") else None
        return Place(tmp_path / "models", file, address, redis)
    urls = {"folder": lambda: None, "sqlite": lambda: file, "postgresql": new_database}
    return Place(tmp_path / "models", urls[request.param]())


@pytest.fixture
def store(place: Place) -> Registry:
    return place.open()


@pytest.fixture
def folder_store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_versions_count_up_and_are_listed_oldest_first(store: Registry, tmp_path: Path) -> None:
    versions = [put(store, tmp_path / f"b{i}", seed=i) for i in range(11)]
    assert [v.version for v in versions] == [str(i) for i in range(1, 12)]
    assert store.list_versions("toy") == tuple(versions)


def test_a_version_is_no_champion_until_it_is_promoted(store: Registry, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    with pytest.raises(UnknownTaskError, match="no champion"):
        store.champion("toy")
    assert store.list_tasks() == ()
    store.promote("toy", version.version, ())
    assert store.champion("toy") == version
    assert store.list_tasks() == ("toy",)
    assert store.load("toy").version == version


def test_an_older_version_can_be_loaded_and_promoted_again(store: Registry, tmp_path: Path) -> None:
    first, second = put(store, tmp_path / "a"), put(store, tmp_path / "b", seed=1)
    store.promote("toy", second.version, ())
    assert store.load("toy", first.version).bundle.model_hash == first.model_hash
    store.promote("toy", first.version, ())
    assert store.champion("toy") == first


def test_a_version_that_is_not_there_is_not_promoted(store: Registry, tmp_path: Path) -> None:
    put(store, tmp_path / "b")
    with pytest.raises(UnknownTaskError, match="no version '7'"):
        store.promote("toy", "7", ())


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "A", "x" * 65, "a\0b", ".hidden", "champion.json"])
def test_a_name_that_leads_elsewhere_is_refused(store: Registry, name: str) -> None:
    with pytest.raises(UnknownTaskError):
        store.champion(name)


@pytest.mark.parametrize("version", ["..", "../1", "one", "", "-1"])
def test_a_version_that_leads_elsewhere_is_refused(store: Registry, tmp_path: Path, version: str) -> None:
    put(store, tmp_path / "b")
    with pytest.raises(UnknownTaskError):
        store.load("toy", version)


def open_or_refuse(store: Registry, version: ModelVersion) -> str:
    """The hash of the model that is opened for a version, or what its bundle is said to be."""
    try:
        return store.load(version.task, version.version).bundle.model_hash
    except BundleError as error:
        return next((words for words in ("another model than was registered",) if words in str(error)), str(error))


def test_a_swapped_bundle_never_answers(store: Registry, tmp_path: Path) -> None:
    first, second = put(store, tmp_path / "a"), put(store, tmp_path / "b", seed=1)
    place = store.folder("toy", first.version)
    (place / "bundle").rename(tmp_path / "away")
    store.folder("toy", second.version).joinpath("bundle").rename(place / "bundle")
    # What is only a copy of what object storage has is fetched again.
    assert open_or_refuse(store, first) in (first.model_hash, "another model than was registered")


def test_what_a_killed_save_leaves_behind_is_no_version(folder_store: ModelStore, tmp_path: Path) -> None:
    version = put(folder_store, tmp_path / "b")
    (tmp_path / "models" / "toy" / ".incoming-dead" / "bundle").mkdir(parents=True)
    assert folder_store.list_versions("toy") == (version,)
    assert put(folder_store, tmp_path / "c").version == "2"


def test_a_damaged_pointer_is_said(folder_store: ModelStore, tmp_path: Path) -> None:
    version = put(folder_store, tmp_path / "b")
    folder_store.promote("toy", version.version, ())
    (tmp_path / "models" / "toy" / "champion.json").write_text("{")
    with pytest.raises(BundleError, match="not readable"):
        folder_store.champion("toy")


def test_the_pointer_keeps_why(folder_store: ModelStore, tmp_path: Path) -> None:
    version = put(folder_store, tmp_path / "b")
    folder_store.promote("toy", version.version, ())
    kept = json.loads((tmp_path / "models" / "toy" / "champion.json").read_bytes())
    assert kept["version"] == "1"
    assert kept["because"] == []


def test_every_decision_of_the_gate_is_logged_and_a_refused_version_does_not_serve(store: Registry, tmp_path: Path) -> None:
    first, second = put(store, tmp_path / "a"), put(store, tmp_path / "b", seed=1)
    group, person = np.repeat(["a", "b"], 100), np.arange(200)
    found = judge_fairness(
        [compute_adverse_impact("origin", np.arange(200) % 100 < np.where(group == "a", 90, 60), group, person)]
    )
    asked = Override("f00d", "reviewed")
    store.promote("toy", first.version, (), decide_promotion(None, first_model=True))
    store.refuse("toy", second.version, decide_promotion(found, False, asked, frozenset()))
    assert store.champion("toy") == first
    store.promote("toy", second.version, (), decide_promotion(found, False, asked, {"f00d"}))
    assert store.champion("toy") == second
    records = store.list_decisions("toy")
    statuses = [("1", "proven", False), ("2", "refused", True), ("2", "overridden", False)]
    assert [(one.version, one.status, one.needs_override) for one in records] == statuses


def test_the_log_keeps_what_let_a_version_pass(folder_store: ModelStore, tmp_path: Path) -> None:
    version = put(folder_store, tmp_path / "a")
    group, person = np.repeat(["a", "b"], 100), np.arange(200)
    found = judge_fairness(
        [compute_adverse_impact("origin", np.arange(200) % 100 < np.where(group == "a", 90, 60), group, person)]
    )
    folder_store.promote("toy", version.version, (), decide_promotion(None, first_model=True))
    folder_store.promote("toy", version.version, (), decide_promotion(found, False, Override("f00d", "reviewed"), {"f00d"}))
    log = [json.loads(line) for line in (folder_store.root / "toy" / "promotions.jsonl").read_text().splitlines()]
    assert log[0]["fairness"] is log[0]["override"] is None
    assert log[1]["override"] == {"key_id": "f00d", "reason": "reviewed"}
    assert (log[1]["fairness"]["class"], log[1]["fairness"]["group"]) == ("origin", "b")
    assert log[1]["fairness"]["ratio"] == pytest.approx(60 / 90)


def test_an_explanation_is_kept_beside_a_version_and_outside_its_bundle(store: Registry, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    assert store.load_explanation("toy", version.version) is None
    store.save_explanation("toy", version.version, {"columns": []})
    store.save_explanation("toy", version.version, {"columns": ["wear"]})
    assert store.load_explanation("toy", version.version) == {"columns": ["wear"]}
    assert store.load("toy", version.version).version == version
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save_explanation("toy", version.version, {"columns": float("nan")})
    assert store.load_explanation("toy", version.version) == {"columns": ["wear"]}


def test_a_damaged_explanation_is_said(folder_store: ModelStore, tmp_path: Path) -> None:
    version = put(folder_store, tmp_path / "b")
    (folder_store.folder("toy", version.version) / "explanation.json").write_text("{")
    with pytest.raises(BundleError, match="not readable"):
        folder_store.load_explanation("toy", version.version)


def _save_some(place: Place, aside: Path, number: int) -> None:
    for i in range(4):
        put(place.open(), aside / f"{number}-{i}", seed=number)


@pytest.mark.slow
def test_processes_that_save_at_once_lose_nothing(place: Place, store: Registry, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    savers = [context.Process(target=_save_some, args=(place, tmp_path, n)) for n in range(3)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(120)
    assert [v.version for v in store.list_versions("toy")] == [str(i) for i in range(1, 13)]
    assert all(store.load("toy", v.version) for v in store.list_versions("toy"))


def test_a_clock_that_is_set_back_changes_no_order(store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = iter(range(28, 0, -1))

    class Clock(datetime):
        """Each moment is a day before the last."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2024, 5, next(days), tzinfo=tz)

    monkeypatch.setattr(f"{type(store).__module__}.datetime", Clock)
    versions = [put(store, tmp_path / f"b{i}", seed=i) for i in range(3)]
    for version in versions:
        store.promote("toy", version.version, ())
    assert [one.version for one in store.list_versions("toy")] == ["1", "2", "3"]
    assert [record.version for record in store.list_decisions("toy")] == ["1", "2", "3"]
    assert store.champion("toy") == versions[2]
    assert versions[2].made_at < versions[0].made_at


@pytest.mark.slow
def test_of_two_who_promote_at_once_the_later_one_is_told_who_serves_now(
    place: Place, store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [put(store, tmp_path / f"b{i}", seed=i) for i in range(3)]
    begun, refusals = Event(), list[str]()

    def load(task: str, version: str | None = None) -> Model:
        """Says when a model is opened: by then the promotion knows who serves."""
        begun.set()
        return store.load(task, version)

    watched = place.open()
    monkeypatch.setattr(watched, "load", load)
    components = replace(assemble(Settings(tmp_path, 1)), registry=watched)
    store.promote("toy", "1", ())

    def promote_later() -> None:
        try:
            promote_version(components, "toy", "3", "the newest")
        except UserError as error:
            refusals.append(str(error))

    later = Thread(target=promote_later)
    with store.lock_champion("toy"):
        later.start()
        begun.wait()
        store.promote("toy", "2", ())
    later.join()
    assert store.champion("toy") == versions[1]
    assert "version 1 served it when this began, and version 2 does now" in refusals[0]
    promote_version(components, "toy", "3", "still the newest")
    assert store.champion("toy") == versions[2]


def test_a_discarded_version_is_gone_and_its_number_is_given_to_no_other(store: Registry, tmp_path: Path) -> None:
    put(store, tmp_path / "a")
    second = put(store, tmp_path / "b", seed=1)
    store.refuse("toy", second.version, decide_promotion(None, first_model=True))
    folder = store.folder("toy", second.version)
    store.discard("toy", second.version)
    assert [one.version for one in store.list_versions("toy")] == ["1"]
    assert not folder.exists()
    with pytest.raises(UnknownTaskError, match="no version '2'"):
        store.load("toy", "2")
    assert put(store, tmp_path / "c", seed=2).version == "3"


def test_what_is_kept_beside_a_version_comes_back(place: Place, store: Registry, tmp_path: Path) -> None:
    version = put(store, tmp_path / "a")
    evaluation = VersionEvaluation("roc_auc", Interval(0.7, 0.6, float("nan")), 12)
    held_out = HeldOutPredictions(("x",), np.array([1, 2**63], dtype=np.uint64), np.array([0.5, np.nan]), False, 0.9)
    provenance = Provenance("toy", "1", version.model_hash, "v0", 3, (("a.csv", "0" * 64),), None, "0.2", "1", "2024", None)
    gates = (
        GateFinding("constant", "passed", "better than the constant", Interval(0.2, 0.1, 0.3), 0.0),
        GateFinding("champion", "not applicable", "no other version serves"),
    )
    assert store.load_gates("toy", "1") == ()
    store.save_gates("toy", "1", gates)
    assert place.open().load_gates("toy", "1") == gates
    store.save_evaluation("toy", "1", evaluation, held_out)
    store.save_provenance(provenance)
    kept = store.load_evaluation("toy", "1")
    assert kept is not None
    assert (kept.metric, kept.score.value, kept.score.low, kept.rows) == ("roc_auc", 0.7, 0.6, 12)
    assert np.isnan(kept.score.high)
    responses = store.load_held_out("toy", "1")
    assert responses is not None
    np.testing.assert_array_equal(responses.row_hashes, held_out.row_hashes)
    np.testing.assert_array_equal(responses.responses, held_out.responses)
    assert responses.columns == ("x",)
    assert (responses.has_all_rows, responses.quantile) == (False, 0.9)
    assert store.load_provenance("toy", "1") == provenance
    assert store.list_all_versions() == (version,)
    assert store.list_faults("toy") == ()


def test_a_file_written_in_a_versions_folder_is_kept(place: Place, store: Registry, tmp_path: Path) -> None:
    put(store, tmp_path / "a")
    store.folder("toy", "1").joinpath("report.html").write_text("<p>")
    store.save_files("toy", "1")
    assert place.open().folder("toy", "1").joinpath("report.html").read_text() == "<p>"
