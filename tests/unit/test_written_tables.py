"""Tables of random dialect, notation and markers: what was read is what was written, or it is said by name."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.benchmark_modules import benchmark_module

fuzz: Any = benchmark_module("fuzz")


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(draw=st.randoms(use_true_random=False))
def test_what_was_written_is_read_or_it_is_said_by_name(tmp_path: Path, draw: random.Random) -> None:
    assert fuzz.check_table(draw, tmp_path) == []


def test_the_check_tells_what_was_read_otherwise() -> None:
    assert fuzz.equals_written([1.0, None, "a"], [1.0, None, "a"])
    assert not fuzz.equals_written([1000.0], [1.0])
    assert not fuzz.equals_written([None], ["None"])
