"""ETTh1's benchmark: windows stay in their part of the split, and the Transformer begins as its linear skip."""

import numpy as np
import torch
from tests.benchmark_modules import benchmark_module

ett = benchmark_module("ett")


def test_targets_of_windows_lie_in_their_part_alone_and_follow_their_inputs() -> None:
    hours = np.arange(1000.0)[:, None] * np.array([1.0, 10.0])
    windows = ett.Windows.cut(hours, 600, 800, 50)
    assert windows.x.shape == (200 - 50 + 1, 2, ett.INPUT)
    assert windows.y[:, 0].min() == 600
    assert windows.y[:, 0].max() == 799
    assert torch.equal(windows.y[:, :, 0], windows.x[:, :, -1] + torch.tensor([1.0, 10.0]))


def test_the_transformer_begins_as_its_linear_skip_and_knows_no_level_or_scale() -> None:
    torch.manual_seed(0)
    network, x = ett.PatchTransformer(48, 12).eval(), torch.randn(5, 48)
    linear = ett.NormalisedLinear(48, 12)
    linear.load_state_dict(network.state_dict(), strict=False)
    assert torch.equal(network(x), linear(x))
    torch.nn.init.normal_(network.head.weight)
    assert not torch.allclose(network(x), linear(x), atol=0.01)
    assert torch.allclose(network(100 + 7 * x), 100 + 7 * network(x), atol=1e-2)


def test_a_windows_error_is_that_of_its_channels_and_hours() -> None:
    silent = torch.nn.Linear(8, 2)
    for parameter in silent.parameters():
        torch.nn.init.zeros_(parameter)
    windows = ett.Windows(torch.randn(3, 2, 8), torch.tensor([[[1.0, 1.0], [3.0, 3.0]]]).expand(3, 2, 2))
    assert windows.compute_errors(silent).tolist() == [5.0, 5.0, 5.0]
