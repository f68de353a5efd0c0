"""The loop that trains networks: checkpoints, schedules, memory, precision, and what is told of its epochs."""

import hashlib
import io
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from epic22.adapters.abandoned import ABANDONED_SECONDS
from epic22.adapters.checkpoints import open_checkpoints
from epic22.bootstrap import assemble
from epic22.bootstrap.training import train_and_promote
from epic22.cli.progress_bars import ProgressBars
from epic22.cli.terminal import show_progress
from epic22.config import Settings
from epic22.core.errors import InternalError, UserError
from epic22.core.lineage import DataVersion
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import Loss
from epic22.core.models.networks import architecture
from epic22.core.models.networks.checkpoint import Pace, find_checkpoint, get_checkpoint_folder, keep_checkpoints
from epic22.core.models.networks.estimator import FAMILIES, NetworkEstimator
from epic22.core.models.networks.jobs import NetworkRows, Precision, TrainingJob, TrainingSettings
from epic22.core.models.networks.schedule import compute_learning_rate
from epic22.core.models.networks.specification import ConvolutionLayers, LstmLayers, MlpLayers, NetworkColumns, NetworkSpec
from epic22.core.models.networks.training_process import TrainingProcess, find_process, train_network_rows
from epic22.core.progress import (
    EpochFinished,
    Noted,
    Progress,
    ProgressEvent,
    WorkAdvanced,
    WorkStarted,
    follow_inner_work,
    get_inner_progress,
)
from epic22.core.selection.executor import FoldExecutor

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.slow

from epic22.core.models.networks import training_loop  # noqa: E402
from epic22.core.models.networks.losses import OUTPUT_LOSSES, average_over_members, build_training_loss  # noqa: E402
from epic22.core.models.networks.memory_plan import StepPlan, find_memory_cap, measure_steps, plan_steps  # noqa: E402
from epic22.core.models.networks.precision import LayerNumbers, find_gradient_fault  # noqa: E402
from epic22.core.models.networks.training_loop import (  # noqa: E402
    NetworkTraining,
    RowTensors,
    Surroundings,
    TrainingHistory,
    count_batches,
    draw_batches,
    train_network,
)

SPEC = NetworkSpec(
    NetworkColumns((0, 1, 2)), MlpLayers(n_bins=4, embedding=4, width=16, depth=2, members=2, dropout=0.2), 1, "log_odds"
)
SETTINGS = TrainingSettings(4, 32, patience=10)
ALWAYS = Pace(0.0, 0.0, 0.0, math.inf)
"""A checkpoint after every step."""


class KilledError(Exception):
    """Ends a training where a kill would."""


def draw_rows(n: int = 200, seed: int = 0) -> NetworkRows:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    return NetworkRows(X, (X[:, 0] + rng.normal(size=n) > 0).astype(np.float64))


ROWS, VALIDATION = draw_rows(), draw_rows(60, 1)


def to_tensors(rows: NetworkRows) -> RowTensors:
    return RowTensors(torch.from_numpy(rows.X), torch.from_numpy(rows.y.astype(np.float32)))


def compute_mean_loss(raw: Any, y: Any) -> Any:
    return average_over_members(OUTPUT_LOSSES["binary"](Loss()))(raw, y)


def build_network(spec: NetworkSpec = SPEC) -> Any:
    torch.manual_seed(0)
    return architecture.build_network(spec)


