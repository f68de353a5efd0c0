"""Networks for panels: they add to the damped drift what past changes foretell, and nothing where these foretell nothing.

Broken once on purpose: early rows up to a horizon before the late ones' end reach into them; without the gain that a damping
must show, noise is believed; with copies of a member weighed as others are, a network has weight where it says nothing.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.absent_libraries import WITHOUT_TRAINING_STACK
from tests.forecast_runs import forecast_run, usual_run
from tests.panels import known, lines, predict_median
from tests.shell import type_command
from tests.unit.test_forecast_choice import draw_errors, forecast, make_plan

from epic22.bootstrap import FeatureConfig, assemble, train_feature
from epic22.config import Settings
from epic22.core.artifact.panel_model import PanelModel
from epic22.core.artifact.panel_network import describe_panel_steps
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation.backtest import Backtest
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.specification import LstmLayers
from epic22.core.models.panel.base import QUANTILE_LEVELS, PanelFamily
from epic22.core.models.panel.catalog import PANEL_FAMILIES, get_panel_family, name_panel_families
from epic22.core.models.panel.network import PooledNetwork, choose_damping, measure_widths, split_by_time, spread_answers
from epic22.core.time_series import MONTHLY, Array, Histories
from epic22.features.market_intelligence import RENTS
from epic22.services.pipelines.series_board import build_board, compute_weights
from epic22.services.training_run import SeriesRun
from epic22.spec.panel_file import PanelFile, add_families

NETWORKS = [family for family in PANEL_FAMILIES if family.needs]
EACH = pytest.mark.parametrize("family", NETWORKS, ids=lambda family: family.name)
MIDDLE = QUANTILE_LEVELS.index(0.5)
H = 3


def draw_panel(persistence: float, series: int = 8, periods: int = 110, seed: int = 2) -> Array:
    """Values (series, periods) whose growth keeps this share of itself each period."""
    rng = np.random.default_rng(seed)
    growth = np.zeros((series, periods))
    for t in range(1, periods):
        growth[:, t] = persistence * growth[:, t - 1] + rng.normal(0, 0.01, series)
    return 100 * np.exp(np.cumsum(growth, axis=1))


def measure_error(family: PanelFamily, values: Array, end: int) -> float:
    """Mean absolute error in per cent of forecasts from `end` on, the family being fitted there."""
    forecaster = family.build(1, 0, 1).fit(known(values, end), H)
    ends = range(end, values.shape[1] - H + 1)
    errors = [np.abs(predict_median(forecaster, known(values, each)) / values[:, each : each + H] - 1).mean() for each in ends]
    return float(100 * np.mean(errors))


def test_networks_take_part_where_they_are_asked_for_alone() -> None:
    assert [family.name for family in NETWORKS] == ["pooled_lstm", "pooled_transformer", "pooled_cnn"]
    assert all(family.slow and not family.is_baseline and family.in_combination for family in NETWORKS)
    file = PanelFile(Path("rents.csv"), "wide", ("zip",), "month", "rent", MONTHLY, 3)
    assert not {family.name for family in NETWORKS} & set(file.families)
    if not NETWORKS[0].is_installed:
        pytest.skip("torch is not installed")
    assert "pooled_lstm" in add_families(file, ("pooled_lstm",)).families


def test_a_feature_of_series_takes_slow_families_and_says_so_to_who_names_those_of_rows() -> None:
    with pytest.raises(ColumnError, match=r"lstm: market_intelligence forecasts series, .* --also NAME .* pooled_lstm"):
        name_panel_families(RENTS, ("lstm",), ())
    assert name_panel_families(RENTS, (), ()) == RENTS
    more = name_panel_families(RENTS, (), ("arima",)).families
    assert set(more) == {*RENTS.families, "arima"}
    with pytest.raises(ColumnError, match="--also lstm: no such family; there are naive"):
        name_panel_families(RENTS, (), ("lstm",))


def test_a_feature_of_rows_has_no_families_of_series(tmp_path: Path) -> None:
    components = assemble(Settings(tmp_path / "home", 1))
    with pytest.raises(UserError, match="--also: tenant_churn forecasts no series; name families of rows with --families"):
        train_feature(components, "tenant_churn", config=FeatureConfig(also=("arima",)))


@pytest.mark.slow
@EACH
def test_where_the_last_change_foretells_the_next_a_network_beats_every_rule(family: PanelFamily) -> None:
    pytest.importorskip("torch")
    values = draw_panel(persistence=0.8)
    best = min(measure_error(get_panel_family(name), values, 95) for name in ("drift", "damped_drift", "naive"))
    assert measure_error(family, values, 95) < 0.95 * best


@pytest.mark.slow
@EACH
def test_where_growth_is_noise_a_network_errs_no_more_than_the_damped_drift(family: PanelFamily) -> None:
    pytest.importorskip("torch")
    values = draw_panel(persistence=0.0, seed=5)
    assert measure_error(family, values, 95) < 1.02 * measure_error(get_panel_family("damped_drift"), values, 95)


@pytest.mark.slow
def test_where_no_network_is_kept_the_combination_is_as_without_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    plain = ("naive", "drift", "damped_drift", "pooled_linear")
    values = lines(series=2, periods=60)
    for folder in ("without", "with"):
        (tmp_path / folder).mkdir()
    without, _ = forecast_run(tmp_path / "without", values, plain)
    run, _ = forecast_run(tmp_path / "with", values, (*plain, "pooled_lstm"))
    assert [(one.family, one.equals, one.everywhere) for one in run.equals if one.family == "pooled_lstm"] == [
        ("pooled_lstm", "damped_drift", True)
    ]
    assert run.members == without.members
    assert np.array_equal(run.weights, without.weights)


def test_a_network_that_forecasts_at_a_horizon_what_a_member_does_has_no_weight_there() -> None:
    plan = make_plan(horizon=2, n_earlier=24)
    rule, other = forecast(plan, "damped_drift", draw_errors(plan, 0, 4)), forecast(plan, "ets", draw_errors(plan, 3, 1))
    quantiles = rule.quantiles.copy()
    quantiles[:, 0] = plan.examples.Y[:, 0, None] + np.arange(-2, 3) * 0.1
    backtests = [forecast(plan, "naive", 30.0), rule, other, Backtest("pooled_lstm", quantiles, 0.0, 0.0)]
    board = build_board(plan, backtests)
    assert board.members == ("damped_drift", "ets", "pooled_lstm")
    weights = compute_weights(plan, board.forecasts, board.members, int(plan.origins.test[0]))
    assert weights[0, 2] > 0.9
    assert weights[1, 2] == 0.0
    without = build_board(plan, backtests[:-1])
    assert np.array_equal(
        weights[1, [0, 1, 3]], compute_weights(plan, without.forecasts, without.members, int(plan.origins.test[0]))[1]
    )


def test_noise_is_not_believed_and_what_is_known_is() -> None:
    rng = np.random.default_rng(0)
    labels, noise = rng.normal(size=(600, 2)), rng.normal(size=(600, 2))
    assert choose_damping(noise, labels, 30).tolist() == [0.0, 0.0]
    # A share of these lessens the error by less than 2 %.
    assert choose_damping(noise + 0.15 * labels, labels, 30).tolist() == [0.0, 0.0]
    near = labels + 0.1 * rng.normal(size=(600, 2))
    damping = choose_damping(near, labels, 30)
    assert (damping > 0.85).all()
    # The same evidence of fewer independent stretches is believed less, and that of hardly more than one not at all.
    assert 0 < choose_damping(near, labels, 6)[1] < damping[1]
    assert choose_damping(near, labels, 4)[1] == 0
    unknown = np.full((600, 2), np.nan)
    assert choose_damping(near, unknown, 30).tolist() == [0.0, 0.0]


def test_no_target_of_an_early_row_reaches_a_late_origin() -> None:
    origin, horizon = np.arange(100, 180), 6
    early, late = split_by_time(origin, 12, horizon)
    assert not (early & late).any()
    assert origin[early].max() + horizon < origin[late].min()
    assert late.sum() == 12 + horizon


def test_widths_make_each_quantile_hold_its_share_of_the_labels() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(0, 3, (5000, 2)) + 0.5
    answers = np.broadcast_to(np.array([-0.4, -0.2, 0.0, 0.1, 0.3]), (5000, 2, 5)).copy()
    damping = np.array([0.5, 0.0])
    quantiles = spread_answers(answers, damping, measure_widths(answers, damping, labels))
    shares = (labels[:, :, None] <= quantiles).mean(axis=0)
    assert np.abs(np.delete(shares, MIDDLE, axis=1) - np.delete(QUANTILE_LEVELS, MIDDLE)).max() < 0.01
    few = measure_widths(answers[:5], damping, labels[:5])
    assert (few == 1.0).all()


@pytest.mark.slow
def test_a_stored_network_forecasts_without_what_trained_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    family, past = get_panel_family("pooled_lstm"), known(lines())
    forecaster = family.build(4, 0, 1).fit(past, H)
    files = forecaster.files()
    assert sorted(files) == ["network.json", "score.onnx"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    script = """
