"""What every registry must do; the one on the file system so far."""

import json
import multiprocessing
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from tests.toy import toy

from epic22.adapters.model_store import ModelStore
from epic22.bootstrap import assemble
from epic22.bootstrap.promotion import promote_version
from epic22.config import Settings
from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, write_bundle
from epic22.core.artifact.model import Model
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import BundleError, UnknownTaskError, UserError
from epic22.core.evaluation.fairness import Override, compute_adverse_impact, decide_promotion, judge_fairness
from epic22.core.lineage import ModelVersion
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem


def put(store: ModelStore, aside: Path, seed: int = 0) -> ModelVersion:
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


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_versions_count_up_and_are_listed_oldest_first(store: ModelStore, tmp_path: Path) -> None:
    versions = [put(store, tmp_path / f"b{i}", seed=i) for i in range(11)]
    assert [v.version for v in versions] == [str(i) for i in range(1, 12)]
    assert store.list_versions("toy") == tuple(versions)


def test_a_version_is_no_champion_until_it_is_promoted(store: ModelStore, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    with pytest.raises(UnknownTaskError, match="no champion"):
        store.champion("toy")
    assert store.list_tasks() == ()
    store.promote("toy", version.version, ())
    assert store.champion("toy") == version
    assert store.list_tasks() == ("toy",)
    assert store.load("toy").version == version


def test_an_older_version_can_be_loaded_and_promoted_again(store: ModelStore, tmp_path: Path) -> None:
    first, second = put(store, tmp_path / "a"), put(store, tmp_path / "b", seed=1)
    store.promote("toy", second.version, ())
    assert store.load("toy", first.version).bundle.model_hash == first.model_hash
    store.promote("toy", first.version, ())
    assert store.champion("toy") == first


def test_a_version_that_is_not_there_is_not_promoted(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path / "b")
    with pytest.raises(UnknownTaskError, match="no version '7'"):
        store.promote("toy", "7", ())


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "A", "x" * 65, "a\0b", ".hidden", "champion.json"])
def test_a_name_that_leads_elsewhere_is_refused(store: ModelStore, name: str) -> None:
    with pytest.raises(UnknownTaskError):
        store.champion(name)


@pytest.mark.parametrize("version", ["..", "../1", "one", "", "-1"])
def test_a_version_that_leads_elsewhere_is_refused(store: ModelStore, tmp_path: Path, version: str) -> None:
    put(store, tmp_path / "b")
    with pytest.raises(UnknownTaskError):
        store.load("toy", version)


def test_a_swapped_bundle_is_refused(store: ModelStore, tmp_path: Path) -> None:
    first, second = put(store, tmp_path / "a"), put(store, tmp_path / "b", seed=1)
    place = store.folder("toy", first.version)
    (place / "bundle").rename(tmp_path / "away")
    store.folder("toy", second.version).joinpath("bundle").rename(place / "bundle")
    with pytest.raises(BundleError, match="another model than was registered"):
        store.load("toy", first.version)


def test_what_a_killed_save_leaves_behind_is_no_version(store: ModelStore, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    (tmp_path / "models" / "toy" / ".incoming-dead" / "bundle").mkdir(parents=True)
    assert store.list_versions("toy") == (version,)
    assert put(store, tmp_path / "c").version == "2"


def test_a_damaged_pointer_is_said(store: ModelStore, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    store.promote("toy", version.version, ())
    (tmp_path / "models" / "toy" / "champion.json").write_text("{")
    with pytest.raises(BundleError, match="not readable"):
        store.champion("toy")


def test_the_pointer_keeps_why(store: ModelStore, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    store.promote("toy", version.version, ())
    kept = json.loads((tmp_path / "models" / "toy" / "champion.json").read_bytes())
    assert kept["version"] == "1"
    assert kept["because"] == []


def test_every_decision_of_the_gate_is_logged_and_a_refused_version_does_not_serve(store: ModelStore, tmp_path: Path) -> None:
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
    log = [json.loads(line) for line in (store.root / "toy" / "promotions.jsonl").read_text().splitlines()]
    assert [(line["version"], line["status"]) for line in log] == [("1", "proven"), ("2", "refused"), ("2", "overridden")]
    assert log[0]["fairness"] is log[0]["override"] is None
    assert log[2]["override"] == {"key_id": "f00d", "reason": "reviewed"}
    assert (log[2]["fairness"]["class"], log[2]["fairness"]["group"]) == ("origin", "b")
    assert log[2]["fairness"]["ratio"] == pytest.approx(60 / 90)


def test_an_explanation_is_kept_beside_a_version_and_outside_its_bundle(store: ModelStore, tmp_path: Path) -> None:
    version = put(store, tmp_path / "b")
    assert store.load_explanation("toy", version.version) is None
    store.save_explanation("toy", version.version, {"columns": []})
    store.save_explanation("toy", version.version, {"columns": ["wear"]})
    assert store.load_explanation("toy", version.version) == {"columns": ["wear"]}
    assert store.load("toy", version.version).version == version
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save_explanation("toy", version.version, {"columns": float("nan")})
    assert store.load_explanation("toy", version.version) == {"columns": ["wear"]}
    (store.folder("toy", version.version) / "explanation.json").write_text("{")
    with pytest.raises(BundleError, match="not readable"):
        store.load_explanation("toy", version.version)


def _save_some(root: Path, aside: Path, number: int) -> None:
    for i in range(4):
        put(ModelStore(root), aside / f"{number}-{i}", seed=number)


@pytest.mark.slow
def test_processes_that_save_at_once_lose_nothing(store: ModelStore, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    savers = [context.Process(target=_save_some, args=(store.root, tmp_path, n)) for n in range(3)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(120)
    assert [v.version for v in store.list_versions("toy")] == [str(i) for i in range(1, 13)]
    assert all(store.load("toy", v.version) for v in store.list_versions("toy"))


def test_a_clock_that_is_set_back_changes_no_order(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = iter(range(28, 0, -1))

    class Clock(datetime):
        """Each moment is a day before the last."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2024, 5, next(days), tzinfo=tz)

    monkeypatch.setattr("epic22.adapters.model_store.datetime", Clock)
    versions = [put(store, tmp_path / f"b{i}", seed=i) for i in range(3)]
    for version in versions:
        store.promote("toy", version.version, ())
    assert [one.version for one in store.list_versions("toy")] == ["1", "2", "3"]
    assert [record.version for record in store.list_decisions("toy")] == ["1", "2", "3"]
    assert store.champion("toy") == versions[2]
    assert versions[2].made_at < versions[0].made_at


@pytest.mark.slow
def test_of_two_who_promote_at_once_the_later_one_is_told_who_serves_now(store: ModelStore, tmp_path: Path) -> None:
    versions = [put(store, tmp_path / f"b{i}", seed=i) for i in range(3)]
    begun, refusals = Event(), list[str]()

    class WatchedStore(ModelStore):
        """Says when a model is opened: by then the promotion knows who serves."""

        def load(self, task: str, version: str | None = None) -> Model:
            begun.set()
            return super().load(task, version)

    components = replace(assemble(Settings(tmp_path, 1)), registry=WatchedStore(store.root))
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
