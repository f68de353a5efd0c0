"""What the product computes is what was recorded: every case, and every bundle written before."""

import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.golden.cases import CASES, Case
from tests.golden.differences import TOLERANCE, committed, differences
from tests.golden.driver import ROOT, Driver
from tests.golden.names import NAMES, Names

HERE = Path(__file__).parent
SOURCE = ROOT / "src"
ALL = os.environ.get("EPIC22_GOLDEN") == "all"
LONG = {"features", "hazard", "sample", "forward", "groups", "regression"}
"""Left to compare.py, for the suite's time; their expected documents are compared with EPIC22_GOLDEN=all."""
BUNDLES = sorted((HERE / "bundles").glob("*.zip"))


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """The process in which all cases of this file run: a new one each would import the same libraries."""
    one = Driver(SOURCE)
    yield one
    one.stop()


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[] if case.quick else [pytest.mark.slow]) for case in CASES]
)
def test_a_case_computes_what_was_recorded(case: Case, driver: Driver, tmp_path: Path) -> None:
    if case.name in LONG and not ALL:
        pytest.skip("long; compare.py runs it, and EPIC22_GOLDEN=all does here")
    recorded = json.loads((HERE / "expected" / f"{case.name}.json").read_text(encoding="utf-8"))
    computed = committed(driver.run_case(case.name, tmp_path, NAMES))
    wrong = list(differences(Names.read().document(recorded), computed, TOLERANCE))
    assert not wrong, "\n".join([f"{len(wrong)} differences", *map(str, wrong[:8])])


@pytest.mark.slow
@pytest.mark.parametrize("archive", BUNDLES, ids=[path.stem for path in BUNDLES])
def test_a_bundle_written_before_opens_and_answers_the_same(archive: Path, driver: Driver, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    recorded = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    names = Names.read(HERE / "bundles" / "names.json")
    words = [names.argument(word) for word in recorded["command"]]
    given = driver.run_command(words, tmp_path)
    assert given["exit"] == 0, given["err"]
    expected: Any = names.renamed(recorded["answers"], "faces")
    wrong = [
        one
        for one in differences(expected, given["out"], TOLERANCE)
        if not follows_from_last_bits(one.path, expected, given["out"])
    ]
    assert not wrong, "\n".join([f"{len(wrong)} differences", *map(str, wrong[:8])])


def follows_from_last_bits(path: str, expected: Any, computed: Any) -> bool:
    """Whether a receipt differs as its answer's bits do: another processor sums a forecast in another order, and a receipt is of
    all bits. The answer itself is compared within the tolerance."""
    found = re.fullmatch(r"/predictions/(\d+)/receipt", path)
    if found is None:
        return False
    one, other = ({**side["predictions"][int(found[1])], "receipt": ""} for side in (expected, computed))
    return bool(one != other)


def test_a_receipt_may_differ_only_where_its_answer_does() -> None:
    one = {"predictions": [{"value": 1.0, "receipt": "a"}]}
    last_bit = {"predictions": [{"value": 1.0 + 2**-52, "receipt": "b"}]}
    assert follows_from_last_bits("/predictions/0/receipt", one, last_bit)
    assert not follows_from_last_bits("/predictions/0/receipt", one, {"predictions": [{"value": 1.0, "receipt": "b"}]})
    assert not follows_from_last_bits("/predictions/0/value", one, last_bit)


def test_there_is_a_bundle_of_every_kind() -> None:
    kinds = {"binary", "multiclass", "regression", "counts", "hazard", "ensemble", "other_trees", "large", "panel"}
    assert {path.stem for path in BUNDLES} >= kinds
