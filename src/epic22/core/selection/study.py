"""A study: what was tried, what came of it, and what to try next.

What is suggested at a turn depends on the trials that were finished before it and on the seed alone, never on the process that
asks: a study that was killed and is opened again goes on as if nothing had happened. Suggestions are by the tree-structured
Parzen estimator (Bergstra et al. 2011), by chance, or from a grid, after the families' own starting points.
"""

import itertools
import logging
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.base import Family
from epic22.core.task import Array

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution

LOG = logging.getLogger(__name__)
Sampling = Literal["bayesian", "random", "grid"]
GRID_STEPS = 3
"""How many values of each parameter a grid takes, its ends among them."""


@dataclass(frozen=True)
class Suggestion:
    """A family and its parameters to try. `number` counts the finished trials before it; `optuna_trial` is the study's own."""

    number: int
    family: str
    params: Mapping[str, Any]
    optuna_trial: "optuna.Trial | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Trial:
    """What came of a suggestion: the deciding metric in each inner fold, in its own unit (fewer where it was `pruned`).

    `best_params` are parameters that early stopping and the like chose, one mapping a fold. `seconds`: how long its fits
    keep the cores busy. `losses` are those of validation rows by epoch, a tuple a fold, of families that report them, and
    `pruned_epoch` is the epoch of the last of these folds at which it was pruned, None where that was after whole folds.
    """

    number: int
    family: str
    params: Mapping[str, Any]
    fold_scores: tuple[float, ...]
    best_params: tuple[Mapping[str, Any], ...]
    seconds: float
    pruned: bool = False
    losses: tuple[tuple[float, ...], ...] = ()
    pruned_epoch: int | None = None

    @property
    def end(self) -> str:
        """Where it was pruned, in words; "" where it was not."""
        if not self.pruned:
            return ""
        folds = len(self.fold_scores)
        after = "after the first inner fold" if folds == 1 else f"after {folds} inner folds"
        return after if self.pruned_epoch is None else f"epoch {self.pruned_epoch} of inner fold {folds}"

    @property
    def value(self) -> float:
        """The mean over folds that are defined; NaN where none is."""
        defined = [value for value in self.fold_scores if not math.isnan(value)]
        return sum(defined) / len(defined) if defined else math.nan


@dataclass(frozen=True)
class StudyConfig:
    """How a study suggests: by which families' spaces, which way scores are better, by which seed and way of sampling.

    `shared`: other processes work on the same storage at the same time, which is faster and not repeatable. Of a storage that has
    more than `max_trials`, as after a kill under a larger budget, the first so many are the study.
    """

    families: tuple[Family, ...]
    greater_is_better: bool
    seed: int = 0
    sampling: Sampling = "bayesian"
    shared: bool = False
    max_trials: int | None = None


