"""Columns of rows by their positions, chosen without an accelerator having to wait for them."""

from collections.abc import Iterable

import torch
from torch import Tensor


class ColumnPositions:
    """Positions of columns. They are sent to an accelerator once: at each copy of a step the processor would wait until all
    that it has ordered before is done, which was half of the time of an H200."""

    def __init__(self, positions: Iterable[int]) -> None:
        self.positions = list(positions)
        self._sent: dict[torch.device, Tensor] = {}

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, x: Tensor) -> Tensor:
        """The columns at these positions, (n, positions), of x (n, p)."""
        if x.device.type == "cpu":
            # Networks are exported on the processor, where they are a constant of the graph.
            return x[:, self.positions]
        if x.device not in self._sent:
            self._sent[x.device] = torch.tensor(self.positions, device=x.device)
        return x[:, self._sent[x.device]]
