"""The papers: links lead somewhere, recipes name what exists, settings are told."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import epic22
from epic22.core.models.catalog import FAMILIES
from epic22.features.catalog import FEATURES
from epic22.spec.training_spec import list_options

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.name for path in (ROOT / "src" / "epic22").iterdir() if path.is_dir() and path.name != "__pycache__")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_recipes_name_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"from (epic22[\w.]+) import", text):
        place = ROOT / "src" / Path(*name.split("."))
        assert place.is_dir() or place.with_suffix(".py").exists(), name
    for path in re.findall(r"tests/contract/\w+\.py", text):
        assert (ROOT / path).exists()


@pytest.mark.parametrize("page", ["architecture.md", "plan.md"])
def test_every_module_and_test_that_a_page_names_exists(page: str) -> None:
    text = re.sub(r"planned: [^|]*", "", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    named = set(re.findall(rf"`((?:{'|'.join(ROOMS)}|tests|benchmarks)/[\w./-]*)`", text))
    assert {path for path in named if not (ROOT / path).exists() and not (ROOT / "src" / "epic22" / path).exists()} == set()


def test_every_name_that_a_page_imports_exists() -> None:
    of_recipes = {"features import hvac_repair", "core.models import ridge", "adapters.sources import sqlite"}
    absent = []
    for page in PAGES:
        for line in re.findall(r"^from epic22[\w.]* import .*$", page.read_text(encoding="utf-8"), re.MULTILINE):
            module, names = re.fullmatch(r"from (\S+) import (.*)", line.split("  #")[0]).groups()  # type: ignore[union-attr]
            missing = [name for name in names.split(", ") if not hasattr(import_module(module), name)]
            absent += [f"{page.name}: {line}"] if missing and line.removeprefix("from epic22.") not in of_recipes else []
    assert absent == []


def test_lists_are_visible() -> None:
    assert [family.name for family in FAMILIES] == [
        "constant",
        "linear",
        "additive",
        "boosting",
        "lightgbm",
        "catboost",
        "extra_trees",
        "random_forest",
        "hazard_linear",
        "hazard",
        "mlp",
        "lstm",
        "gru",
        "transformer",
        "cnn",
    ]
    assert isinstance(FEATURES, tuple)


def test_the_how_tos_tell_every_option_of_train() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs" / "how-to").glob("*.md"))
    names = [field.key.option for field in list_options()]
    assert [name for name in names if name not in text and name.replace("--", "--no-") not in text] == []


def test_the_version_is_told_once_and_alike() -> None:
    assert f'version = "{epic22.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"[{epic22.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_exist_for_every_python_that_is_claimed() -> None:
    for minor in ("311", "312"):
        text = (ROOT / "constraints" / f"py{minor}.txt").read_text()
        assert "xgboost-cpu==" in text
        assert "://" not in text


def test_every_file_of_constraints_is_resolved_by_make_lock() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlock:")[1].split("\n\n")[0]
    files = {path.name for path in (ROOT / "constraints").glob("*.txt")}
    assert files == {"py311.txt", "py312.txt", "engines.txt"}
    for name in ("py3$$v.txt", "engines.txt"):
        assert re.search(rf"(-o|>) constraints/{re.escape(name)}( |;)", recipe), name
