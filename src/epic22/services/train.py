"""The one way from data to a registered model: plan, evaluate, select, fit, package.

A pipeline says how each step is done on its kind of data. A step takes what the steps before gave and changes nothing: done again
it gives the same, so that a training that was interrupted can go on behind the last step that is kept.
"""

import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from epic22.core.artifact.model import Model
from epic22.core.artifact.openers import open_model
from epic22.core.artifact.request_time import measure_request
from epic22.core.artifact.sealed import TrainedBundle
from epic22.core.blas import limit_blas_threads
from epic22.core.data.task_data import TrainableTask
from epic22.core.errors import BundleError
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.fairness import PROMOTED, FairnessVerdict, Override, PromotionDecision, decide_promotion
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.lineage import ModelVersion
from epic22.core.ports import Registry
from epic22.core.progress import Progress
from epic22.services.challenge import ServingModel, open_serving_model
from epic22.services.gates.catalog import judge_gates
from epic22.services.gates.gate import Evidence
from epic22.services.training_run import TrainingRun

SealedT_co = TypeVar("SealedT_co", bound=TrainedBundle, covariant=True)


@dataclass(frozen=True)
class Package(Generic[SealedT_co]):
    """A fitted champion with all that its answers need, and what the gate decided; `write(folder)` writes it down."""

    bundle: SealedT_co
    write: Callable[[Path], None]
    promotion: PromotionDecision | None = None

    def meet_gates(self, evidence: Evidence) -> "Package[SealedT_co]":
        """The package with what all gates say of it, and what follows."""
        return replace(self, promotion=(self.promotion or PROMOTED).meet_gates(judge_gates(evidence), evidence.challenge))


@dataclass(frozen=True)
class PromotionGate:
    """Who may let a model pass whose fairness is refused or inconclusive, and whether someone did, with a reason."""

    override: Override | None = None
    authorised: Container[str] = frozenset()

    def decide(
        self, fairness: FairnessVerdict | None, first_model: bool, certain: bool, protected: Sequence[str] = ()
    ) -> PromotionDecision:
        """Whether the model may become champion; `certain`: it is certainly better than the constant; `protected`: the columns
        that are declared to be so."""
        return decide_promotion(fairness, first_model, self.override, self.authorised, certain, protected)


PlanT = TypeVar("PlanT")
BoardT = TypeVar("BoardT")
SelectionT = TypeVar("SelectionT")
FittedT = TypeVar("FittedT")
BundleT = TypeVar("BundleT", bound=TrainedBundle)
RunT = TypeVar("RunT", bound=TrainingRun)
RunT_co = TypeVar("RunT_co", bound=TrainingRun, covariant=True)


class Pipeline(Protocol[PlanT, BoardT, SelectionT, FittedT, BundleT, RunT_co]):
    """How a model is trained on one kind of data."""

    @property
    def data(self) -> TrainableTask:
        """The task and what it is learned from."""

    def plan(self, progress: Progress) -> PlanT:
        """The examples, audited, the folds that judge, and who takes part.

        Raises SplitError where no honest split exists, ColumnError where the data do not give what the task declares.
        """

    def evaluate(self, plan: PlanT, progress: Progress) -> BoardT:
        """Every family on the same folds."""

    def select(self, plan: PlanT, board: BoardT, progress: Progress) -> SelectionT:
        """The champion, why, and what its answers are worth."""

    def fit(self, plan: PlanT, selection: SelectionT, progress: Progress) -> FittedT:
        """The champion, fitted on all its rows."""

    def package(self, plan: PlanT, selection: SelectionT, fitted: FittedT, first_model: bool) -> Package[BundleT]:
        """The fitted champion with all that its answers need. `first_model`: no other of the task is served yet."""

    def evaluate_version(self, plan: PlanT, selection: SelectionT) -> tuple[VersionEvaluation, HeldOutPredictions]:
        """What is kept of the champion's evaluation, its score and responses, by which later versions are compared with it."""

    def challenge(self, plan: PlanT, selection: SelectionT, serving: ServingModel) -> Challenge:
        """Whether the champion of this training is shown not to be worse than the model that serves."""

    def collect_evidence(self, plan: PlanT, selection: SelectionT) -> Evidence:
        """What the gates of promotion are shown of the champion's evaluation."""

    def record(
        self, plan: PlanT, selection: SelectionT, fitted: FittedT, package: Package[BundleT], version: ModelVersion
    ) -> RunT_co:
        """The run, once its model is registered; what was kept to go on from is removed."""


