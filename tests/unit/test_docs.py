"""The papers: links lead somewhere, recipes name what exists, settings are told."""

import re
from pathlib import Path

import pytest

import epic22
from epic22.core.models.catalog import FAMILIES
from epic22.features.catalog import FEATURES
from epic22.spec.training_spec import list_options

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_recipes_name_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"from (epic22[\w.]+) import", text):
        assert (ROOT / "src" / Path(*name.split("."))).with_suffix(".py").exists(), name
    for path in re.findall(r"tests/contract/\w+\.py", text):
        assert (ROOT / path).exists()


def test_lists_are_visible() -> None:
    assert [family.name for family in FAMILIES] == [
        "constant",
        "linear",
        "boosting",
        "lightgbm",
        "catboost",
        "hazard_linear",
        "hazard",
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