def train_once(
    settings: TrainingSettings = SETTINGS,
    steps_until_kill: int = 10**9,
    progress: Progress = Progress(),
    validation: NetworkRows = VALIDATION,
    loss_factor: float = 1.0,
    spec: NetworkSpec = SPEC,
) -> tuple[str, TrainingHistory]:
    """The hash of a trained network's weights and its history, with the checkpoint of its job."""
    network, steps = build_network(spec), 0

    def count_and_compute_loss(raw: Any, y: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > steps_until_kill:
            raise KilledError
        return loss_factor * compute_mean_loss(raw, y)

    checkpoint = find_checkpoint(TrainingJob(spec, "binary", Loss(), settings, 1), ROWS, validation)
    surroundings = Surroundings(checkpoint=checkpoint, progress=progress)
    judge = (to_tensors(validation), compute_mean_loss)
    history = train_network(network, count_and_compute_loss, to_tensors(ROWS), settings, judge, surroundings)
    weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
    return hashlib.sha256(weights).hexdigest(), history


def kill_after(steps: int, folder: Path, settings: TrainingSettings = SETTINGS, **how: Any) -> None:
    """Train in a folder of checkpoints, and end after so many steps as a kill would."""
    with suppress(KilledError), keep_checkpoints(folder, ALWAYS):
        train_once(settings, steps, **how)
        pytest.fail("it was to be killed")


def test_augmented_steps_are_the_same_after_a_kill_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    columns = NetworkColumns((), steps=((0,), (1,), (2,)))
    layers = ConvolutionLayers(4, 4, 8, 1, members=2, augmentation=0.4)
    augmented, plain = (NetworkSpec(columns, one, 1, "log_odds") for one in (layers, replace(layers, augmentation=0.0)))
    kill_after(10, tmp_path, spec=augmented)
    with keep_checkpoints(tmp_path, ALWAYS):
        resumed = train_once(spec=augmented)
    assert resumed == train_once(spec=augmented)
    assert resumed[0] != train_once(spec=plain)[0]


def list_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_two_trainings_of_one_seed_have_equal_bytes_and_another_seed_has_others() -> None:
    assert train_once() == train_once()
    assert train_once(replace(SETTINGS, seed=1))[0] != train_once()[0]


@pytest.mark.parametrize("steps", [1, 7, 10, 27])
@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_a_training_that_was_killed_goes_on_and_ends_with_the_same_bytes(steps: int, schedule: Any, tmp_path: Path) -> None:
    settings = replace(SETTINGS, schedule=schedule)
    undisturbed = train_once(settings)
    kill_after(steps, tmp_path, settings)
    assert len(list_files(tmp_path)) == 1
    events: list[ProgressEvent] = []
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(settings, 28 - steps, Progress(events.append)) == undisturbed, "only the steps that lacked were taken"
    assert [event for event in events if isinstance(event, Noted)] == [
        Noted(f"a training that was interrupted goes on in epoch {steps // 7 + 1}")
    ]
    assert list_files(tmp_path) == []


@pytest.mark.parametrize(
    ("limit_before", "limit_now", "rows_at_once"),
    [(None, None, 32), (10**12, 10**12, 32), (10**12, None, 32), (None, 10**12, 8), (10**13, 10**12, 8)],
)
def test_a_resumed_training_takes_fewer_rows_at_once_only_where_the_process_may_take_less_memory_than_before(
    limit_before: int | None, limit_now: int | None, rows_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, notes = [limit_before], list[str]()
    monkeypatch.setattr(training_loop, "read_process_limit", lambda: limits[-1])
    planned: list[StepPlan] = []

    def note_plan(_: Any, plan: StepPlan) -> AbstractContextManager[None]:
        planned.append(plan)
        return nullcontext()

    monkeypatch.setattr(training_loop, "apply_plan", note_plan)
    kill_after(10, tmp_path)
    limits.append(limit_now)
    monkeypatch.setattr(training_loop, "plan_steps", lambda *_: StepPlan(8))

    def note(event: ProgressEvent) -> None:
        if isinstance(event, Noted):
            notes.append(event.text)

    with keep_checkpoints(tmp_path, ALWAYS):
        resumed = train_once(progress=Progress(note))
    assert planned[-1].micro_batch == rows_at_once
    assert any("8 rows at a time instead of 32" in one for one in notes) is (rows_at_once == 8)
    monkeypatch.undo()
    if rows_at_once == 32:
        assert resumed == train_once()


def test_a_training_whose_best_epoch_was_long_before_the_kill_ends_with_its_weights(tmp_path: Path) -> None:
    # Labels turned round are foretold worse by every epoch.
    turned = NetworkRows(VALIDATION.X, 1 - VALIDATION.y)
    undisturbed = train_once(validation=turned)
    assert undisturbed[1].best_epochs == 1
    kill_after(17, tmp_path, validation=turned)
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(steps_until_kill=11, validation=turned) == undisturbed


def test_a_training_in_half_precision_goes_on_with_its_scale(tmp_path: Path) -> None:
    # So large a loss overflows until its scale is found.
    settings, factor = replace(SETTINGS, precision="float16"), 1e4
    undisturbed = train_once(settings, loss_factor=factor)
    # Before the first step the gradients of half precision are compared with float32's.
    kill_after(10 + 2, tmp_path, settings, loss_factor=factor)
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(settings, 18, loss_factor=factor) == undisturbed


def test_a_training_that_ended_is_not_done_again_by_the_next_process(tmp_path: Path) -> None:
    with suppress(KilledError), keep_checkpoints(tmp_path, ALWAYS):
        ended = train_once()
        assert train_once() == ended, "what this process made itself is made again, so that its seconds are its own"
        raise KilledError
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(steps_until_kill=0) == ended
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("fault", ["cut", "empty", "text", "changed", "other header"])
def test_a_damaged_checkpoint_is_logged_and_the_training_begins_anew(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kill_after(10, tmp_path)
    (path,) = list_files(tmp_path)
    content = path.read_bytes()
    changed = bytearray(content)
    changed[-5] ^= 1
    other = bytes(content).replace(b"safetensors", b"safetensors").replace(b'\\"job\\":', b'\\"jab\\":')
    path.write_bytes({"cut": content[:-9], "empty": b"", "text": b"{}", "changed": bytes(changed), "other header": other}[fault])
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once() == train_once()
    assert f"checkpoint {path.name} is not used, the training begins anew" in caplog.text


def test_the_checkpoint_of_another_job_is_never_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kill_after(10, tmp_path)
    (path,) = list_files(tmp_path)
    other = replace(SETTINGS, learning_rate=1e-3)
    undisturbed = train_once(other)
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(other) == undisturbed
    assert list_files(tmp_path) == [path], "it is not touched either"
    kill_after(10, tmp_path, other)
    (foreign,) = set(list_files(tmp_path)) - {path}
    foreign.write_bytes(path.read_bytes())
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(other) == undisturbed
    assert "it is of another training" in caplog.text


JOB = TrainingJob(SPEC, "binary", Loss(), SETTINGS, 1)
OTHER_ROWS = NetworkRows(ROWS.X + np.float32(1e-6) * (np.arange(600).reshape(200, 3) == 599), ROWS.y)


@pytest.mark.parametrize(
    ("job", "rows", "validation"),
    [
        (replace(JOB, spec=replace(SPEC, layers=replace(SPEC.layers, width=17))), ROWS, VALIDATION),
        (replace(JOB, objective="squared"), ROWS, VALIDATION),
        (replace(JOB, loss=Loss("quantile", 0.9)), ROWS, VALIDATION),
        (replace(JOB, settings=replace(SETTINGS, label_smoothing=0.1)), ROWS, VALIDATION),
        (replace(JOB, threads=2), ROWS, VALIDATION),
        (replace(JOB, device="cuda"), ROWS, VALIDATION),
        (JOB, OTHER_ROWS, VALIDATION),
        (JOB, NetworkRows(ROWS.X, 1 - ROWS.y), VALIDATION),
        (JOB, ROWS, NetworkRows(VALIDATION.X, 1 - VALIDATION.y)),
        (JOB, ROWS, None),
    ],
)
def test_whatever_decides_a_training_is_in_its_hash(job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None) -> None:
    assert find_checkpoint(JOB, ROWS, VALIDATION).digest == find_checkpoint(JOB, draw_rows(), draw_rows(60, 1)).digest
    assert find_checkpoint(job, rows, validation).digest != find_checkpoint(JOB, ROWS, VALIDATION).digest


def test_other_code_or_libraries_train_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = find_checkpoint(JOB, ROWS, VALIDATION).digest
    monkeypatch.setattr("epic22.core.models.networks.checkpoint.compute_environment_digest", lambda: b"other sources")
    assert find_checkpoint(JOB, ROWS, VALIDATION).digest != digest


def test_a_checkpoint_that_cannot_be_removed_fails_no_training(tmp_path: Path) -> None:
    with keep_checkpoints(tmp_path, ALWAYS) as folder:
        train_once()
        (path,) = folder.used
        path.unlink()
        path.mkdir()
    assert path.is_dir()


def test_a_short_training_writes_nothing_and_hashes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.core.models.networks.checkpoint.compute_job_digest", lambda *_: pytest.fail("it was hashed"))
    with keep_checkpoints(tmp_path / "none"):
        train_once()
        assert not (tmp_path / "none").exists()


def test_a_disk_that_refuses_checkpoints_does_not_end_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with keep_checkpoints(tmp_path / "file" / "folder", ALWAYS):
        assert train_once() == train_once()
    assert "no more checkpoints of this training" in caplog.text


def test_a_training_whose_time_was_over_is_not_taken_for_one_that_ended(tmp_path: Path) -> None:
    undisturbed = train_once()
    with suppress(KilledError), keep_checkpoints(tmp_path, ALWAYS):
        network = build_network()
        checkpoint = find_checkpoint(JOB, ROWS, VALIDATION)
        surroundings = Surroundings(expired=lambda: True, checkpoint=checkpoint)
        validation = (to_tensors(VALIDATION), compute_mean_loss)
        train_network(network, compute_mean_loss, to_tensors(ROWS), SETTINGS, validation, surroundings)
        raise KilledError
    with keep_checkpoints(tmp_path, ALWAYS):
        assert train_once(steps_until_kill=21) == undisturbed


def test_checkpoints_that_nobody_went_on_with_are_removed_by_age(tmp_path: Path) -> None:
    import os
    import time

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name, age in (("old", ABANDONED_SECONDS + 60), ("new", 60)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - age,) * 2)
    with open_checkpoints(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["new"]
    (folder / "new").unlink()
    with open_checkpoints(folder):
        pass
    assert not folder.exists()


def test_fits_of_an_executor_keep_checkpoints_where_its_caller_does(tmp_path: Path) -> None:
    with FoldExecutor(1) as executor, keep_checkpoints(tmp_path, ALWAYS):
        executor.submit(0, train_once).result()
        assert len(list_files(tmp_path)) == 1


def list_rates(settings: TrainingSettings, steps: int) -> list[float]:
    return [compute_learning_rate(settings, step, steps) for step in range(1, steps + 1)]


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    rates = list_rates(TrainingSettings(learning_rate=0.1, warm_up_steps=4), 8)
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_a_network_without_its_schedule_has_one_rate_from_the_first_step_to_the_last(name: str) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    problem = LearningProblem("binary", ("size",), (False,))
    whole, without, falling = (
        list_rates(NetworkEstimator.of(problem, **dict[str, Any](params)).settings, 100)
        for params in ({}, family.parts["schedule"], family.parts["steady rate after the warm-up"])
    )
    assert set(without) == {max(whole)}
    assert whole[0] < whole[-1] == max(whole)
    assert falling[0] == whole[0]
    assert falling[-1] < whole[-1]


def test_a_cosine_falls_from_the_highest_rate_past_its_half_to_almost_nothing() -> None:
    rates = list_rates(TrainingSettings(learning_rate=0.1, warm_up_steps=4, schedule="cosine"), 104)
    assert rates[3:5] == pytest.approx([0.1, 0.1])
    assert rates[54] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-4
    assert all(later <= before for before, later in pairwise(rates[3:]))


def test_one_cycle_is_that_of_pytorch() -> None:
    rates = list_rates(TrainingSettings(learning_rate=0.1, schedule="one_cycle"), 1000)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=1000)
    expected = []
    for _ in range(1000):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if len(expected) < 1000:
            theirs.step()
    assert rates == pytest.approx(expected, abs=0.1 * 0.01)
    assert max(rates) == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 19, 20, 21, 22])