from pathlib import Path
import numpy as np
from tests.panels import known, lines
from epic22.core.models.panel.catalog import get_panel_family
folder = Path(sys.argv[1])
forecaster = get_panel_family("pooled_lstm").restore({p.name: p.read_bytes() for p in folder.iterdir()})
np.save(folder / "quantiles.npy", forecaster.predict_quantiles(known(lines())))
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", WITHOUT_TRAINING_STACK + script, str(tmp_path)], check=True, cwd=root)
    assert np.array_equal(np.load(tmp_path / "quantiles.npy"), forecaster.predict_quantiles(past))


@pytest.fixture(scope="module")
def rents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SeriesRun, PanelModel]:
    """A home, in which a combination with a network answers for `rents`; the run that trained it, and the opened model."""
    pytest.importorskip("torch")
    home = tmp_path_factory.mktemp("rents")
    run, store = forecast_run(home, draw_panel(persistence=0.8), ("naive", "drift", "pooled_cnn"))
    model = store.load("rents")
    assert isinstance(model, PanelModel)
    return home, run, model


@pytest.mark.slow
def test_a_bundle_with_a_network_opens_and_forecasts_what_was_trained(rents: tuple[Path, SeriesRun, PanelModel]) -> None:
    _, run, model = rents
    opened = model.bundle
    assert "pooled_cnn" in opened.forecasters
    assert np.array_equal(opened.forecast(opened.history).quantiles, run.bundle.forecast(run.bundle.history).quantiles)


