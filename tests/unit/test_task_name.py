"""Tasks' names: two files are two tasks, in any script, and a name is safe as a folder and an address."""

from itertools import combinations
from pathlib import Path

import pytest

from epic22.adapters.model_records import TASK_NAME
from epic22.spec.task_name import build_task_name

SOURCES = [
    ("жалобы.csv", "исход"),
    ("аренда.csv", "отток"),
    ("аренда.csv", "исход"),
    ("顧客.csv", "解約"),
    ("😀.csv", "y"),
    ("C.csv", "y"),
    ("C++.csv", "y"),
    ("v1.0.csv", "y"),
    ("v1.1.csv", "y"),
    ("Lohne.csv", "y"),
    ("Löhne.csv", "y"),
    ("rents.csv", "rent%"),
    ("rents.csv", "rent$"),
    ("x" * 70 + ".csv", "y"),
    ("x" * 71 + ".csv", "y"),
    ("_.csv", "_"),
]


@pytest.mark.parametrize(("first", "second"), list(combinations(SOURCES, 2)))
def test_two_tables_are_two_tasks(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert build_task_name(None, Path(first[0]), first[1]) != build_task_name(None, Path(second[0]), second[1])


@pytest.mark.parametrize(("file", "label"), SOURCES)
def test_every_name_can_be_a_folder_and_an_address(file: str, label: str) -> None:
    assert TASK_NAME.fullmatch(build_task_name(None, Path(file), label))


def test_plain_names_are_what_they_were() -> None:
    assert build_task_name(None, Path("data/Telco churn.csv.gz"), "Churn?") == "telco-churn-churn"
    assert build_task_name("My task", Path("a.csv"), "y") == "my-task"
    assert build_task_name(None, Path("buildings.csv"), "SiteEnergyUse(kBtu)") == "buildings-siteenergyuse-kbtu"


def test_a_name_does_not_depend_on_how_its_accents_are_stored() -> None:
    composed, decomposed = "L\u00f6hne.csv", "Lo\u0308hne.csv"
    assert build_task_name(None, Path(composed), "y") == build_task_name(None, Path(decomposed), "y")