def test_a_training_shorter_than_its_warm_up_has_rates_too(schedule: Any, steps: int) -> None:
    assert all(0 < rate <= 3e-3 for rate in list_rates(TrainingSettings(schedule=schedule), steps))


@pytest.mark.parametrize(("n", "size"), [(1, 8), (2, 1), (3, 1), (8, 8), (9, 8), (10, 8), (17, 8), (24, 8)])
def test_as_many_batches_are_counted_as_are_drawn(n: int, size: int) -> None:
    assert count_batches(n, size) == len(draw_batches(n, size, 0, 0))


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_smoothed_labels_are_learned_as_shares(n_outputs: int) -> None:
    objective = "binary" if n_outputs == 1 else "multiclass"
    loss, raw = build_training_loss(objective, Loss(), 0.2), torch.zeros(1, n_outputs, requires_grad=True)
    optimiser = torch.optim.SGD([raw], lr=2.0)
    for _ in range(300):
        optimiser.zero_grad()
        loss(raw, torch.ones(1)).mean().backward()
        optimiser.step()
    share = torch.sigmoid(raw)[0, 0] if n_outputs == 1 else raw.softmax(1)[0, 1]
    assert float(share.detach()) == pytest.approx(1 - 0.2 + 0.2 / max(n_outputs, 2), abs=1e-3)


