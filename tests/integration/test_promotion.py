"""What a training does with a class that is treated unlike the others: promoted, refused, overridden, and what is kept of it."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from tests.portfolios import portfolio_assignment, tiny_portfolio
from tests.shell import Shell
from tests.trained import trained

from epic22.api.app import create_app
from epic22.bootstrap import Components, IngestOptions, assemble, ingest_folder, override_by_key, train_and_promote
from epic22.bootstrap.promotion import promote_version, track_and_promote
from epic22.config import Settings
from epic22.core.data.folds import SplitRequest
from epic22.core.data.task_data import TaskData
from epic22.core.errors import BundleError
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.lineage import ModelVersion
from epic22.core.run_record import RunRecord
from epic22.core.serialization import to_json
from epic22.reports.json import VIEWS
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.portfolio import build_gate_step
from epic22.services.train import PromotionGate
from epic22.services.training_run import RowRun
from epic22.simulator.portfolio import Portfolio, write_portfolio
from epic22.simulator.unfairness import compute_late_shares, plant_unfair_class

pytestmark = pytest.mark.usefixtures("blank_pictures")

TASK = "risk_assessment"
KEY, OTHER = "the key of the lawyer", "a key of nobody"
REASON = "two lawyers looked at it"


def id_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def unfair() -> dict[str, pl.DataFrame]:
    tables = dict(tiny_portfolio().tables)
    return tables | {"protected": plant_unfair_class(tables, seed=0)[0]}


def known_of_few() -> dict[str, pl.DataFrame]:
    tables = dict(tiny_portfolio().tables)
    return tables | {"protected": tables["protected"].head(40)}


@dataclass(frozen=True)
class Told:
    """A training, and which version was served after it."""

    run: RowRun
    report: str
    served: ModelVersion


@dataclass(frozen=True)
class Story:
    """One company's trainings in their order, each met by the gate, and the log it kept of them."""

    parts: Components
    first: Told
    refused: Told
    nobody: Told
    silent: Told
    overridden: Told

    @property
    def log(self) -> list[dict[str, Any]]:
        return lines_of(self.parts.settings.home)


