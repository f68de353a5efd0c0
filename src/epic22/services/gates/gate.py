"""A gate of promotion, and what it is shown of a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from epic22.core.artifact.request_time import RequestTime
from epic22.core.data.leakage import Suspicion
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.fairness import FairnessVerdict
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.evaluation.miscalibration import Miscalibration
from epic22.core.evaluation.savings import Saving
from epic22.core.evaluation.significance import Verdict
from epic22.core.statistics import Interval
from epic22.core.task import Task


@dataclass(frozen=True)
class CoverageShare:
    """The share of outcomes that intervals or sets held, beside the stated level. `enough`: on so many independent stretches that
    its interval is to be relied on."""

    share: Interval
    level: float
    enough: bool = True


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a new model when it is decided whether it serves.

    `verdicts` and `scores` (a family's value) are of the deciding metric on the folds, forecasts pooled over horizons; `baseline`
    is the family that learns nothing, `columns` are the model's inputs. None: not measured, or not of this kind of task.
    `reopened`: what was written was opened anew and answered its golden rows.
    """

    task: Task
    baseline: str
    verdicts: tuple[Verdict, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    greater_is_better: bool = True
    columns: tuple[str, ...] = ()
    audit: tuple[Suspicion, ...] = ()
    fairness: FairnessVerdict | None = None
    saving: Saving | None = None
    miscalibration: Miscalibration | None = None
    coverage: CoverageShare | None = None
    challenge: Challenge | None = None
    request: RequestTime | None = None
    reopened: bool = True

    def find_verdict(self, against: str) -> Verdict | None:
        """The model's verdict against that family; None where they were not compared."""
        return next((verdict for verdict in self.verdicts if verdict.against == against), None)


@dataclass(frozen=True)
class Gate:
    """A gate: what it measures, within which limit, where that is declared, what becomes of a first model that neither passes nor
    is refused, and who may let a refused one serve. `judge` says what it says of a model."""

    name: str
    quantity: str
    limit: str
    declared_in: str
    first_model: str
    override: str
    judge: Callable[[Evidence], GateFinding]


BY_HAND = "a person, with a reason: `epic22 models promote`"
BY_KEY = "an authorised key, with a reason: `--override-reason`"
BY_NOBODY = "nobody"
"""Who may let a model serve that a gate refused."""
