"""The loop that trains every network: batches in an order that seed and epoch decide, AdamW, early stopping.

Everything random follows from (seed, epoch), so that an epoch is the same whatever ran before it: two runs of one seed have equal
bytes, and so has one that was killed and goes on from its checkpoint. Loshchilov and Hutter 2019 (AdamW); Pascanu, Mikolov and
Bengio 2013 (clipping of gradients).
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from epic22.core.models.networks.checkpoint import Checkpoint, SavedTraining
from epic22.core.models.networks.jobs import TrainingSettings, is_behind
from epic22.core.models.networks.memory_plan import (
    StepPlan,
    apply_plan,
    is_limit_lower,
    plan_steps,
    read_process_limit,
    translate_memory_faults,
)
from epic22.core.models.networks.precision import (
    LayerNumbers,
    find_gradient_fault,
    open_numbers,
    read_free_memory,
    read_random_state,
    set_random_state,
)
from epic22.core.models.networks.schedule import compute_learning_rate
from epic22.core.progress import EpochFinished, Progress

ROWS_PER_EVALUATION = 4096
"""Validation rows whose loss is computed at once."""
RESIDENT_SHARE = 0.25
"""Rows that take at most this share of a device's free memory lie there all the time, so that it waits for no copies."""

CHECKED_ROWS = 64
"""Rows by which narrower numbers are compared with float32."""
PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class RowTensors:
    """Rows as the network sees them, x (n, …) and y (n, …), float32."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def move(self, device: str) -> "RowTensors":
        """The same rows on a device where they take little of its room; else these, of which batches are moved."""
        room = RESIDENT_SHARE * read_free_memory(device)
        return RowTensors(self.x.to(device), self.y.to(device)) if self.x.nbytes + self.y.nbytes <= room else self

    def take(self, chosen: Tensor, device: str) -> tuple[Tensor, Tensor]:
        """Some rows, x and y, on a device; their numbers lie where the rows do."""
        return self.x[chosen].to(device), self.y[chosen].to(device)


@dataclass(frozen=True)
class TrainingHistory:
    """How many epochs were best on the validation rows (all of them where there are none), and the losses there by epoch."""

    best_epochs: int
    losses: tuple[float, ...]


RowLoss = Callable[[Tensor, Tensor], Tensor]
"""The mean loss of a network's outputs on rows' labels."""


@dataclass(frozen=True)
class Surroundings:
    """Where a training takes place: its device, what says that its time is over, its checkpoint, who hears of its epochs, and the
    `bar` that ends it where it falls behind."""

    device: str = "cpu"
    expired: Callable[[], bool] = lambda: False
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    progress: Progress = field(default_factory=Progress)
    bar: tuple[float, ...] = ()


@dataclass
class TrainingState:
    """How far a training is: `epoch` whole epochs, and `batch` batches of the next one, with the sum of its rows' losses.

    `best` is the network after its `best_epoch`, the one with the least of the validation `losses`.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float | Tensor = 0.0
    losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)


def train_network(
    network: nn.Module,
    loss: RowLoss,
    rows: RowTensors,
    settings: TrainingSettings,
    validation: tuple[RowTensors, RowLoss] | None = None,
    surroundings: Surroundings = Surroundings(),
) -> TrainingHistory:
    """Train in place; with validation rows, and a loss for them, the network is left as it was after its best epoch.

    Where the time has expired after an epoch, no other begins. Raises UserError for numbers that the device does not compute in,
    and where a step of one row takes more memory than is allowed, or more than there is.
    """
    training = NetworkTraining(network, loss, rows, settings, surroundings)
    with apply_plan(network, training.plan), translate_memory_faults(training.plan.micro_batch):
        training.run(validation)
    network.eval()
    return TrainingHistory(training.state.best_epoch or training.state.epoch, tuple(training.state.losses))


