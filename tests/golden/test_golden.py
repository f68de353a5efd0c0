"""What the product computes is what was recorded: every case, and every bundle written before."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.golden.cases import CASES, Case
from tests.golden.differences import TOLERANCE, committed, differences
from tests.golden.driver import ENVIRONMENT, ROOT, document_of
from tests.golden.names import NAMES, Names

HERE = Path(__file__).parent
SOURCE = ROOT / "src"
COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]
ALL = os.environ.get("EPIC22_GOLDEN") == "all"
LONG = {"features", "hazard", "sample", "forward", "groups", "regression"}
"""Left to compare.py, for the suite's time; their expected documents are compared with EPIC22_GOLDEN=all."""
BUNDLES = sorted((HERE / "bundles").glob("*.zip"))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[] if case.quick else [pytest.mark.slow]) for case in CASES]
)
def test_a_case_computes_what_was_recorded(case: Case, tmp_path: Path) -> None:
    if case.name in LONG and not ALL:
        pytest.skip("long; compare.py runs it, and EPIC22_GOLDEN=all does here")
    recorded = json.loads((HERE / "expected" / f"{case.name}.json").read_text(encoding="utf-8"))
    computed = committed(document_of(case.name, SOURCE, tmp_path, NAMES))
    wrong = list(differences(Names.read().document(recorded), computed, TOLERANCE))
    assert not wrong, "\n".join([f"{len(wrong)} differences", *map(str, wrong[:8])])


@pytest.mark.slow
@pytest.mark.parametrize("archive", BUNDLES, ids=[path.stem for path in BUNDLES])
def test_a_bundle_written_before_opens_and_answers_the_same(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    recorded = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(SOURCE), "EPIC22_HOME": str(tmp_path / "home")}
    names = Names.read(HERE / "bundles" / "names.json")
    words = [names.argument(word) for word in recorded["command"]]
    done = subprocess.run([*COMMAND, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expected: Any = names.renamed(recorded["answers"], "faces")
    wrong = list(differences(expected, json.loads(done.stdout), TOLERANCE))
    assert not wrong, "\n".join([f"{len(wrong)} differences", *map(str, wrong[:8])])


def test_there_is_a_bundle_of_every_kind() -> None:
    kinds = {"binary", "multiclass", "regression", "counts", "hazard", "ensemble", "other_trees", "large", "panel"}
    assert {path.stem for path in BUNDLES} >= kinds
