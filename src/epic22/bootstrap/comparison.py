"""Families compared, or one ablated, on the rows and folds that a training would have; nothing is registered."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from epic22.adapters.fit_process import FitProcess, open_fit_process
from epic22.adapters.home import refuse_unwritable_home, translate_storage_faults
from epic22.adapters.lake import is_delta
from epic22.bootstrap.components import Components
from epic22.bootstrap.stores import SCRATCH
from epic22.bootstrap.training import build_feature_split, load_feature_data, select_rows_above_cap
from epic22.core.data.batches import estimate_file_memory
from epic22.core.data.folds import SplitRequest
from epic22.core.data.task_data import TaskData
from epic22.core.errors import UserError
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.catalog import get_family
from epic22.core.progress import Progress, follow_inner_work
from epic22.features.catalog import get_feature
from epic22.reports.html.comparison import write_ablation_report, write_comparison_report
from epic22.services.ablation import Ablation, ablate
from epic22.services.family_comparison import FamilyComparison, compare_families
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_request import build_split_request, locate_errors, refuse_contradictions
from epic22.spec.training_spec import TrainingSpec

ResultT = TypeVar("ResultT", FamilyComparison, Ablation)
WITHOUT_SEARCH = "the search and the engineered columns that the task file names are left out: families are compared as they come"
DIGEST_LETTERS = 8
REPORTS = "reports"
"""The folder of the home for these pages."""


@dataclass(frozen=True)
class ComparisonResult:
    """Families compared, and the page that shows it."""

    comparison: FamilyComparison
    report: Path


@dataclass(frozen=True)
class AblationResult:
    """A family without its parts, and the page that shows it."""

    ablation: Ablation
    report: Path


@dataclass(frozen=True)
class LoadedRows:
    """The rows and the split that families are compared on."""

    data: TaskData
    split: SplitRequest


def compare_file(components: Components, spec: TrainingSpec, progress: Progress = Progress()) -> ComparisonResult:
    """The specification's families compared on the user's own table.

    Raises UserError for a table that does not fit under the memory cap, and what `compare_families` raises.
    """
    return _compare(components, spec.families, partial(_load_file_rows, components, spec, progress), progress, spec)


def compare_feature(
    components: Components,
    name: str,
    families: tuple[str, ...],
    version_number: int | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> ComparisonResult:
    """The families compared on a feature's rows of a version of the stored tables, the newest where `version_number` is None.

    Raises UserError for a feature that forecasts series, and what `compare_families` raises.
    """
    load = partial(_load_feature_rows, components, name, version_number, seed, families, progress)
    return _compare(components, families, load, progress)


def ablate_file(components: Components, spec: TrainingSpec, family: str, progress: Progress = Progress()) -> AblationResult:
    """The family without each of its parts, on the user's own table. Raises what `compare_file` and `ablate` raise."""
    return _ablate(components, family, partial(_load_file_rows, components, spec, progress), progress, spec)


def ablate_feature(
    components: Components,
    name: str,
    family: str,
    version_number: int | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> AblationResult:
    """The family without each of its parts, on a feature's rows. Raises what `compare_feature` and `ablate` raise."""
    load = partial(_load_feature_rows, components, name, version_number, seed, (family,), progress)
    return _ablate(components, family, load, progress)


def _compare(
    components: Components,
    families: tuple[str, ...],
    load_rows: Callable[[], LoadedRows],
    progress: Progress,
    spec: TrainingSpec = TrainingSpec(),
) -> ComparisonResult:
    def open_backend() -> AbstractContextManager[FitProcess]:
        return open_fit_process(home / SCRATCH)

    home, threads = components.settings.home, components.settings.threads
    with locate_errors(spec), translate_storage_faults(home), follow_inner_work(progress):
        refuse_unwritable_home(home, folders=(REPORTS, SCRATCH))
        for name in families:
            get_family(name)  # an unknown name is refused before any row is read
        rows = load_rows()
        comparison = compare_families(rows.data, rows.split, threads, families, open_backend, progress)
        path = _name_report(home, "compare", comparison, {"families": [one.name for one in comparison.families]})
        return ComparisonResult(comparison, write_comparison_report(comparison, path))


def _ablate(
    components: Components,
    family: str,
    load_rows: Callable[[], LoadedRows],
    progress: Progress,
    spec: TrainingSpec = TrainingSpec(),
) -> AblationResult:
    home, threads = components.settings.home, components.settings.threads
    with locate_errors(spec), translate_storage_faults(home), follow_inner_work(progress):
        refuse_unwritable_home(home, folders=(REPORTS,))
        get_family(family)
        rows = load_rows()
        ablation = ablate(rows.data, rows.split, threads, family, progress)
        path = _name_report(home, f"ablate-{family}", ablation, {})
        return AblationResult(ablation, write_ablation_report(ablation, path))


def _load_file_rows(components: Components, spec: TrainingSpec, progress: Progress) -> LoadedRows:
    refuse_contradictions(spec)
    if is_delta(spec.path) or estimate_file_memory(spec.path) > components.settings.memory_cap:
        raise UserError(
            f"{spec.path.name}: families are compared on rows that fit under the memory cap; raise --memory-cap, or give fewer."
        )
    progress.begin("reading and auditing …", 1, about=spec.path.name)
    data, search = load_task_data(spec), spec.search
    progress.step()
    if search.is_requested or search.engineer:
        data = replace(data, notes=(*data.notes, WITHOUT_SEARCH))
    return LoadedRows(data, replace(build_split_request(spec), test_rows=data.test_rows))


def _load_feature_rows(
    components: Components, name: str, version_number: int | None, seed: int, families: tuple[str, ...], progress: Progress
) -> LoadedRows:
    data = load_feature_data(components, get_feature(name), version_number, progress, families)
    if not isinstance(data, TaskData):
        raise UserError(
            f"{name} forecasts series: its families are compared by its training, epic22 train {name}, which lists each with its "
            "scores and verdicts by horizon."
        )
    if select_rows_above_cap(data, components.settings.memory_cap) is not None:
        raise UserError(f"{name}: families are compared on rows that fit under the memory cap; raise --memory-cap.")
    return LoadedRows(data, build_feature_split(data.task, seed))


def _name_report(home: Path, what: str, result: ResultT, selection: Mapping[str, Any]) -> Path:
    """The page's place in the home's reports; the same comparison again takes the place of the one before."""
    folder = home / REPORTS
    folder.mkdir(parents=True, exist_ok=True)
    digest = sha256(canonical_json({"folds": result.plan.fingerprint(result.data_version), "seed": result.seed, **selection}))
    return folder / f"{result.task.name}-{what}-{digest[:DIGEST_LETTERS]}.html"
