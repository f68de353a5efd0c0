"""Tables of random dialect, notation and markers: what was read is what was written, or it is said by name."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.benchmark_modules import benchmark_module

from epic22.core.data.files import read_table
from epic22.core.data.schema_inference import Roles, infer_schema
from epic22.core.errors import UserError

fuzz: Any = benchmark_module("fuzz")


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(draw=st.randoms(use_true_random=False))
def test_what_was_written_is_read_or_it_is_said_by_name(tmp_path: Path, draw: random.Random) -> None:
    assert fuzz.check_table(draw, tmp_path).failures == []


def test_a_training_refuses_what_the_reading_refuses_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,label\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(60)) + "oops,a\n")
    with pytest.raises(UserError) as refusal:
        infer_schema(read_table(path), Roles("label"))
    assert fuzz.check_refusal(path, refusal.value) == []
    assert fuzz.check_refusal(path, UserError("another fault"))


@pytest.mark.slow
def test_a_trained_table_answers_its_rows_alone_as_in_the_whole_and_a_damaged_file_changes_no_file(tmp_path: Path) -> None:
    assert fuzz.check_table(random.Random(10), tmp_path, trains=True) == fuzz.TableCheck([], "trained")


def test_files_are_the_same_where_every_byte_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before = fuzz.hash_files(tmp_path)
    (tmp_path / "a").write_bytes(b"2")
    assert before.keys() == fuzz.hash_files(tmp_path).keys()
    assert before != fuzz.hash_files(tmp_path)


def test_the_check_tells_what_was_read_otherwise() -> None:
    assert fuzz.equals_written([1.0, None, "a"], [1.0, None, "a"])
    assert not fuzz.equals_written([1000.0], [1.0])
    assert not fuzz.equals_written([None], ["None"])