@pytest.mark.slow
def test_what_is_said_beside_an_exported_network_suffices_to_forecast_as_it_does(
    rents: tuple[Path, SeriesRun, PanelModel], tmp_path: Path
) -> None:
    import onnxruntime

    home, _, model = rents
    code, out, err = type_command(tmp_path, home, "export", "rents", "--to", "onnx", "--member", "pooled_cnn")
    assert code == 0, err
    assert "rents-1.onnx" in out
    said = json.loads((tmp_path / "rents-1.onnx.json").read_text())
    content = (tmp_path / "rents-1.onnx").read_bytes()
    assert content == model.bundle.forecasters["pooled_cnn"].files()["score.onnx"]
    values, output = np.array(said["golden"]["values"], dtype=np.float64), said["output"]
    level = np.nanmean(np.abs(values[:, -12:]), axis=1, keepdims=True)
    assert (values.min(axis=1, keepdims=True) > 0.1 * level).all()
    z = np.log(np.maximum(values, 0.01 * level) / level)
    volatility = np.sqrt(np.mean(np.diff(z, axis=1)[:, -12:] ** 2, axis=1, keepdims=True))
    x = (np.diff(z, axis=1)[:, -said["input"]["steps"] :] / volatility).astype(np.float32)
    assert np.allclose(x, np.array(said["golden"]["x"]), atol=1e-5)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (answers,) = session.run([output["name"]], {said["input"]["name"]: x})
    quantiles = answers.astype(np.float64).reshape(len(x), len(output["horizons"]), len(output["levels"]))
    damping, scale, widths = (np.array(output[name]) for name in ("damping", "scale", "widths"))
    median = quantiles[:, :, output["levels"].index(0.5)][:, :, None]
    label = damping[:, None] * median + widths * (quantiles - median)
    drift = (z[:, -1:] - z[:, -13:-12]) / 12 * np.cumsum(0.9 ** np.arange(1, H + 1))
    changes = drift[:, :, None] + volatility[:, :, None] * scale[:, None] * label
    forecast = np.sort(level[:, :, None] * np.exp(z[:, -1:, None] + changes), axis=2)
    assert forecast == pytest.approx(np.array(said["golden"]["quantiles"]), rel=1e-5)
    assert np.array(said["golden"]["quantiles"]) == pytest.approx(
        model.bundle.forecasters["pooled_cnn"].predict_quantiles(known_series(model, len(x)))
    )


