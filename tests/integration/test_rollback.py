"""Going back to a champion before: which one that is, what stands in the way, and that the tracker does not."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.trained import trained

from epic22.adapters.model_store import ModelStore
from epic22.bootstrap import Components, assemble
from epic22.bootstrap.promotion import promote_version, roll_back
from epic22.config import Settings
from epic22.core.errors import BundleError, StorageError, UnknownTaskError, UserError
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.run_record import RunRecord
from epic22.services.promote import list_history

pytestmark = pytest.mark.slow


@dataclass
class AliasTracker:
    """A tracker that keeps the alias alone; `away`: it does not answer."""

    aliases: list[str] = field(default_factory=list)
    away: bool = False

    def prepare(self) -> None:
        """Nothing to make."""

    def log_run(self, run: RunRecord) -> str:
        return "run"

    def mark_versions(self, task: str, champion: str | None, challenger: str | None) -> None:
        if self.away:
            raise StorageError("the tracking store does not answer.")
        self.aliases.append(str(champion))


@dataclass(frozen=True)
class Place:
    """A task with three versions, of which each served once."""

    components: Components
    tracker: AliasTracker
    store: ModelStore

    @property
    def champion(self) -> str:
        return self.store.champion("toy").version

    def back(self, version: str | None = None) -> str:
        return roll_back(self.components, "toy", version).version


@pytest.fixture
def place(tmp_path: Path) -> Place:
    run, store = trained(tmp_path)
    for number in ("2", "3"):
        store.save("toy", "linear", run.version.model_hash, "v0", "proven", store.folder("toy", "1") / "bundle")
        store.promote("toy", number, ())
    tracker = AliasTracker()
    return Place(replace(assemble(Settings(tmp_path, 1)), tracker=tracker), tracker, store)


def test_rollbacks_lead_back_step_by_step_and_end_at_the_first_champion(place: Place) -> None:
    assert [place.back(), place.back()] == ["2", "1"]
    with pytest.raises(UserError, match="no version served before"):
        place.back()
    assert place.champion == "1"
    promote_version(place.components, "toy", "3", "it is better after all")
    assert place.back() == "1"
    assert place.tracker.aliases == ["2", "1", "3", "1"]


def test_a_version_that_is_named_must_have_served(place: Place) -> None:
    place.store.save(
        "toy", "linear", place.store.champion("toy").model_hash, "v0", "proven", place.store.folder("toy", "1") / "bundle"
    )
    place.store.refuse("toy", "4", PromotionDecision(False, "challenger", "worse"))
    with pytest.raises(UserError, match="version 4 never served"):
        place.back("4")
    with pytest.raises(UserError, match="version 3 serves already"):
        place.back("3")
    assert place.back("1") == "1"


def test_the_version_that_serves_is_not_promoted_again(place: Place) -> None:
    before = place.store.list_decisions("toy")
    with pytest.raises(UserError, match="toy version 3 serves already; nothing was changed"):
        promote_version(place.components, "toy", "3", "it is still the best")
    assert place.store.list_decisions("toy") == before
    assert place.tracker.aliases == []


def test_the_history_of_a_task_that_was_never_trained_names_those_that_were(place: Place) -> None:
    with pytest.raises(UnknownTaskError, match="task 'nope' has no versions; tasks with some: toy"):
        list_history(place.store, "nope")


def test_what_does_not_answer_its_golden_rows_is_not_gone_back_to(place: Place) -> None:
    (place.store.folder("toy", "2") / "bundle" / "golden.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"golden\.json"):
        place.back()
    assert place.champion == "3"


def test_a_version_that_fairness_refused_needs_the_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPIC22_KEY", raising=False)
    place.store.refuse("toy", "2", PromotionDecision(False, "refused", "fairness refused: one group fares worse"))
    with pytest.raises(UserError, match="EPIC22_KEY"):
        place.back()
    assert place.champion == "3"


def test_a_champion_whose_pointer_is_damaged_is_gone_back_from(place: Place) -> None:
    (place.store.root / "toy" / "champion.json").write_text("{")
    assert place.back() == "3"


def test_a_tracker_that_is_away_is_said_and_mended_by_the_next_promotion(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.tracker.away = True
    assert place.back() == place.champion == "2"
    assert "the next promotion mends it" in capsys.readouterr().err
    place.tracker.away = False
    assert place.back() == "1"
    assert place.tracker.aliases == ["1"]