class NetworkTraining:
    """One training of a network, from its beginning or from where its checkpoint says."""

    def __init__(
        self, network: nn.Module, loss: RowLoss, rows: RowTensors, settings: TrainingSettings, surroundings: Surroundings
    ) -> None:
        numbers = open_numbers(settings.precision, surroundings.device)
        self.network, self.loss, self.rows = network.to(surroundings.device), loss, rows.move(surroundings.device)
        self.settings, self.surroundings, self.state = settings, surroundings, TrainingState()
        saved = surroundings.checkpoint.read()
        self.numbers = self._choose_numbers(numbers) if saved is None else replace(numbers, precision=saved.facts["precision"])
        self.scaler = self.numbers.build_scaler()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.steps_per_epoch = count_batches(len(rows), settings.batch_size)
        self._random_state: dict[str, Tensor] = {}
        self.process_limit = read_process_limit()
        self.plan = self._plan_steps() if saved is None else self._reuse_plan(saved.facts)
        if saved is not None:
            self._restore(saved)

    def _plan_steps(self) -> StepPlan:
        # The last batch may have a row more.
        settings, n_rows = self.settings, len(self.rows)
        largest = min(settings.batch_size + 1, n_rows) if n_rows % settings.batch_size == 1 else settings.batch_size
        return plan_steps(self.network, self._compute_first_loss, largest, n_rows, settings)

    def _reuse_plan(self, facts: Mapping[str, Any]) -> StepPlan:
        """The plan of the training that was interrupted, by which it ends with the same bytes; another where its process might
        take more memory than this one may."""
        plan = StepPlan(*facts["plan"])
        is_ended = "batch" not in facts
        if is_ended or not is_limit_lower(self.process_limit, facts["process_limit"]):
            return plan
        lower = self._plan_steps()
        if lower.micro_batch < plan.micro_batch:
            self.surroundings.progress.note(
                f"the process may take less memory than when this training was interrupted: {lower.micro_batch} rows at a time "
                f"instead of {plan.micro_batch}, so its last bits may differ"
            )
        return lower

    def run(self, validation: tuple[RowTensors, RowLoss] | None) -> None:
        """Train until the epochs, the patience or the time is over."""
        checkpoint, began, first_epoch = self.surroundings.checkpoint, time.monotonic(), self.state.epoch
        while not self._is_over:
            rows_per_second = self._train_epoch()
            if validation is not None:
                self._validate(*validation)
            seconds_per_epoch = (time.monotonic() - began) / (self.state.epoch - first_epoch)
            self._report_epoch(rows_per_second, seconds_per_epoch)
            if self._is_over:
                break
            if checkpoint.is_due(is_epoch_over=True):
                checkpoint.write(*self._collect_state())
            if self.surroundings.expired():
                break
        if self.state.best:
            self.network.load_state_dict(self.state.best)
        if self._is_over:
            checkpoint.finish(*self._collect_result())

    @property
    def _is_over(self) -> bool:
        waited = self.state.epoch - self.state.best_epoch
        is_patience_over = bool(self.state.best) and waited >= max(self.settings.patience, 1)
        has_fallen_behind = is_behind(self.state.losses, self.surroundings.bar)
        return self.state.epoch >= self.settings.epochs or is_patience_over or has_fallen_behind

    def _train_epoch(self) -> float:
        """Go through the batches of the next epoch that are still to come; rows a second."""
        state, began, n_rows = self.state, time.monotonic(), 0
        batches = draw_batches(len(self.rows), self.settings.batch_size, self.settings.seed, state.epoch, self.rows.x.device)
        set_random_state(self._random_state)
        self._random_state = {}
        self.network.train()
        for chosen in batches[state.batch :]:
            self._take_step(chosen)
            state.batch, n_rows = state.batch + 1, n_rows + len(chosen)
            if state.batch < len(batches) and self.surroundings.checkpoint.is_due(is_epoch_over=False):
                self.surroundings.checkpoint.write(*self._collect_state())
        state.epoch, state.batch = state.epoch + 1, 0
        return n_rows / max(time.monotonic() - began, 1e-9)

    def _take_step(self, chosen: Tensor) -> None:
        """One step of the optimiser, on the gradients of a batch, which are summed up part by part."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._compute_rate(self.state.epoch * self.steps_per_epoch + self.state.batch + 1)
        self.optimiser.zero_grad()
        for part in chosen.split(self.plan.micro_batch):
            loss = self._compute_loss(part)
            if len(part) < len(chosen):
                loss = loss * (len(part) / len(chosen))
            self.scaler.scale(loss).backward()
            self.state.loss_sum = self.state.loss_sum + loss.detach() * len(chosen)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _compute_loss(self, chosen: Tensor) -> Tensor:
        """The mean loss of some rows; outputs are float32 in whichever numbers the layers are."""
        x, y = self.rows.take(chosen, self.surroundings.device)
        with self.numbers.autocast():
            raw = self.network(x)
        return self.loss(raw.float(), y)

    def _choose_numbers(self, numbers: LayerNumbers) -> LayerNumbers:
        """The numbers that are asked for; float32, and a note, where this network's gradients are wrong in them."""
        if numbers.precision == "float32":
            return numbers
        some = torch.arange(min(len(self.rows), self.settings.batch_size, CHECKED_ROWS), device=self.rows.x.device)
        x, y = self.rows.take(some, self.surroundings.device)
        fault = find_gradient_fault(self.network, lambda: self.loss(self.network(x).float(), y), numbers)
        if fault is None:
            return numbers
        self.surroundings.progress.note(f"layers are computed in float32 instead of {numbers.precision}: {fault}")
        return replace(numbers, precision="float32")

    def _compute_first_loss(self, n_rows: int) -> Tensor:
        self.network.train()
        return self._compute_loss(torch.arange(n_rows, device=self.rows.x.device))

    def _compute_rate(self, step: int) -> float:
        return compute_learning_rate(self.settings, step, self.settings.epochs * self.steps_per_epoch)

    def _validate(self, rows: RowTensors, loss: RowLoss) -> None:
        """Note the loss after an epoch, and keep the network where it is the least so far."""
        state, is_capped = self.state, self.plan.micro_batch < self.settings.batch_size
        batch_size = min(self.plan.micro_batch, ROWS_PER_EVALUATION) if is_capped else ROWS_PER_EVALUATION
        state.losses.append(compute_loss(self.network, rows, loss, batch_size, self.surroundings.device))
        if not state.best or state.losses[-1] < state.losses[state.best_epoch - 1]:
            state.best_epoch, state.best = state.epoch, copy.deepcopy(self.network.state_dict())

    def _report_epoch(self, rows_per_second: float, seconds_per_epoch: float) -> None:
        state, epochs = self.state, self.settings.epochs
        self.surroundings.progress.emit(
            EpochFinished(
                state.epoch,
                epochs,
                float(state.loss_sum) / len(self.rows),
                state.losses[-1] if state.losses else None,
                self._compute_rate(state.epoch * self.steps_per_epoch),
                rows_per_second,
                (epochs - state.epoch) * seconds_per_epoch,
            )
        )
        state.loss_sum = 0.0

    def _collect_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the rest of the training depends on, as tensors and facts."""
        tensors, facts = self._collect_result()
        tensors |= {f"best.{name}": value for name, value in self.state.best.items()}
        tensors |= {f"random.{name}": value for name, value in read_random_state(self.surroundings.device).items()}
        tensors["loss_sum"] = torch.as_tensor(self.state.loss_sum)
        for number, parameter in enumerate(self.network.parameters()):
            tensors |= {f"moments.{number}.{name}": value for name, value in self.optimiser.state[parameter].items()}
        return tensors, facts | {"batch": self.state.batch, "scaler": self.scaler.state_dict()}

    def _collect_result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What an ended training came to."""
        tensors = {f"weights.{name}": value for name, value in self.network.state_dict().items()}
        tensors["losses"] = torch.tensor(self.state.losses, dtype=torch.float64)
        return tensors, {
            "epoch": self.state.epoch,
            "best_epoch": self.state.best_epoch,
            "plan": list(astuple(self.plan)),
            "process_limit": self.process_limit,
            "precision": self.numbers.precision,
        }

    def _restore(self, saved: SavedTraining) -> None:
        """Go on where the checkpoint was written."""
        tensors, facts, state = saved.tensors, saved.facts, self.state

        def select(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(select("weights."))
        state.epoch, state.best_epoch, state.batch = facts["epoch"], facts["best_epoch"], facts.get("batch", 0)
        state.losses, state.loss_sum = tensors["losses"].tolist(), tensors.get("loss_sum", 0.0)
        state.best = {name: value.to(self.surroundings.device) for name, value in select("best.").items()}
        if state.best_epoch and "batch" not in facts:
            # An ended training keeps its best weights alone.
            state.best = copy.deepcopy(self.network.state_dict())
        if state.batch:
            self._random_state = select("random.")
        for number, parameter in enumerate(self.network.parameters()):
            moments = {name: value.to(self.surroundings.device) for name, value in select(f"moments.{number}.").items()}
            if moments:
                self.optimiser.state[parameter] = moments
        if facts.get("scaler"):
            self.scaler.load_state_dict(facts["scaler"])
        if not self._is_over:
            self.surroundings.progress.note(f"a training that was interrupted goes on in epoch {state.epoch + 1}")


def draw_batches(n_rows: int, batch_size: int, seed: int, epoch: int, device: torch.device = PROCESSOR) -> tuple[Tensor, ...]:
    """Row numbers of each batch of an epoch, drawn on the processor and sent to a device at once, so that no step waits for its
    own; all that is random in the epoch is seeded by the way. A last batch of one row joins the batch before it."""
    torch.manual_seed((seed * 100_003 + epoch) % 2**63)
    batches = list(torch.randperm(n_rows).to(device).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return tuple(batches)


def count_batches(n_rows: int, batch_size: int) -> int:
    """How many batches `draw_batches` draws."""
    return max(1, (n_rows + batch_size - 2) // batch_size) if n_rows > 1 else n_rows


@torch.no_grad()
def compute_loss(
    network: nn.Module, rows: RowTensors, loss: RowLoss, batch_size: int = ROWS_PER_EVALUATION, device: str = "cpu"
) -> float:
    """The mean loss of the rows, in the network's evaluation mode and in float32, as it answers."""
    network.eval()
    total = 0.0
    for x, y in zip(rows.x.split(batch_size), rows.y.split(batch_size), strict=True):
        total += float(loss(network(x.to(device)), y.to(device))) * len(x)
    return total / len(rows)