def test_values_are_not_smoothed() -> None:
    with pytest.raises(UserError, match=r"label_smoothing is 0\.1, and the objective 'squared'"):
        build_training_loss("squared", Loss(), 0.1)
    with pytest.raises(UserError, match="give a share from 0 to below 1"):
        build_training_loss("binary", Loss(), 1.5)


def list_learned(network: Any) -> list[Any]:
    return [parameter for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("micro_batch", [1, 7, 16, 31])
def test_gradients_summed_up_part_by_part_are_those_of_the_batch(micro_batch: int) -> None:
    settings, chosen = replace(SETTINGS, max_gradient=1e9), torch.arange(31)
    gradients = []
    for rows_at_once in (None, micro_batch):
        network = build_network(replace(SPEC, layers=replace(SPEC.layers, dropout=0.0)))
        training = NetworkTraining(
            network, compute_mean_loss, to_tensors(ROWS), replace(settings, micro_batch=rows_at_once), Surroundings()
        )
        training._take_step(chosen)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in list_learned(network)]))
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


LARGE = replace(SPEC, layers=replace(SPEC.layers, width=256, depth=6, members=8, dropout=0.0))
LARGE_BATCH = TrainingSettings(2, 200)


def plan_under(cap: int | None, spec: NetworkSpec = LARGE) -> StepPlan:
    network = build_network(spec)
    training = NetworkTraining(network, compute_mean_loss, to_tensors(ROWS), LARGE_BATCH, Surroundings())
    settings = replace(LARGE_BATCH, max_memory_mb=cap)
    return plan_steps(network, training._compute_first_loss, 200, len(ROWS.X), settings)


