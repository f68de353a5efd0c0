"""Networks beside boosting on C-MAPSS: windows never look ahead, a combination is judged by weights that its rows had no part in,
and a subset that is new in the folder runs as the known ones do."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module
from tests.unit.test_evidence_benchmarks import units

columns, sequences, networks = (benchmark_module(name) for name in ("cmapss_columns", "cmapss_sequences", "cmapss_networks"))
page, cmapss = benchmark_module("cmapss_networks_page"), benchmark_module("cmapss")
WINDOW = sequences.Window(12, 3)


def steps(rows: pl.DataFrame, learned: pl.DataFrame) -> pl.DataFrame:
    """The sequence columns of rows, by regimes and index of other rows."""
    regimes = columns.Regimes.fit(learned)
    life = np.minimum(columns.remaining(learned).to_numpy(), columns.CAP)
    health = columns.Health.fit(learned, regimes, life)
    return pl.DataFrame(sequences.sequence_columns(rows, regimes, health, WINDOW))


def test_steps_never_look_ahead() -> None:
    table = units()
    whole = steps(table, table)
    for last in (3, 12, 50):
        seen = pl.Series(table["cycle"] <= last)
        np.testing.assert_allclose(steps(table.filter(seen), table).to_numpy(), whole.filter(seen).to_numpy(), atol=1e-9)


def test_a_step_is_the_mean_of_its_cycles_and_null_before_the_unit_began() -> None:
    table = units()
    z = columns.Regimes.fit(table).standardised(table)["sensor_3"].to_numpy()
    made = steps(table, table)
    row = int(np.flatnonzero((table["unit"] == 2) & (table["cycle"] == 7))[0])
    assert made["sensor_3_1"][row] == pytest.approx(z[row - 2 : row + 1].mean())
    assert made["sensor_3_2"][row] == pytest.approx(z[row - 5 : row - 2].mean())
    assert made["sensor_3_3"][row] == pytest.approx(z[row - 6])
    assert made["sensor_3_4"][row] is None


def held_out(noise: float) -> object:
    """Forty units of ten rows in four folds, boosting that errs by 10 and a network that errs by `noise` independently."""
    rng = np.random.default_rng(0)
    life = rng.uniform(0, 125, 400)
    predicted = {"boosting": life + rng.normal(0, 10, 400), "network": life + rng.normal(0, noise, 400)}
    return networks.HeldOut(life, np.repeat(np.arange(40), 10), np.repeat(np.arange(40), 10) % 4, predicted)


def test_a_network_as_good_as_boosting_and_unlike_it_serves_with_half_the_weight() -> None:
    found = networks.measure_held_out(held_out(10.0))
    assert found["serves"]
    assert 0.3 < found["weights"]["network"] < 0.7
    assert found["gain"]["low"] > 0
    assert found["gain"]["value"] == pytest.approx(
        found["capped"]["boosting"]["value"] - found["capped"]["combination"]["value"], abs=2e-3
    )


def test_a_network_that_adds_nothing_has_no_weight_and_does_not_serve() -> None:
    found = networks.measure_held_out(held_out(200.0))
    assert found["weights"] == {"boosting": 1.0, "network": 0.0}
    assert not found["serves"]


def test_a_gain_is_paired_over_units_drawn_whole() -> None:
    rng = np.random.default_rng(0)
    shared, unit = rng.normal(0, 10, 40), np.repeat(np.arange(40), 25)
    gain = networks.compute_gain(np.repeat(shared, 25), np.repeat(shared * 1.1, 25), unit)
    alone = networks.compute_gain(shared, shared * 1.1, np.arange(40))
    np.testing.assert_allclose((gain.value, gain.low, gain.high), (alone.value, alone.low, alone.high))
    # Both err on the same units, so that their difference is known better than either error.
    assert 0 < gain.low < gain.value < gain.high < 2 * gain.value


def write_subset(folder: Path, name: str) -> None:
    """A subset in the format of the published ones: twelve training units, and four test units that end before they fail."""
    train, whole = units(12, 30), units(4, 30, seed=1)
    test = whole.filter(pl.col("cycle") <= 25 + 2 * pl.col("unit"))
    for part, table in (("train", train), ("test", test)):
        lines = [" ".join(f"{value:g}" for value in row) + "  " for row in table.select(columns.NAMES).iter_rows()]
        (folder / f"{part}_{name}.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    life = [str(30 + 10 * unit - 25 - 2 * unit) for unit in range(1, 5)]
    (folder / f"RUL_{name}.txt").write_text("\n".join(life) + "\n")


@pytest.mark.slow
def test_a_new_subset_in_the_folder_runs_and_its_test_is_scored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_subset(tmp_path, "FD009")
    small = networks.NetworkChoice("cnn", {"default_epochs": 2, "width": 8, "depth": 1, "members": 1}, WINDOW, (0,))
    for module in (networks, cmapss):
        monkeypatch.setattr(module, "FOLDS", 2)
    monkeypatch.setattr(cmapss, "FROZEN", cmapss.FROZEN[:1])
    monkeypatch.setattr(networks, "GRID", {"small": small})
    monkeypatch.setattr(networks, "FROZEN", ("small",))
    monkeypatch.setattr(networks, "FROZEN_ON", "2026-01-01")
    monkeypatch.setattr(networks, "RESULTS", tmp_path / "results.json")
    subset, predictions = networks.Subset("FD009", tmp_path), networks.Predictions(tmp_path / "predictions")
    stored = {"choice": networks.choose(subset, predictions), "sets": {}}
    for _ in range(2):
        networks.run_subset(subset, stored, predictions, again=False)
    result = json.loads((tmp_path / "results.json").read_text())["sets"]["FD009"]
    assert len(result["test_opened"]) == 1
    assert result["test_opened"][0]["frozen"] == result["frozen"] == subset.stamp()
    assert result["held_out"]["units"] == 12
    assert len(result["test"]["predictions"]) == 4
    assert "| FD009 | 4 |" in page.write_networks_section(stored, 9.8, {})
    monkeypatch.setattr(networks, "GRID", {"small": replace(small, seeds=(1,))})
    assert subset.stamp() != result["frozen"]