class Study:
    """Trials kept in a storage of Optuna's; in this process's memory where it is None.

    `folder` keeps the held-out scores of each trial, so that a study opened again need not fit them again.
    """

    def __init__(self, config: StudyConfig, storage: Any = None, name: str = "search", folder: Path | None = None) -> None:
        """Open the study of that name, or begin it."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.config, self._folder, self._scores = config, folder, dict[str, Array]()
        self._initial_points = _interleave([[(f, start) for start in f.initial_points] for f in config.families])
        self._grid = _build_grid(config.families, config.seed) if config.sampling == "grid" else []
        direction: Literal["maximize", "minimize"] = "maximize" if config.greater_is_better else "minimize"
        self._study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        # Suggests by the trials that it is given, where the storage may have more.
        self._mirror, self._n_mirrored = optuna.create_study(direction=direction), 0
        if config.shared:
            self._queue_initial_points()
        else:
            self.fail_interrupted()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The finished trials; of a shared study, which may lack some turns, by the order in which they began."""
        return tuple(
            _read_trial(frozen.number if self.config.shared else turn, frozen)
            for turn, frozen in enumerate(self._list_finished())
        )

    def is_grid_complete(self, number: int) -> bool:
        """Whether a grid has no place for that turn."""
        return self.config.sampling == "grid" and number >= len(self._grid)

    def ignores_history(self, number: int) -> bool:
        """Whether what is tried at that turn is the same whatever came of the trials before it."""
        return self.config.sampling != "bayesian" or (number < len(self._initial_points) and not self.config.shared)

    def ask(self, number: int | None = None, n_known: int | None = None) -> Suggestion:
        """What to try at that turn (the next one), by the first `n_known` finished trials (all of them)."""
        finished = self._list_finished()
        number = len(finished) if number is None else number
        if self.config.sampling == "grid":
            return Suggestion(number, *self._grid[number])
        if number < len(self._initial_points) and not self.config.shared:
            family, start = self._initial_points[number]
            return Suggestion(number, family.name, start)
        if self.config.shared:
            return self._sample(self._study, number)
        for frozen in finished[self._n_mirrored : n_known]:
            self._mirror.add_trial(frozen)
            self._n_mirrored += 1
        return replace(self._sample(self._mirror, number), optuna_trial=None)

    def _sample(self, study: "optuna.Study", number: int) -> Suggestion:
        import optuna

        seed = None if self.config.shared else hash((self.config.seed, number)) % 2**32
        startup = len(self._initial_points) + 2
        study.sampler = (
            optuna.samplers.RandomSampler(seed)
            if self.config.sampling == "random"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=self.config.shared)
        )
        optuna_trial = study.ask()
        family_name = optuna_trial.suggest_categorical("family", [family.name for family in self.config.families])
        family = next(family for family in self.config.families if family.name == family_name)
        start = optuna_trial.user_attrs.get("start")
        names = family.space if start is None else [name for name in start if name in family.space]
        params = {name: _suggest_param(optuna_trial, family.name, name, family.space[name]) for name in names}
        return Suggestion(
            optuna_trial.number if self.config.shared else number, family.name, params if start is None else start, optuna_trial
        )

    def count_started(self, before: Suggestion | None = None) -> int:
        """How many trials of a shared study were begun and not failed, of those asked for before a suggestion or of all."""
        from optuna.trial import TrialState

        states = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
        numbers = [frozen.number for frozen in self._study.get_trials(deepcopy=False, states=states)]
        return sum(before is None or number < before.number for number in numbers)

    def fail(self, suggestion: Suggestion) -> None:
        """Leave a shared study's suggestion undone."""
        from optuna.trial import TrialState

        if suggestion.optuna_trial is not None:
            self._study.tell(suggestion.optuna_trial, state=TrialState.FAIL)

    def tell(self, trial: Trial, suggestion: Suggestion) -> None:
        """Keep what came of a suggestion."""
        import optuna

        defined = not math.isnan(trial.value)
        complete = defined and not trial.pruned
        state = optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED
        attributes = {
            "folds": list(trial.fold_scores),
            "settled": list(trial.best_params),
            "seconds": trial.seconds,
            "params": dict(trial.params),
        }
        # Trees have no epochs, and their studies stay as they were.
        attributes |= {"losses": [list(losses) for losses in trial.losses]} if trial.losses else {}
        attributes |= {} if trial.pruned_epoch is None else {"pruned_epoch": trial.pruned_epoch}
        intermediate_values = {0: trial.value} if defined and not complete else {}
        if suggestion.optuna_trial is not None:
            for name, attribute in attributes.items():
                suggestion.optuna_trial.set_user_attr(name, attribute)
            for step, value in intermediate_values.items():
                suggestion.optuna_trial.report(value, step)
            self._study.tell(suggestion.optuna_trial, trial.value if complete else None, state=state)
            return
        family = next(f for f in self.config.families if f.name == trial.family)
        flat = _flatten_params(family, trial.params)
        names = [family.name for family in self.config.families]
        distributions: dict[str, Any] = {"family": optuna.distributions.CategoricalDistribution(names)}
        distributions |= {f"{family.name}.{name}": _build_distribution(range_) for name, range_ in family.space.items()}
        optuna_trial = optuna.trial.create_trial(
            state=state,
            value=trial.value if complete else None,
            intermediate_values=intermediate_values,
            params=flat,
            distributions={name: distributions[name] for name in flat},
            user_attrs=attributes,
        )
        self._study.add_trial(optuna_trial)

    def save_scores(self, trial: Trial, raw: Array) -> None:
        """Keep a trial's held-out scores before the link, whole or not at all; before `tell`."""
        name = _digest(trial.family, trial.params)
        self._scores[name] = raw
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f"{name}.{os.getpid()}.part.npy"
            with temporary.open("wb") as stream:
                np.save(stream, raw, allow_pickle=False)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self._folder / f"{name}.npy")

    def load_scores(self, trial: Trial) -> Array | None:
        """A trial's held-out scores, None where they were not kept here, or cannot be read."""
        name = _digest(trial.family, trial.params)
        if name not in self._scores and self._folder is not None:
            scores = _read_scores(self._folder / f"{name}.npy")
            if scores is not None:
                self._scores[name] = scores
        return self._scores.get(name)

    def _list_finished(self) -> list[Any]:
        from optuna.trial import TrialState

        finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return finished[: self.config.max_trials]

    def fail_interrupted(self) -> None:
        """Give up trials that were begun by processes which are no more; only where no other works on the study."""
        from optuna.trial import TrialState

        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(frozen.number, state=TrialState.FAIL)

    def resume_shared(self) -> None:
        """Give up what is under way in a shared study, as after a kill, and have the starting points among it tried again; only
        where no other works on the study."""
        self.fail_interrupted()
        self._queue_initial_points()

    def _queue_initial_points(self) -> None:
        """Have a shared study try the starting points that nobody tried or tries; those that were given up are not tried yet."""
        from optuna.trial import TrialState

        known = [(one.state, one.system_attrs.get("fixed_params")) for one in self._study.get_trials(deepcopy=False)]
        tried = [params for state, params in known if state != TrialState.FAIL]
        for family, start in self._initial_points:
            if (params := _flatten_params(family, start)) not in tried:
                self._study.enqueue_trial(params, {"start": dict(start)})


