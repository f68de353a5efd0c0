"""An ensemble of members that share their weights, and the answer they give together.

Members differ by scales of inputs and outputs (BatchEnsemble: Wen, Tran, Ba 2020), as in TabM (Gorishniy, Kotelnikov, Babenko
2024).

n = rows, k = members, w = units, o = outputs.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.models.networks.specification import NetworkSpec


class MemberLinear(nn.Module):
    """A linear layer that k members share, each with scales of its own: (n, k, inputs) to (n, k, outputs)."""

    def __init__(self, n_inputs: int, n_outputs: int, members: int, is_first: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(n_inputs, n_outputs).uniform_(-bound, bound))
        # Members are told apart by signs at the entrance alone; further scales begin at one.
        signs = torch.randint(0, 2, (members, n_inputs)).float() * 2 - 1
        self.input_scale = nn.Parameter(signs if is_first and members > 1 else torch.ones(members, n_inputs))
        self.output_scale = nn.Parameter(torch.ones(members, n_outputs))
        self.bias = nn.Parameter(torch.empty(members, n_outputs).uniform_(-bound, bound))

    def forward(self, h: Tensor) -> Tensor:
        """The members' outputs."""
        return ((h * self.input_scale) @ self.weight) * self.output_scale + self.bias


class MemberStack(nn.Module):
    """Members' raw outputs, (n, k, o), of inputs (n, i) that they share, by hidden layers of `sizes` units."""

    def __init__(self, sizes: tuple[int, ...], n_outputs: int, members: int, dropout: float) -> None:
        super().__init__()
        self.members, self.dropout = members, dropout
        self.hidden = nn.ModuleList(
            MemberLinear(n_in, n_out, members, is_first=i == 0) for i, (n_in, n_out) in enumerate(pairwise(sizes))
        )
        bound = 1 / math.sqrt(sizes[-1])
        self.head = nn.Parameter(torch.empty(members, sizes[-1], n_outputs).uniform_(-bound, bound))
        self.head_bias = nn.Parameter(torch.zeros(members, n_outputs))

    def forward(self, shared: Tensor) -> Tensor:
        """Each member's raw outputs."""
        h = shared[:, None, :].expand(-1, self.members, -1)
        for layer in self.hidden:
            h = functional.dropout(torch.relu(layer(h)), self.dropout, self.training)
        return torch.einsum("nkw,kwo->nko", h, self.head) + self.head_bias


def average_members(raw: Tensor, spec: NetworkSpec) -> Tensor:
    """The score of the mean of the members' responses, (n, o), of their raw outputs (n, k, o)."""
    log_members = math.log(raw.shape[1])
    if spec.output == "log_odds":
        # The log-odds of the mean probability. Of ln σ a graph makes ln of σ, which onnxruntime gives in digits of 1, not of σ.
        up, down = (-functional.softplus(-raw)).logsumexp(1), (-functional.softplus(raw)).logsumexp(1)
        return up - down
    if spec.output == "class_scores":
        return raw.log_softmax(2).logsumexp(1) - log_members
    if spec.output == "log_mean":
        return raw.logsumexp(1) - log_members
    return raw.mean(1)


def order_quantiles(raw: Tensor, n_quantiles: int) -> Tensor:
    """Quantiles that never cross, (…, h × q), of raw outputs: the middle one is as it is, the others lie a positive step further
    out each. With one quantile the outputs themselves."""
    if n_quantiles == 1:
        return raw
    blocks = raw.unflatten(-1, (-1, n_quantiles))
    middle = n_quantiles // 2
    center = blocks[..., middle : middle + 1]
    steps = functional.softplus(blocks)
    up = center + steps[..., middle + 1 :].cumsum(-1)
    down = center - steps[..., :middle].flip(-1).cumsum(-1).flip(-1)
    return torch.cat([down, center, up], dim=-1).flatten(-2)
