"""No pickle is ever loaded or written, and nothing phones home, anywhere in the source."""

import ast
from pathlib import Path

import pytest

import epic22
from epic22.adapters.tracking.mlflow_store import QUIET_ENVIRONMENT

SOURCE = Path(epic22.__file__).parent
FORBIDDEN = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal", "requests", "urllib3"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_a_module_imports_nothing_that_unpickles_or_calls_out(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert not imported & FORBIDDEN


def test_telemetry_is_off_before_mlflow_is_imported() -> None:
    assert QUIET_ENVIRONMENT["MLFLOW_DISABLE_TELEMETRY"] == "true"
