"""Trainings onto one task, one after another: which version serves after each, and what is said and kept of it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.shell import Shell

import epic22
from epic22.bootstrap import assemble, list_models
from epic22.bootstrap.python_api import Run
from epic22.config import Settings
from epic22.core.errors import UnknownTaskError, UserError
from epic22.services.promote import RegisteredModel

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_pictures")]
TASK = "leavers"


def people(n: int, seed: int = 0) -> pl.DataFrame:
    """Who leaves: it depends on rent and on complaints, not on the shoe size. The first rows of more are the same rows."""
    columns = []
    for row in range(n):
        rng = np.random.default_rng([seed, row])
        rent, complaints, shoe = rng.normal(), float(rng.poisson(1.5)), rng.normal()
        left = 1.5 * rent + 0.8 * (complaints - 1.5) + rng.logistic() > 0.5
        columns.append((rent, complaints, shoe, "yes" if left else "no"))
    return pl.DataFrame(columns, schema=["rent", "complaints", "shoe", "left"], orient="row")


def train(home: Path, table: pl.DataFrame) -> Run:
    families = ("constant", "linear")
    return epic22.train(table, home=home, label="left", task=TASK, folds=3, repeats=1, families=families)


@dataclass(frozen=True)
class Story:
    """The trainings of one task, in their order."""

    home: Path
    first: Run
    weaker: Run
    grown: Run
    shuffled: Run

    def copy_home(self, to: Path) -> Path:
        """A home that a test may change."""
        return Path(shutil.copytree(self.home, to))

    @property
    def models(self) -> tuple[RegisteredModel, ...]:
        return list_models(assemble(Settings(self.home, 1)).registry, TASK)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    home = tmp_path_factory.mktemp("home")
    table = people(400)
    shuffled = table.with_columns(table["left"].shuffle(seed=1))
    return Story(
        home,
        first=train(home, table),
        weaker=train(home, table.select("shoe", "left")),
        grown=train(home, people(440)),
        shuffled=train(home, shuffled),
    )


def test_a_first_version_serves_at_once(story: Story) -> None:
    assert story.first.challenge is None
    evaluation = story.models[0].evaluation
    assert evaluation is not None
    assert (story.models[0].state, evaluation.metric, evaluation.rows) == ("former champion", "average_precision", 400)
    assert evaluation.score == story.first.scores["linear"]["average_precision"]


def test_a_version_that_cannot_be_compared_stays_a_challenger(story: Story) -> None:
    challenge = story.weaker.challenge
    assert challenge is not None
    assert not challenge.passed
    assert "its column 'rent' is not among the inputs now" in challenge.why
    assert (story.models[1].state, story.models[1].why) == ("challenger", challenge.why)


def test_a_training_on_a_few_more_rows_takes_the_place_by_itself(story: Story) -> None:
    challenge = story.grown.challenge
    assert challenge is not None
    assert (challenge.champion, challenge.passed, challenge.rows) == ("1", True, 440)
    assert challenge.verdict is not None
    assert epic22.load(TASK, home=story.home).version.version == "3"
    log = [json.loads(line) for line in (story.home / "models" / TASK / "promotions.jsonl").read_text().splitlines()]
    assert [line["status"] for line in log] == ["proven", "challenger", "proven", "challenger"]
    assert log[2]["challenge"]["verdict"]["difference"] == challenge.verdict.difference.value


def test_a_version_of_labels_that_are_noise_does_not_follow(story: Story) -> None:
    assert story.shuffled.challenge is not None
    assert not story.shuffled.challenge.passed
    assert [one.state for one in story.models] == ["former champion", "challenger", "champion", "challenger"]


def test_a_person_may_promote_with_a_reason(story: Story, tmp_path: Path) -> None:
    home = story.copy_home(tmp_path / "home")
    assert epic22.load(TASK, home=home).version == story.grown.version
    with pytest.raises(UserError, match="say why"):
        epic22.promote(TASK, 2, " ", home=home)
    with pytest.raises(UnknownTaskError, match="no version '7'"):
        epic22.promote(TASK, 7, "because", home=home)
    assert epic22.promote(TASK, 2, "rents are not known in time", home=home) == story.weaker.version
    assert epic22.load(TASK, home=home).version == story.weaker.version
    assert list_models(assemble(Settings(home, 1)).registry, TASK)[1].why == "promoted by hand: rents are not known in time"


def list_aliases(home: Path) -> dict[str, str]:
    """MLflow's aliases of the task, each with the registry's number of the version that it points to."""
    from mlflow.tracking import MlflowClient

    address = f"sqlite:///{home / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    aliases = client.get_registered_model(TASK).aliases
    return {alias: client.get_model_version(TASK, number).tags["epic22.version"] for alias, number in aliases.items()}


def test_mlflows_aliases_follow_the_registry(story: Story, tmp_path: Path) -> None:
    home = story.copy_home(tmp_path / "home")
    assert list_aliases(home) == {"champion": story.grown.version.version, "challenger": story.shuffled.version.version}
    epic22.promote(TASK, story.shuffled.version.version, "it is what we want", home=home)
    assert list_aliases(home) == {"champion": story.shuffled.version.version}, "it is no challenger any more"


@pytest.mark.parametrize("damaged", ["3/bundle/manifest.json", "champion.json"])
def test_a_champion_that_cannot_be_opened_is_followed_by_any_and_that_is_said(
    story: Story, tmp_path: Path, damaged: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    story.copy_home(shell.home)
    (shell.home / "models" / TASK / damaged).write_text("{")
    people(120).select("shoe", "left").write_csv("one.csv")
    code, out, err = shell("train", "--csv", "one.csv", "--label", "left", "--task", TASK, "--folds", "2", "--repeats", "1")
    assert (code, "version 5" in out) == (0, True)
    assert f"What served {TASK} cannot be opened, so the new version is compared with none: " in " ".join(err.split())
    assert epic22.load(TASK, home=shell.home).version.version == "5"


def test_a_champion_whose_held_out_predictions_are_damaged_goes_on_serving(story: Story, tmp_path: Path) -> None:
    home = story.copy_home(tmp_path / "home")
    (home / "models" / TASK / "3" / "held_out.npz").write_bytes(b"PK")
    challenge = train(home, people(120).select("shoe", "left")).challenge
    assert challenge is not None
    assert "its held-out predictions were not kept by the release that trained it, or are damaged" in challenge.why
    assert epic22.load(TASK, home=home).version.version == "3"


def test_the_command_says_who_serves_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    people(200).write_csv("all.csv")
    people(200).select("shoe", "left").write_csv("one.csv")
    options = ("--label", "left", "--task", TASK, "--folds", "2", "--repeats", "1")
    assert "Champion: " in shell("train", "--csv", "all.csv", *options)[1]
    code, out, _ = shell("train", "--csv", "one.csv", *options)
    assert code == 0
    assert "Challenger: " in out
    assert "Version 1 goes on serving" in out
    assert f"epic22 promote {TASK} 2" in out
    states = [(one["version"], one["state"], one["champion"]) for one in shell.json("models", TASK)]
    assert states == [("1", "champion", True), ("2", "challenger", False)]
    assert all(one["score"]["value"] for one in shell.json("models"))
    assert f"epic22 promote {TASK} 2" in shell("models")[1]
    code, out, _ = shell("promote", TASK, "2", "--reason", "a test")
    assert (code, "version 2" in out) == (0, True)
    assert [one["state"] for one in shell.json("models", TASK)] == ["former champion", "champion"]
    shown = shell.json("models", "show", TASK, "2")
    assert {gate["gate"]: gate["outcome"] for gate in shown["gates"]}["champion"] == "refused"
    assert "8 gates:" in shell("models", "show", TASK)[1]
    assert shell.json("models", "rollback", TASK)["champion"]["version"] == "1"
    assert shell.json("models", "list", TASK)[0]["champion"] is True
    history = [(one["version"], one["status"]) for one in shell.json("models", "history", TASK)]
    assert history == [("1", "proven"), ("2", "challenger"), ("2", "promoted"), ("1", "promoted")]
    assert "version 1 promoted: rolled back from version 2: it served before" in shell("models", "history", TASK)[1]
    code, out, _ = shell("models", "promote", TASK, "2", "--reason", "a test")
    assert (code, "version 2" in out) == (0, True)
    code, _, err = shell("promote", TASK, "9", "--reason", "a test")
    assert (code, "no version '9'" in err) == (2, True)


def test_a_promotion_that_was_cut_off_is_listed_with_the_way_to_finish_it(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    story.copy_home(shell.home)
    pointer = shell.home / "models" / TASK / "champion.json"
    before = pointer.read_text()
    assert shell("promote", TASK, "2", "--reason", "a test")[0] == 0
    pointer.write_text(before)
    assert [one["state"] for one in shell.json("models", TASK)][1:3] == ["promotion unfinished", "champion"]
    told = " ".join(shell("models", TASK)[1].split())
    assert f"{TASK} version 2 was to serve, and its process ended before it did: promoted by hand: a test." in told
    assert f"To let it serve: epic22 promote {TASK} 2 --reason" in told


def test_a_version_that_answers_another_value_of_the_label_stays_a_challenger(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    table = pl.DataFrame({"size": size, "price": 100 + 20 * size + rng.normal(size=200)})

    def train_price(loss: str) -> Run:
        options = {"folds": 3, "repeats": 1, "families": ("linear",), "loss": loss}
        return epic22.train(table, home=tmp_path, label="price", task="price", **options)

    train_price("squared")
    for loss, now in (("quantile:0.9", "the 0.9 quantile"), ("absolute", "the median")):
        challenge = train_price(loss).challenge
        assert challenge is not None
        assert not challenge.passed
        assert f"its answer: the mean before, {now} now; give another question a --task of its own" in challenge.why
    epic22.promote("price", 2, "an upper bound is asked for", home=tmp_path)
    same, other = train_price("quantile:0.9").challenge, train_price("quantile:0.8").challenge
    assert same is not None
    assert other is not None
    assert "cannot be compared" not in same.why
    assert "its answer: the 0.9 quantile before, the 0.8 quantile now" in other.why
    # Version 2 as a release before would have written it: no quantile beside its held-out responses.
    path = tmp_path / "models" / "price" / "2" / "held_out.npz"
    epic22.promote("price", 2, "as a release before has it", home=tmp_path)
    with np.load(path) as arrays:
        without = {name: arrays[name] for name in arrays.files if name != "quantile"}
    np.savez_compressed(path, **without)
    unknown = train_price("quantile:0.9").challenge
    assert unknown is not None
    assert unknown.passed
    assert unknown.why.endswith("which quantile version 2 answers, so that it is taken for the one asked for now")
    epic22.promote("price", 2, "what is damaged is said", home=tmp_path)
    path.write_bytes(b"PK")
    damaged = train_price("quantile:0.9").challenge
    assert damaged is not None
    assert "its held-out predictions were not kept by the release that trained it, or are damaged" in damaged.why
