"""Columns chosen by position on a processor and on a device, to which positions are sent once."""

import pytest

torch = pytest.importorskip("torch")

from epic22.core.models.networks.column_positions import ColumnPositions  # noqa: E402


def test_columns_are_chosen_in_the_order_of_their_positions() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert ColumnPositions((2, 0)).take(x).tolist() == [[2.0, 0.0], [5.0, 3.0]]


def test_a_device_is_sent_the_positions_once() -> None:
    positions = ColumnPositions((2, 0))
    x = torch.zeros(4, 3, device="meta")
    first = positions.take(x)
    sent = dict(positions._sent)
    assert positions.take(x).shape == first.shape == (4, 2)
    assert [positions._sent[x.device] is tensor for tensor in sent.values()] == [True]