def measure_large(recompute: bool = False) -> Any:
    from epic22.core.models.networks.memory_plan import recompute_blocks

    network = build_network(LARGE)
    training = NetworkTraining(network, compute_mean_loss, to_tensors(ROWS), LARGE_BATCH, Surroundings())
    if not recompute:
        return measure_steps(network, training._compute_first_loss, len(ROWS.X))
    with recompute_blocks(network):
        return measure_steps(network, training._compute_first_loss, len(ROWS.X))


def test_a_step_takes_more_with_more_rows_and_less_where_activations_are_computed_again() -> None:
    kept, recomputed = measure_large(), measure_large(recompute=True)
    weights = sum(parameter.nbytes for parameter in build_network(LARGE).parameters())
    # Each of six layers keeps its inputs, products and outputs, float32, of eight members.
    assert 6 * 8 * 256 * 4 * 2 < kept.per_row < 6 * 8 * 256 * 4 * 5
    assert kept.fixed >= 4 * weights
    assert recomputed.per_row < 0.8 * kept.per_row


def test_a_cap_shrinks_the_micro_batch_then_computes_activations_again_then_refuses() -> None:
    kept, recomputed = measure_large(), measure_large(recompute=True)
    room = {rows: math.ceil(kept.compute_bytes(rows) / 1e6) for rows in (200, 100, 20, 1)}
    assert plan_under(None) == plan_under(3 * room[200]) == StepPlan(200)
    assert plan_under(room[200] + 1) == StepPlan(200, is_tight=True)
    shrunk = plan_under(room[100])
    assert 60 <= shrunk.micro_batch <= 100
    assert not shrunk.recomputes
    squeezed = plan_under(room[20])
    assert squeezed.recomputes
    assert squeezed.micro_batch > 20
    needed = min(kept.compute_bytes(1), recomputed.compute_bytes(1)) / 1e6
    with pytest.raises(UserError, match=rf"takes {needed:,.0f} MB to be trained on one row .* 1 MB are allowed"):
        plan_under(1)


