"""A recurrent encoder: LSTM (Hochreiter, Schmidhuber 1997; Gers et al. 2000) or GRU (Cho et al. 2014).

n = rows, s = steps, c = channels, w = width.
"""

import torch
from torch import Tensor, nn

from epic22.core.models.networks.specification import LstmLayers


class RecurrentEncoder(nn.Module):
    """The state after the last step, (n, w), of steps (n, s, c)."""

    def __init__(self, n_channels: int, n_steps: int, layers: LstmLayers) -> None:
        super().__init__()
        self.layers = layers
        between = layers.dropout if layers.depth > 1 else 0.0
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[layers.cell]
        self.cell = cell(n_channels, layers.width, layers.depth, batch_first=True, dropout=between)
        if layers.cell == "lstm":
            self._open_forget_gates()

    @torch.no_grad()
    def _open_forget_gates(self) -> None:
        """Have the forget gates begin open (Jozefowicz, Zaremba, Sutskever 2015)."""
        w = self.layers.width
        for depth in range(self.layers.depth):
            getattr(self.cell, f"bias_ih_l{depth}")[w : 2 * w] = 1.0

    def forward(self, steps: Tensor) -> Tensor:
        """The last layer's last state."""
        states, _ = self.cell(steps)
        return states[:, -1]

    def encode_in_graph(self, steps: Tensor) -> Tensor:
        """The same by operators whose gradient can be exported, and which compute nothing here (`recurrent_gradient`)."""
        from epic22.core.models.networks.recurrent_gradient import recurrent_states

        states = steps
        for depth in range(self.layers.depth):
            weights = [getattr(self.cell, f"{name}_l{depth}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            states = recurrent_states(states, *weights)
        return states[:, -1]
