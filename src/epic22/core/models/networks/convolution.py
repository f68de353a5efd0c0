"""A dilated causal convolution (Bai, Kolter, Koltun 2018, "An empirical evaluation of generic convolutional and recurrent
networks for sequence modeling").

n = rows, s = steps, c = channels, w = width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.models.networks.specification import ConvolutionLayers


class CausalConvolution(nn.Module):
    """Each step's sum over itself and steps before it, `dilation` apart: (n, s, inputs) to (n, s, outputs)."""

    def __init__(self, n_inputs: int, n_outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.before = [dilation * tap for tap in range(kernel)]
        # One product over the taps side by side: its gradient is a product too, which can be exported.
        self.taps = nn.Linear(kernel * n_inputs, n_outputs)

    def forward(self, h: Tensor) -> Tensor:
        """The sums; before the first step all is zero."""
        return self.taps(torch.cat([_delay(h, before) for before in self.before], dim=2))


def _delay(h: Tensor, before: int) -> Tensor:
    """The steps so much later, (n, s, w); zeros come first, and the last ones are left out by the same padding, whose gradient
    is one padding too."""
    if before >= h.shape[1]:
        return torch.zeros_like(h)
    return functional.pad(h, (0, 0, before, -before)) if before else h


class ConvolutionEncoder(nn.Module):
    """The last step's vector beside the mean over steps, (n, 2 w), of steps (n, s, c)."""

    def __init__(self, n_channels: int, n_steps: int, layers: ConvolutionLayers) -> None:
        super().__init__()
        self.dropout, w = layers.dropout, layers.width
        self.project = nn.Linear(n_channels, w)
        self.norms = nn.ModuleList(nn.LayerNorm(w) for _ in range(layers.depth))
        # A layer that reaches beyond the first step would see zeros alone.
        dilations = [min(2**i, max(1, (n_steps - 1) // max(layers.kernel - 1, 1))) for i in range(layers.depth)]
        self.convolutions = nn.ModuleList(CausalConvolution(w, w, layers.kernel, dilation) for dilation in dilations)

    def forward(self, steps: Tensor) -> Tensor:
        """What the last step has seen, and the steps on the whole."""
        h = self.project(steps)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            h = h + functional.dropout(functional.gelu(convolution(norm(h))), self.dropout, self.training)
        return torch.cat([h[:, -1], h.mean(1)], dim=1)

    encode_in_graph = forward