def known_series(model: PanelModel, n: int) -> Histories:
    """The first series as last known."""
    return model.bundle.history.take(np.arange(n))


def test_a_network_for_a_panel_with_a_cycle_reads_the_place_in_it_as_is_said() -> None:
    forecaster = PooledNetwork(LstmLayers(width=24, depth=1), season=4)
    forecaster.horizon_, forecaster.typical_volatility_ = H, 0.01
    past = known(lines())
    x = forecaster.build_inputs(past).reshape(len(past), forecaster.n_steps, 3)
    periods = past.origin[:, None] + np.arange(1 - forecaster.n_steps, 1)
    assert forecaster.channels == ("change", "sine", "cosine")
    assert x[:, :, 1] == pytest.approx(np.sin(2 * np.pi * (periods % 4) / 4), abs=1e-6)
    assert x[:, :, 2] == pytest.approx(np.cos(2 * np.pi * (periods % 4) / 4), abs=1e-6)
    assert any("sine and cosine of 2π · (period modulo 4) ÷ 4" in step for step in describe_panel_steps(forecaster))


def test_a_forecast_without_a_network_or_with_several_is_refused_with_the_way_out() -> None:
    _, store = usual_run()
    model = store.load("rents")
    assert isinstance(model, PanelModel)
    with pytest.raises(UserError, match=r"rents version 1 has no network to export: it forecasts series by .*--also pooled_lstm"):
        model.get_network()
    damped, kept = (PooledNetwork(LstmLayers(width=24, depth=1), season=1) for _ in range(2))
    damped.network_, kept.network_, kept.horizon_ = None, GraphSession(b"graph"), H
    bundle = replace(model.bundle, forecasters={"pooled_lstm": damped})
    with pytest.raises(UserError, match="pooled_lstm kept no network, for none lessened the damped drift's errors"):
        replace(model, bundle=bundle).get_network()
    several = replace(model, bundle=replace(bundle, forecasters={"pooled_lstm": kept, "pooled_cnn": kept}))
    with pytest.raises(UserError, match="several networks: pooled_lstm, pooled_cnn; name one with --member"):
        several.get_network()
    with pytest.raises(UserError, match="--member ets: rents version 1 has no such network; there is pooled_lstm, pooled_cnn"):
        several.get_network("ets")
    assert several.get_network("pooled_cnn").member == "pooled_cnn"


@pytest.mark.slow
def test_without_pytorch_the_command_line_says_what_to_install(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from epic22.core.errors import NotInstalledError
from epic22.core.time_series import MONTHLY
from epic22.spec.panel_file import PanelFile, add_families
try:
    add_families(PanelFile(Path("rents.csv"), "wide", ("zip",), "month", "rent", MONTHLY, 3), ("pooled_lstm",))
except NotInstalledError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == (
        "family 'pooled_lstm': the library 'torch' is not installed; pip install 'epic22[neural]', or leave the family out.\n"
    )
