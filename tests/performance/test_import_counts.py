"""What is imported before anything is asked: the help and the package itself load no heavy library."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

HEAVY = ("xgboost", "mlflow", "pandas", "sklearn", "numpy", "polars", "optuna", "matplotlib", "fastapi", "deltalake", "scipy")


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


def test_a_misspelt_verb_is_refused_without_loading_any() -> None:
    modules = modules_after(run_command("trian"))
    assert not top_level(modules) & set(HEAVY)


@pytest.mark.parametrize("verb", ["predict", "models"])
def test_the_help_of_a_verb_loads_neither_tracking_nor_search_nor_pictures(verb: str) -> None:
    modules = top_level(modules_after(run_command(verb, "--help")))
    assert not modules & {"mlflow", "optuna", "matplotlib", "statsforecast", "shap", "torch"}


def test_opening_a_bundle_needs_no_training_stack() -> None:
    modules = top_level(modules_after("import epic22.core.artifact.bundle"))
    assert not modules & {"mlflow", "optuna", "matplotlib", "statsforecast", "fastapi", "lightgbm", "catboost"}
