"""kill -9 in any step of a training: the old champion answers, every version listed opens, and the next training goes on."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.boilers import simulate_boilers
from tests.killed_training import KilledTraining, count_repetition

from epic22.adapters.model_store import ModelStore

KILLS = (("evaluate", 0.7), ("fit", 0.5), ("record", 0.3))
"""Steps, and how far into them the training is killed; `make kills` does it 30 times, at random."""


def kill_in_step(training: KilledTraining, step: str, share: float, seconds: Mapping[str, float]) -> str | None:
    """The step that a kill hit, which is sooner after its beginning where the machine has become faster since it was measured."""
    hit = None
    for part in (share, share / 4, 0.0):
        hit = training.kill(step, part, seconds)
        if hit == step:
            break
    return hit


@pytest.mark.slow
def test_a_training_killed_in_any_step_ends_in_the_undisturbed_model_and_makes_no_fit_twice(tmp_path: Path) -> None:
    simulate_boilers(boilers=40, months=14).rows.write_csv(tmp_path / "boilers.csv")
    roles = ("--label", "failed_within_30_days", "--time", "read_at", "--horizon", "30", "--task", "boilers", "--folds", "2")
    home = tmp_path / "home"
    training = KilledTraining(("--csv", str(tmp_path / "boilers.csv"), *roles), home, {"EPIC22_THREADS": "1"})
    store, undisturbed = ModelStore(home / "models"), training.finish()
    seconds, steps = training.measure_steps(), []
    for step, share in KILLS:
        steps.append(kill_in_step(training, step, share, seconds))
        champion = store.champion("boilers")
        assert store.load("boilers").version == champion
        assert all(store.load("boilers", version.version) for version in store.list_versions("boilers"))
    assert {"evaluate", "record"} <= set(steps), f"the kills hit {steps}"
    assert training.finish()["model_hash"] == undisturbed["model_hash"]
    repetition = count_repetition(training.read_log())
    assert repetition.seconds_again < 0.1 * repetition.fits_again, f"only fits of less than 0.1 s are made again: {repetition}"
    assert not (home / "fits").exists()
    known = store.list_versions("boilers")
    assert store.champion("boilers") == known[-1]
    assert {version.model_hash for version in known} == {undisturbed["model_hash"]}