AnyPipeline = Pipeline[Any, Any, Any, Any, Any, RunT]
"""A pipeline whose run is what counts: only `train` hands on what lies between its steps."""


def train(
    pipeline: Pipeline[PlanT, BoardT, SelectionT, FittedT, BundleT, RunT],
    registry: Registry,
    progress: Progress = Progress(),
    promotion: ExitStack | None = None,
) -> RunT:
    """Evaluate the families of a task on the same folds, fit the champion and register it; promotion is another step.

    Where a model serves the task already, the new one is compared with it, and its package says whether it may take its place.
    From then on, and until `promotion` is closed, no other training or person replaces the model that it was compared with.

    Linear algebra has one thread until the end, so that the model's hash does not depend on cores and environment.
    Raises what `Pipeline.plan` raises.
    """
    with limit_blas_threads():
        return _train(pipeline, registry, progress, promotion)


def _train(
    pipeline: Pipeline[PlanT, BoardT, SelectionT, FittedT, BundleT, RunT],
    registry: Registry,
    progress: Progress,
    promotion: ExitStack | None,
) -> RunT:
    with progress.stage("plan"):
        plan = pipeline.plan(progress)
    with progress.stage("evaluate"):
        board = pipeline.evaluate(plan, progress)
    with progress.stage("select"):
        selection = pipeline.select(plan, board, progress)
    with progress.stage("fit"):
        fitted = pipeline.fit(plan, selection, progress)
    with progress.stage("package"):
        if promotion is not None:
            promotion.enter_context(registry.lock_champion(pipeline.data.task.name))
        first_model = registry.find_champion(pipeline.data.task.name) is None
        package = pipeline.package(plan, selection, fitted, first_model)
        serving = open_serving_model(registry, pipeline.data.task.name, progress)
        challenge = None if serving is None else pipeline.challenge(plan, selection, serving)
        with write_artifact(package) as artifact:
            evidence = replace(
                pipeline.collect_evidence(plan, selection), challenge=challenge, request=measure_request(artifact.model)
            )
            package = package.meet_gates(evidence)
            version = save_artifact(artifact, package.bundle, registry)
    try:
        registry.save_evaluation(version.task, version.version, *pipeline.evaluate_version(plan, selection))
        registry.save_gates(version.task, version.version, () if package.promotion is None else package.promotion.gates)
        return pipeline.record(plan, selection, fitted, package, version)
    except BaseException:
        registry.discard(version.task, version.version)
        raise


@dataclass(frozen=True)
class Artifact:
    """A package as it was written into a folder, and the model that a fresh reader opens of it."""

    folder: Path
    model: Model


@contextmanager
def write_artifact(package: Package[TrainedBundle]) -> Iterator[Artifact]:
    """The package, written aside and opened anew: its hashes, its identity and its golden rows are those that were packed.

    Raises BundleError where they are not: then nothing is registered, and the champion stays.
    """
    with tempfile.TemporaryDirectory(prefix="epic22-") as scratch:
        folder = Path(scratch) / "bundle"
        package.write(folder)
        yield Artifact(folder, verify_artifact(folder, package.bundle))


def save_artifact(artifact: Artifact, bundle: TrainedBundle, registry: Registry) -> ModelVersion:
    """The version under which the registry keeps an artifact."""
    task, status = bundle.schema.task, bundle.status
    return registry.save(task, bundle.family, bundle.model_hash, bundle.data_version, status, artifact.folder)


def register(package: Package[TrainedBundle], registry: Registry) -> ModelVersion:
    """The version under which the registry keeps a package, which is written aside, opened again and only then handed over.

    Raises BundleError where what was written is not what was packed: then nothing is registered, and the champion stays.
    """
    with write_artifact(package) as artifact:
        return save_artifact(artifact, package.bundle, registry)


def verify_artifact(folder: Path, bundle: TrainedBundle) -> Model:
    """The model in a folder. Raises BundleError where it does not open, answers its golden rows otherwise, or is not `bundle`."""
    candidate = ModelVersion(
        bundle.schema.task, CANDIDATE, bundle.family, bundle.model_hash, bundle.data_version, bundle.status, made_at=""
    )
    model = open_model(candidate, folder)
    if model.bundle.model_hash != bundle.model_hash:
        raise BundleError(
            f"task {bundle.schema.task}: the artifact that was written opens as another model ({model.bundle.model_hash[:12]}) "
            f"than was packed ({bundle.model_hash[:12]}); it is not registered, and the champion stays. Train again."
        )
    return model


CANDIDATE = "candidate"
"""What stands for the number of a version that has none yet."""