@pytest.mark.parametrize("rows", [100, 20])
def test_a_network_under_a_cap_is_trained_all_the_same(rows: int) -> None:
    cap = math.ceil(measure_large().compute_bytes(rows) / 1e6)
    scores = []
    for max_memory_mb in (None, cap):
        network = build_network(LARGE)
        settings = replace(LARGE_BATCH, max_memory_mb=max_memory_mb)
        train_network(network, compute_mean_loss, to_tensors(ROWS), settings)
        with torch.no_grad():
            scores.append(network(torch.from_numpy(ROWS.X)))
    assert torch.allclose(scores[0], scores[1], atol=2e-3)


def test_activations_computed_again_give_equal_bytes_with_dropout_too() -> None:
    weights = []
    for recompute in (False, True):
        network = build_network()
        training = NetworkTraining(network, compute_mean_loss, to_tensors(ROWS), SETTINGS, Surroundings())
        training.plan = StepPlan(32, recompute)
        from epic22.core.models.networks.memory_plan import apply_plan

        with apply_plan(network, training.plan):
            training.run(None)
        weights.append(torch.cat([parameter.flatten() for parameter in network.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited and told on Linux")
def test_the_limit_of_the_process_is_a_cap_too() -> None:
    script = """
import resource
from epic22.core.models.networks.memory_plan import find_memory_cap
from pathlib import Path
assert find_memory_cap(None) is None
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 300_000_000, resource.RLIM_INFINITY))
print(find_memory_cap(None) / 1e6, find_memory_cap(100) / 1e6)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    room, set_cap = map(float, done.stdout.split())
    assert 280 < room <= 300
    assert set_cap == 100
    assert find_memory_cap(7) == 7e6


LIMITED_TRAINING = """
import resource, sys
from pathlib import Path
import torch
from epic22.core.models.networks import training_loop
from epic22.core.models.networks.jobs import TrainingSettings
from epic22.core.models.networks.memory_plan import StepPlan
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.specification import MlpLayers, NetworkColumns, NetworkSpec

torch.set_num_threads(1)
rows = training_loop.RowTensors(torch.randn(512, 3), torch.randn(512))

def train(layers, settings):
    network = build_network(NetworkSpec(NetworkColumns((0, 1, 2)), layers, 1, "value"))
    loss = lambda raw, y: ((raw[..., 0] - y[:, None]) ** 2).mean()
    return training_loop.train_network(network, loss, rows, settings)

train(MlpLayers(width=16, members=2), TrainingSettings(1, 512))
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 100_000_000, resource.RLIM_INFINITY))
if sys.argv[1] == "unplanned":
    training_loop.plan_steps = lambda *arguments: StepPlan(512)
# A batch of 512 rows takes 340 MB.
print(train(MlpLayers(width=512, members=32), TrainingSettings(2, 512)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited and told on Linux")
def test_a_network_that_exceeds_the_limit_of_the_process_is_trained_all_the_same() -> None:
    planned, unplanned = (
        subprocess.run([sys.executable, "-c", LIMITED_TRAINING, way], capture_output=True, text=True, check=False)
        for way in ("planned", "unplanned")
    )
    assert "TrainingHistory(best_epochs=2" in planned.stdout, planned.stderr
    assert "UserError: memory ran out while a network was trained on 512 rows at a time" in unplanned.stderr


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_layers_in_fewer_bits_learn_nearly_the_same_and_weights_stay_float32(precision: Precision) -> None:
    outputs, types = [], list[Counter[Any]]()
    numbers: tuple[Precision, Precision] = ("float32", precision)
    for one in numbers:
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(3, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1), torch.nn.Unflatten(1, (1, 1))
        )
        found = Counter[Any]()
        network[0].register_forward_hook(lambda module, _, output, found=found: found.update([(module.training, output.dtype)]))
        validation = (to_tensors(VALIDATION), compute_mean_loss)
        train_network(network, compute_mean_loss, to_tensors(ROWS), replace(SETTINGS, precision=one), validation)
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
        types.append(found)
        with torch.no_grad():
            outputs.append(network(torch.from_numpy(VALIDATION.X)))
    assert set(types[0]) == {(True, torch.float32), (False, torch.float32)}
    # Once beside the first gradients in half precision.
    assert types[1].pop((True, torch.float32)) == 1
    assert set(types[1]) == {(True, getattr(torch, precision)), (False, torch.float32)}, "it is judged as it will answer"
    assert 0 < float((outputs[0] - outputs[1]).abs().max()) < 0.05


class NarrowFault(torch.autograd.Function):  # type: ignore[name-defined,misc]
    """What comes in, with a gradient of the other sign where that is half precision."""

    @staticmethod
    def forward(context: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        return gradient if gradient.dtype == torch.float32 else -gradient


def build_faulty_network(break_layer: Callable[[Any], Any]) -> Any:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1), torch.nn.Unflatten(1, (1, 1)))
    network[0].register_forward_hook(lambda module, _, output: break_layer(output))
    return network


def refuse_half_precision(output: Any) -> Any:
    if output.dtype == torch.bfloat16:
        raise RuntimeError("could not create a primitive\nmore of it")
    return output


@pytest.mark.parametrize(
    ("break_layer", "reason"),
    [
        (NarrowFault.apply, "a gradient is wrong by 200% beside float32's; up to 50% is rounding"),
        (refuse_half_precision, "it cannot be computed there (could not create a primitive)"),
    ],
)
def test_where_half_precision_is_computed_wrong_layers_are_float32_and_that_is_said(
    break_layer: Callable[[Any], Any], reason: str
) -> None:
    notes: list[ProgressEvent] = []
    weights = []
    precisions: tuple[Precision, Precision] = ("bfloat16", "float32")
    for precision in precisions:
        network, around = build_faulty_network(break_layer), Surroundings(progress=Progress(notes.append))
        settings = replace(SETTINGS, precision=precision)
        train_network(network, compute_mean_loss, to_tensors(ROWS), settings, surroundings=around)
        weights.append([value.tolist() for value in network.state_dict().values()])
    assert weights[0] == weights[1]
    assert f"layers are computed in float32 instead of bfloat16: {reason}" in str(notes)


def test_an_lstm_in_numbers_that_the_processor_has_no_lstm_for_is_trained_in_float32() -> None:
    spec = NetworkSpec(NetworkColumns((0,), steps=((1,), (2,))), LstmLayers(width=8, members=2), 1, "log_odds")
    once = [train_once(replace(SETTINGS, precision=one), spec=spec) for one in ("float16", "float32")]
    assert once[0][1].losses == pytest.approx(once[1][1].losses, rel=0.01)


def test_the_check_of_half_precision_leaves_dropout_gradients_and_random_numbers_as_they_were() -> None:
    network, rows = build_network(), to_tensors(ROWS)
    before = torch.random.get_rng_state()
    numbers = LayerNumbers("bfloat16", "cpu")
    assert find_gradient_fault(network, lambda: compute_mean_loss(network(rows.x).float(), rows.y), numbers) is None
    assert torch.equal(torch.random.get_rng_state(), before)
    assert network.stack.dropout == 0.2
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize(("free_bytes", "place"), [(4 * 4 * 300, "meta"), (4 * 4 * 300 - 4, "cpu"), (0, "cpu")])
def test_rows_lie_on_the_device_where_they_take_a_quarter_of_its_room_at_most(
    free_bytes: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epic22.core.models.networks.training_loop.read_free_memory", lambda device: free_bytes)
    rows = RowTensors(torch.zeros(100, 2), torch.zeros(100)).move("meta")
    assert (rows.x.device.type, rows.y.device.type) == (place, place)
    x, y = rows.take(torch.tensor([3, 1]), "meta")
    assert (x.shape, y.shape, x.device.type, y.device.type) == ((2, 2), (2,), "meta", "meta")


def test_rows_stay_where_they_are_on_the_processor() -> None:
    rows = RowTensors(torch.zeros(100, 2), torch.zeros(100))
    assert rows.move("cpu") is rows


def test_a_device_that_is_not_there_is_named() -> None:
    device = next(name for name in ("cuda", "mps") if not getattr(torch, name).is_available())
    with pytest.raises(UserError, match=rf"device '{device}' does not compute in bfloat16 here .*; take precision float32"):
        train_network(
            build_network(),
            compute_mean_loss,
            to_tensors(ROWS),
            replace(SETTINGS, precision="bfloat16"),
            surroundings=Surroundings(device),
        )


def test_every_epoch_is_told_with_its_losses_rate_and_time_left() -> None:
    events: list[ProgressEvent] = []
    _, history = train_once(progress=Progress(events.append))
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert [(one.epoch, one.epochs, one.validation_loss) for one in epochs] == [
        (n + 1, 4, loss) for n, loss in enumerate(history.losses)
    ]
    assert epochs[0].learning_rate == pytest.approx(3e-3 * 7 / 20)
    assert all(0 < one.loss < 1 and one.rows_per_second > 0 for one in epochs)
    assert epochs[0].seconds_left > epochs[3].seconds_left == 0


def test_a_process_of_its_own_tells_of_its_epochs_and_one_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    from epic22.core.models.networks.training import train

    undisturbed = train(JOB, ROWS, VALIDATION)
    killed, events = TrainingProcess(), list[ProgressEvent]()

    def kill_in_epoch_2(event: ProgressEvent) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            killed._process.kill()

    with (
        pytest.raises(InternalError, match="the training process ended with -9"),
        keep_checkpoints(tmp_path, ALWAYS),
        follow_inner_work(Progress(kill_in_epoch_2)),
    ):
        killed.train(JOB, ROWS, VALIDATION, lambda: False)
    assert len(list_files(tmp_path)) == 1
    with keep_checkpoints(tmp_path, ALWAYS), follow_inner_work(Progress(events.append)):
        assert TrainingProcess().train(JOB, ROWS, VALIDATION, lambda: False) == undisturbed
    assert isinstance(events[0], Noted)
    assert isinstance(events[-1], EpochFinished)
    assert list_files(tmp_path) == [], "its files are removed by the process that the job came from"


def test_a_training_that_falls_behind_its_bar_ends_at_that_epoch_here_and_in_another_process() -> None:
    undisturbed = train_network_rows(JOB, ROWS, VALIDATION, lambda: False)
    bar = (math.inf, undisturbed.losses[1], 0.0, 0.0)
    behind, apart = (
        train(replace(JOB, bar=bar), ROWS, VALIDATION, lambda: False) for train in (train_network_rows, find_process().train)
    )
    assert behind.losses == apart.losses == undisturbed.losses[:3]
    assert behind.score_graph == apart.score_graph
    assert behind.best_epochs == 1 + int(np.argmin(behind.losses))


def test_where_the_process_that_trains_was_killed_another_takes_its_place() -> None:
    first = find_process()
    assert find_process() is first
    first._process.kill()
    first._process.join()
    assert find_process().is_alive


class RecordingPipeline:
    """Ends a training in its first step, and keeps what networks would find there."""

    def __init__(self) -> None:
        self.data = SimpleNamespace(task=SimpleNamespace(name="toy"), data_version=DataVersion("0" * 64, ()))
        self.found: list[Any] = []

    def plan(self, progress: Progress) -> None:
        self.found += [get_checkpoint_folder(), get_inner_progress()]
        raise KilledError


def test_trainings_within_a_command_keep_checkpoints_below_the_home_and_tell_their_epochs_to_it(tmp_path: Path) -> None:
    pipeline, progress = RecordingPipeline(), Progress(lambda event: None)
    with pytest.raises(KilledError):
        train_and_promote(assemble(Settings(tmp_path, threads=1)), cast(Any, pipeline), progress)
    folder, listener = pipeline.found
    assert folder.path == tmp_path / "checkpoints"
    assert listener is progress
    assert get_checkpoint_folder() is None


def test_a_terminal_shows_the_epoch_below_the_bars_until_the_next_step() -> None:
    event = EpochFinished(3, 100, 0.41237, 0.42, 0.003, 51234.5, 97.2)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with ProgressBars(console) as bars:
        for step in (WorkStarted("mlp: 5 folds", 5), event):
            bars.show(step)
        assert "epoch 3/100, ≤ 1:38 left: loss 0.4124, validation 0.4200" in str(list(bars.get_renderables())[-1])
        bars.show(WorkAdvanced())
        assert len(list(bars.get_renderables())) == 1


def test_no_epoch_is_printed_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        progress.begin("mlp: 5 folds", 5)
        progress.emit(EpochFinished(1, 100, 0.5, 0.4, 0.003, 1000.0, 10.0))
    assert capsys.readouterr().err == "mlp: 5 folds …\n"
