"""The numbers in which layers are computed, and the device on which: what PyTorch needs to be told of both.

Micikevicius et al. 2018, "Mixed precision training": weights and moments stay float32, a loss of float16 layers is scaled so that
small gradients do not vanish.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from epic22.core.errors import UserError
from epic22.core.models.networks.jobs import Precision

NUMBER_TYPES: Mapping[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types narrower than float32."""
MAX_GRADIENT_ERROR = 0.5
"""How far a weight's gradient in narrower numbers may lie from float32's, as a share of its length. Rounding of bfloat16 came to
0.21 at most over all architectures and 16 to 512 rows; a gradient that is missing is 1 away, one of another sign 2."""
SMALLEST_SHARE = 0.01
"""A gradient shorter than this share of the longest is measured in parts of that: next to nothing, rounding is all of it."""
CHECKED_LOSS = 1024.0
"""To what a loss is scaled meanwhile, as `GradScaler` does, so that small gradients do not vanish and large ones are numbers."""


@dataclass(frozen=True)
class LayerNumbers:
    """The numbers of layers on a device."""

    precision: Precision
    device: str

    @property
    def device_type(self) -> str:
        """The device without its number: cpu, cuda, mps."""
        return torch.device(self.device).type

    def autocast(self) -> AbstractContextManager[Any]:
        """Where layers are computed in these numbers."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device_type, NUMBER_TYPES[self.precision])

    def build_scaler(self) -> torch.amp.GradScaler:
        """What scales losses of float16 layers, and leaves all others as they are."""
        return torch.amp.GradScaler(self.device_type, enabled=self.precision == "float16")


def open_numbers(precision: Precision, device: str) -> LayerNumbers:
    """The numbers of layers on a device. Raises UserError where the device is not there, or does not compute in them."""
    numbers = LayerNumbers(precision, device)
    try:
        # Where PyTorch warns that it will not compute in these numbers, it computes in float32.
        with warnings.catch_warnings(action="error"):
            one = torch.ones(2, 2, device=device)
            with torch.no_grad(), numbers.autocast():
                torch.nn.functional.linear(one, one)
    except (RuntimeError, NotImplementedError, AssertionError, UserWarning) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"device {device!r} does not compute in {precision} here ({reason}); take precision float32, or device cpu."
        ) from None
    return numbers


def find_gradient_fault(network: nn.Module, compute_loss: Callable[[], Tensor], numbers: LayerNumbers) -> str | None:
    """Why a network must not be trained in these numbers on their device, as the end of a sentence; None where it may."""
    try:
        error = measure_gradient_error(network, compute_loss, numbers)
    except (RuntimeError, NotImplementedError) as fault:
        network.zero_grad()
        return f"it cannot be computed there ({str(fault).strip().partition(chr(10))[0].rstrip('.')})"
    if error <= MAX_GRADIENT_ERROR:
        return None
    return f"a gradient is wrong by {error:.0%} beside float32's; up to {MAX_GRADIENT_ERROR:.0%} is rounding"


def measure_gradient_error(network: nn.Module, compute_loss: Callable[[], Tensor], numbers: LayerNumbers) -> float:
    """The largest distance of a weight's gradient in these numbers from that in float32, as a share of its length; infinite where
    one is no number. `compute_loss` gives the loss of some rows, under either's autocast and without dropout."""
    exact, narrow = (_compute_gradients(network, compute_loss, one) for one in (LayerNumbers("float32", numbers.device), numbers))
    longest = max((float(one.norm()) for one in exact), default=0.0)
    errors = [
        float((one - other).norm()) / max(float(one.norm()), SMALLEST_SHARE * longest, 1e-30)
        for one, other in zip(exact, narrow, strict=True)
    ]
    return max((math.inf if math.isnan(error) else error for error in errors), default=0.0)


def _compute_gradients(network: nn.Module, compute_loss: Callable[[], Tensor], numbers: LayerNumbers) -> list[Tensor]:
    network.train()
    with torch.random.fork_rng(devices=[]), _leave_out_dropout(network):
        with numbers.autocast():
            loss = compute_loss()
        scale = CHECKED_LOSS / max(abs(float(loss.detach())), 1e-6)
        (loss * scale).backward()
    gradients = [weight.grad / scale for weight in network.parameters() if weight.grad is not None]
    network.zero_grad()
    return gradients


@contextmanager
def _leave_out_dropout(network: nn.Module) -> Iterator[None]:
    """Have nothing of a network drawn at random: draws in other numbers are others."""
    names = "dropout", "augmentation"
    before = [(module, name, getattr(module, name)) for module in network.modules() for name in names if hasattr(module, name)]
    for module, name, _ in before:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, share in before:
            setattr(module, name, share)


def read_free_memory(device: str) -> int:
    """The bytes of an accelerator's memory that nothing takes yet; 0 of what has no memory of its own."""
    device_type = torch.device(device).type
    if device_type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device_type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return 0


def read_random_state(device: str) -> dict[str, Tensor]:
    """PyTorch's state of random numbers, of the processor and of a device that has one of its own."""
    states = {"cpu": torch.random.get_rng_state()}
    device_type = torch.device(device).type
    if device_type != "cpu":
        states[device_type] = getattr(torch, device_type).get_rng_state()
    return states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """Go on with the random numbers of states that were read."""
    for device_type, state in states.items():
        if device_type == "cpu":
            torch.random.set_rng_state(state)
        else:
            getattr(torch, device_type).set_rng_state(state)