@dataclass(frozen=True)
class MemoryStudies:
    """Studies that live and end with the process, alone: nothing is claimed, nothing goes on."""

    def claim(self, task: str, digest: str) -> None:
        """Nobody else sees this process's memory."""

    def translate_faults(self) -> AbstractContextManager[None]:
        """Memory refuses nothing."""
        return nullcontext()

    def release(self) -> None:
        """Nothing is claimed."""

    def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
        """A new study."""
        return Study(config, name=part)

    def remove_claimed(self, task: str) -> None:
        """What nobody holds is gone."""


def _digest(family: str, params: Mapping[str, Any]) -> str:
    return sha256(canonical_json([family, dict(params)]))[:24]


def _read_scores(path: Path) -> Array | None:
    """The scores in a file; None where there is none, or it is not whole, as a power cut may leave it."""
    try:
        scores: Array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        LOG.warning("%s is not used, the trial is fitted again: %s", path.name, error)
        return None
    return scores


def _read_trial(number: int, frozen: Any) -> Trial:
    from optuna.trial import TrialState

    attributes, family = frozen.user_attrs, frozen.params["family"]
    scores, best_params = tuple(attributes["folds"]), tuple(attributes["settled"])
    pruned = frozen.state == TrialState.PRUNED
    losses = tuple(map(tuple, attributes.get("losses", ())))
    epoch = attributes.get("pruned_epoch")
    return Trial(number, family, attributes["params"], scores, best_params, attributes["seconds"], pruned, losses, epoch)


def _interleave(sequences: Sequence[Sequence[tuple[Family, Mapping[str, Any]]]]) -> list[tuple[Family, Mapping[str, Any]]]:
    """The first of each family, then the second of each, and so on."""
    return [one for turn in itertools.zip_longest(*sequences) for one in turn if one is not None]


def _flatten_params(family: Family, params: Mapping[str, Any]) -> dict[str, object]:
    """Names as the storage has them: two families may share a parameter's name."""
    return {"family": family.name, **{f"{family.name}.{name}": value for name, value in params.items() if name in family.space}}


def _build_distribution(range_: tuple[Any, ...]) -> "FloatDistribution | IntDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = range_[0], range_[1], range_[2:] == ("log",)
    whole = isinstance(low, int) and isinstance(high, int)
    return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)


def _suggest_param(optuna_trial: Any, family: str, name: str, range_: tuple[Any, ...]) -> Any:
    distribution = _build_distribution(range_)
    suggest = optuna_trial.suggest_int if isinstance(distribution.low, int) else optuna_trial.suggest_float
    return suggest(f"{family}.{name}", distribution.low, distribution.high, log=distribution.log)


def _build_grid(families: Sequence[Family], seed: int) -> list[tuple[str, Mapping[str, Any]]]:
    """Every combination of `GRID_STEPS` values a parameter, each family's in an order by chance, families interleaved.

    In their own order a budget that ends early would have changed the last parameters only.
    """
    rng = np.random.default_rng(seed)
    family_grids = []
    for family in families:
        combinations = list(itertools.product(*map(_grid_values, family.space.values())))
        family_grids.append(
            [(family, dict(zip(family.space, combinations[i], strict=True))) for i in rng.permutation(len(combinations))]
        )
    return [(family.name, params) for family, params in _interleave(family_grids)]


def _grid_values(range_: tuple[Any, ...]) -> list[Any]:
    low, high, log = range_[0], range_[1], range_[2:] == ("log",)
    fractions = [i / (GRID_STEPS - 1) for i in range(GRID_STEPS)]
    values = [low * (high / low) ** place if log else low + (high - low) * place for place in fractions]
    whole = isinstance(low, int) and isinstance(high, int)
    return sorted({round(value) for value in values}) if whole else values
