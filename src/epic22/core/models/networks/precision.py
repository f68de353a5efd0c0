"""The numbers in which layers are computed, and the device on which: what PyTorch needs to be told of both.

Micikevicius et al. 2018, "Mixed precision training": weights and moments stay float32, a loss of float16 layers is scaled so that
small gradients do not vanish.
"""

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epic22.core.errors import UserError
from epic22.core.models.networks.jobs import Precision

NUMBER_TYPES: Mapping[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types narrower than float32."""


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