def lines_of(home: Path) -> list[dict[str, Any]]:
    text = (home / "models" / TASK / "promotions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def train_on(parts: Components, tables: dict[str, pl.DataFrame], key: str | None = None, reason: str = REASON) -> Told:
    """A training as the command makes it, with one family for speed."""
    override = None if key is None else override_by_key(reason, {"EPIC22_KEY": key})
    assignment = portfolio_assignment(TASK, tables)
    assert isinstance(assignment, TaskData)
    quick = replace(assignment, task=replace(assignment.task, families=("constant", "boosting")))
    gate = PromotionGate(override, parts.settings.authorised)
    finished = train_and_promote(parts, RowPipeline(quick, SplitRequest(horizon=90.0), parts.settings.threads, gate))
    return Told(finished.run, finished.report.read_text(encoding="utf-8"), parts.registry.champion(TASK))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    parts = assemble(Settings(tmp_path_factory.mktemp("company"), threads=1, authorised=frozenset({id_of(KEY)})))
    return Story(
        parts,
        first=train_on(parts, known_of_few()),
        refused=train_on(parts, unfair()),
        nobody=train_on(parts, unfair(), OTHER),
        silent=train_on(parts, unfair(), KEY, " "),
        overridden=train_on(parts, unfair(), KEY),
    )


def decision_of(told: Told) -> PromotionDecision:
    assert told.run.promotion is not None
    return told.run.promotion


@pytest.mark.slow
def test_a_first_model_that_cannot_be_judged_is_served_as_provisional(story: Story) -> None:
    assert (story.first.served.version, story.first.served.status) == ("1", "provisional")
    assert story.log[0]["fairness"]["status"] == "inconclusive"
    assert story.log[0]["fairness"]["ratio"] is None


@pytest.mark.slow
def test_a_refused_model_is_kept_and_the_one_before_goes_on_serving(story: Story) -> None:
    decision, version = decision_of(story.refused), story.refused.run.version
    assert (decision.promote, decision.status) == (False, "refused")
    assert "an override with a reason by an authorised key is needed" in decision.why
    assert (version.version, version.status) == ("2", "refused")
    assert story.refused.served == story.first.served
    assert story.parts.registry.load(TASK, "2").version == version
    assert "Refused.</strong> Fairness refused: family_status: children has" in story.refused.report
    promotion = to_json(story.refused.run, VIEWS)["promotion"]
    assert promotion.pop("challenge")["champion"] == "1"
    assert {gate["gate"]: gate["outcome"] for gate in promotion.pop("gates")}["adverse impact"] == "refused"
    assert promotion == {"promoted": False, "status": "refused", "why": decision.why}
    step = build_gate_step("again", story.refused.run, story.refused.served)
    assert (step.promoted, step.version, step.served.version) == (False, "2", "1")


@pytest.mark.slow
def test_a_key_that_may_not_or_gives_no_reason_changes_nothing(story: Story) -> None:
    assert f"key {id_of(OTHER)} is not authorised to override" in decision_of(story.nobody).why
    assert f"key {id_of(KEY)} gave no reason to override" in decision_of(story.silent).why
    assert story.nobody.served == story.silent.served == story.first.served
    asked = [(line["status"], line["override"]) for line in story.log[2:4]]
    wanted = [{"key_id": id_of(OTHER), "reason": REASON}, {"key_id": id_of(KEY), "reason": " "}]
    assert asked == [("refused", one) for one in wanted]


@pytest.mark.slow
def test_an_override_is_promoted_and_logged_with_who_why_what_and_when(story: Story) -> None:
    assert (story.overridden.served.version, story.overridden.served.status) == ("5", "overridden")
    assert story.overridden.run.version.model_hash == story.refused.run.version.model_hash
    assert [line["status"] for line in story.log] == ["provisional", "refused", "refused", "refused", "overridden"]
    line = story.log[-1]
    assert line["override"] == {"key_id": id_of(KEY), "reason": REASON}
    assert (line["version"], line["fairness"]["class"], line["fairness"]["group"]) == ("5", "family_status", "children")
    assert line["fairness"]["low"] < line["fairness"]["ratio"] < 0.8
    moments = [datetime.fromisoformat(line["at"]) for line in story.log]
    assert moments == sorted(moments)


@pytest.mark.slow
def test_every_answer_says_that_its_model_was_overridden(story: Story) -> None:
    with TestClient(create_app(story.parts.registry)) as client:
        row = story.overridden.run.examples.X.row(0, named=True)
        answer = client.post(f"/v1/tasks/{TASK}/predictions", json={"rows": [row]})
    assert answer.json()["model"]["status"] == "overridden", answer.text


@pytest.mark.slow
def test_the_key_itself_is_kept_nowhere(story: Story) -> None:
    files = [path for path in story.parts.settings.home.rglob("*") if path.is_file()]
    assert any(id_of(KEY).encode() in path.read_bytes() for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_the_planted_class_goes_with_late_payment_as_stated_and_nothing_else_is_touched() -> None:
    tables = dict(tiny_portfolio().tables)
    planted, fault = plant_unfair_class(tables, seed=0)
    before = tables["protected"]
    assert planted.drop("family_status").equals(before.drop("family_status"))
    assert planted.schema == before.schema
    assert fault.size == before.height
    rate = planted.join(compute_late_shares(tables), on="tenant_id").sort("late", descending=True)
    children = (rate["family_status"] == "children").to_numpy()
    fifth = round(0.2 * before.height)
    assert children[:fifth].mean() > 0.85
    assert children[-fifth:].mean() < 0.1
    assert plant_unfair_class(tables, seed=0)[0].equals(planted)
    assert not plant_unfair_class(tables, seed=1)[0].equals(planted)


@pytest.mark.slow
def test_the_command_tells_who_asks_in_vain_with_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    write_portfolio(Portfolio(unfair(), tiny_portfolio().end, {}), tmp_path / "sample")
    ingest_folder(assemble(Settings(shell.home, 1)), tmp_path / "sample" / "tables", options=IngestOptions(tiny_portfolio().end))
    monkeypatch.setenv("EPIC22_KEY", OTHER)
    code, out, err = shell("train", TASK, "--override-reason", REASON)
    assert code == 2
    assert "Not promoted: fairness refused" in out
    assert f"key {id_of(OTHER)} is not authorised to override" in err
    assert "EPIC22_AUTHORISED_KEYS" in err
    assert lines_of(shell.home)[-1]["status"] == "refused"
    monkeypatch.setenv("EPIC22_AUTHORISED_KEYS", id_of(OTHER))
    code, out, err = shell("train", TASK, "--override-reason", REASON)
    assert (code, err.count("epic22:")) == (0, 0)
    assert "Promoted as overridden" in out


class Silent:
    """A tracker that keeps nothing."""

    def prepare(self) -> None:
        """Nothing to make."""

    def log_run(self, run: RunRecord) -> str:
        return "run"

    def mark_versions(self, task: str, champion: str | None, challenger: str | None) -> None:
        raise AssertionError(f"version {champion} of {task} became champion")


@pytest.mark.slow
def test_a_registered_version_whose_bytes_were_altered_never_becomes_champion(tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    first = run.version
    folder = store.folder("toy", first.version)
    second = store.save("toy", first.family, first.model_hash, first.data_version, "proven", folder / "bundle")
    place = store.folder("toy", second.version)
    (place / "bundle" / "golden.json").write_bytes(b"{}")
    parts = replace(assemble(Settings(tmp_path, 1)), tracker=Silent())
    record = RunRecord(second, run.data_version, {"seed": "0"}, (), place / "bundle", place / "report.html", {})
    with pytest.raises(BundleError, match=r"golden\.json"):
        track_and_promote(parts, record, run.verdicts)
    with pytest.raises(BundleError, match=r"golden\.json"):
        promote_version(parts, "toy", second.version, "it looks better to me")
    assert store.champion("toy") == first
    assert store.load("toy").version == first
