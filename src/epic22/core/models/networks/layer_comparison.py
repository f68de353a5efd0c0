"""What computes on a device in float32, beside the processor in float64: how far outputs and gradients lie apart.

The same weights and inputs, drawn on the processor, go both ways. TF32 is off, for it is not float32.
n = rows, t = steps.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epic22.core.models.networks.device import LayerCheck

SEED = 22
SMALL, USUAL = (5, 7), (64, 48)
"""Rows and steps at which a layer is compared: odd ones, and those of a batch."""


@dataclass(frozen=True)
class Errors:
    """The largest error of outputs and of gradients, each as a share of the largest value; what else went wrong, if anything."""

    forward: float
    gradient: float
    fault: str | None = None


Check = Callable[[str], Errors]
"""What finds the errors on a device."""


@dataclass(frozen=True)
class LayerCase:
    """A layer without dropout to compare: its outputs in evaluation mode, its gradients in training mode.

    `build` draws its weights; `draw_input` gives x for so many rows and steps; `compute` applies the layer.
    """

    build: Callable[[], nn.Module]
    draw_input: Callable[[int, int], Tensor]
    compute: Callable[[nn.Module, Tensor], Tensor] = lambda layer, x: layer(x)

    def __call__(self, device: str) -> Errors:
        """The errors on a device at the worse of both sizes."""
        small, usual = (self.compare(device, n, t) for n, t in (SMALL, USUAL))
        return Errors(max_error(small.forward, usual.forward), max_error(small.gradient, usual.gradient))

    def compare(self, device: str, n: int, t: int) -> Errors:
        """The errors on a device for n rows of t steps."""
        torch.manual_seed(SEED)
        layer, x = self.build(), self.draw_input(n, t)
        reference = self._compute_both(copy.deepcopy(layer).double(), x.double())
        computed = self._compute_both(copy.deepcopy(layer).to(device), x.to(device))
        outputs, gradients = zip(computed, reference, strict=True)
        return Errors(compare_tensors(*outputs), compare_tensors(*gradients))

    def _compute_both(self, layer: nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs in evaluation mode, and the gradients of weights and of x where that has one."""
        with torch.no_grad():
            output = self.compute(layer.eval(), x)
        # Entries of other sizes each, so that no error can cancel.
        torch.manual_seed(SEED + 1)
        direction = torch.randn(output.shape).to(output)
        x = x.detach().requires_grad_(not bool(torch.isnan(x).any()))
        (self.compute(layer.train(), x) * direction).sum().backward()
        sources = [*layer.parameters(), *([x] if x.requires_grad else [])]
        return [output], [one.grad for one in sources if one.grad is not None]


def max_error(one: float, other: float) -> float:
    """The larger error; NaN is larger than any number."""
    return max(one, other, key=lambda error: (math.isnan(error), error))


def compare_tensors(computed: list[Tensor], reference: list[Tensor]) -> float:
    """The largest distance from the reference, as a share of the largest value of the same tensor, or of a thousandth of the
    largest of all where its own are next to nothing; NaN where a value is not finite or a tensor is missing."""
    if len(computed) != len(reference):
        return math.nan
    computed, reference = [one.detach().cpu().double() for one in computed], [one.detach() for one in reference]
    floor = 1e-3 * max(float(one.abs().max()) for one in reference)
    errors = []
    for one, other in zip(computed, reference, strict=True):
        if not bool(torch.isfinite(one).all()):
            return math.nan
        errors.append(float((one - other).abs().max()) / max(float(other.abs().max()), floor, 1e-300))
    return max(errors)


def check_layer(layer: str, device: str, checks: Mapping[str, Check]) -> LayerCheck:
    """The layer of that name on a device; what it raises there is its fault."""
    with use_full_precision():
        try:
            errors = checks[layer](device)
        except Exception as error:  # noqa: BLE001  whatever a device's library raises is why the layer is not computed there
            return LayerCheck(layer, device, math.nan, math.nan, f"it cannot be computed there ({describe_first_line(error)})")
    return LayerCheck(layer, device, errors.forward, errors.gradient, errors.fault)


def describe_first_line(error: Exception) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextmanager
def use_full_precision() -> Iterator[None]:
    """Have CUDA compute float32 as float32, not in the 10 bits of TF32, and afterwards as before."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [one.allow_tf32 for one in backends]
    try:
        for one in backends:
            one.allow_tf32 = False
        yield
    finally:
        for one, allowed in zip(backends, before, strict=True):
            one.allow_tf32 = allowed
