"""What is imported before anything is asked: the help and the package itself load no heavy library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from epic22 import bootstrap
from epic22.cli.main import VERBS

pytestmark = pytest.mark.slow

HEAVY = (
    "deltalake",
    "fastapi",
    "httpx",
    "matplotlib",
    "mlflow",
    "numba",
    "numpy",
    "optuna",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "sklearn",
    "statsforecast",
    "uvicorn",
    "xgboost",
)


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has imported after the code."""
    end = "\nimport sys\nprint('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stderr.splitlines()[-1].split())


def run_command(*words: str) -> str:
    """Code that runs the command line, whatever its exit code."""
    return (
        f"import sys\nsys.argv = ['epic22', *{words!r}]\nfrom epic22.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit:\n    pass"
    )


def top_level(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("words", [("--help",), ("--version",)], ids=" ".join)
def test_the_help_imports_no_heavy_library(words: tuple[str, ...]) -> None:
    modules = modules_after(run_command(*words))
    assert not top_level(modules) & set(HEAVY)
    # The command line, its errors and the package itself; a verb's module only when the verb runs.
    ours = {name for name in modules if name.split(".")[0] == "epic22"}
    assert len(ours) <= 8
    assert len(modules) < 600


def test_the_package_imports_nothing_heavy() -> None:
    modules = modules_after("import epic22")
    assert not top_level(modules) & set(HEAVY)
    assert len({name for name in modules if name.split(".")[0] == "epic22"}) <= 8


def test_what_services_need_is_said_without_loading_what_it_speaks_of() -> None:
    assert not top_level(modules_after("import epic22.core.ports")) & set(HEAVY)


def test_a_misspelt_verb_is_refused_without_loading_any() -> None:
    modules = modules_after(run_command("trian"))
    assert not top_level(modules) & set(HEAVY)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_loads_no_heavy_library(verb: str) -> None:
    modules = top_level(modules_after(run_command(verb, "--help")))
    assert "typer" in modules
    assert not modules & set(HEAVY)


def test_what_the_bootstrap_lists_is_what_type_checkers_see() -> None:
    tree = ast.parse(Path(bootstrap.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {(node.module, alias.asname) for node in imports for alias in node.names if alias.asname}
    assert seen == {(module, name) for module, names in bootstrap.NAMES.items() for name in names}
    assert all(getattr(bootstrap, name) is not None for names in bootstrap.NAMES.values() for name in names)


def test_reading_a_file_for_predictions_needs_no_library_of_trainings() -> None:
    loaded = modules_after("import epic22.spec.flat_file, epic22.adapters.model_store")
    modules = top_level(loaded)
    # Half a second of a command's start: it is loaded where the first test or interval is computed.
    assert "scipy.stats" not in loaded
    assert not modules & {"sklearn", "pandas", "mlflow", "optuna", "matplotlib", "statsforecast", "lightgbm", "catboost"}


def test_opening_a_bundle_needs_no_training_stack() -> None:
    modules = top_level(modules_after("import epic22.core.artifact.bundle"))
    assert not modules & {"mlflow", "optuna", "matplotlib", "statsforecast", "fastapi", "lightgbm", "catboost"}
