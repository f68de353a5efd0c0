"""A search within a training part: families and parameters are tried on inner folds, and the best of them averaged.

Nothing outside the training part is seen, so folds that judge the whole search judge it honestly. Every inner fold's matrix is
made once and serves all trials. Inner folds are fitted side by side: each on fewer threads, which small tables gain from. So that
no core waits for a trial's last fold, the next trial is begun before; what it tries is therefore suggested by the trials before
the last one, always, so that the result depends neither on timing nor on the number of cores. Where nothing is learned from the
trials before (starting points, chance, a grid, none given up) one more is begun.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from epic22.core.data.engineering import Recipe
from epic22.core.data.examples import Examples
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import Fold, FoldPlan, watched_folds
from epic22.core.evaluation.crossval import FittedFold, FoldResponse, prepare, tally_parts
from epic22.core.evaluation.exhaustion import Stop, search_exhausted
from epic22.core.lineage import sha256
from epic22.core.models.base import CLASSIFIED, Estimator, Family, Part, link
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.logged import is_smeared, unlogged
from epic22.core.models.scale import IDENTITY
from epic22.core.selection.budget import Budget, Clock
from epic22.core.selection.distil import Distilled, answered_within
from epic22.core.selection.ensemble import PICKS, Blend, blend, response_to, scale_for
from epic22.core.selection.hands import Hands
from epic22.core.selection.level import Level, level_at_the_end
from epic22.core.selection.study import Study, Suggestion, Trial
from epic22.core.task import Array, Rows, Task

POOL = 25
"""The best so many trials may enter the ensemble."""

PRUNED_AFTER = 2
"""Inner folds after which a trial worse than the median of those before is given up."""

PRUNES_FROM = 8
"""Complete trials before the first is given up."""

LAST_FITS = 0.2
"""Share of a time limit kept for the last fits where the models are fitted anew on all rows."""

AHEAD, FREELY_AHEAD = 1, 2
"""Trials begun while the one before is under way: none knows the results of so many before it. The second: where nothing would
be learned from them."""

REFITS = 10
"""Models that are fitted anew on all rows, seeds of the chosen trials by their weights: more of them hardly differ."""

BLENDING = 0.06
"""Share of a time limit kept for choosing the weights."""


@dataclass(frozen=True)
class Found:
    """What a search found: a fitted ensemble, the trials behind it, `weights` by trial turn, why it ended, and whether
    it is `exhausted`.

    `parts` are the inner folds as they judge the ensemble: rows that its models had not seen, in each fold by weights that were
    chosen on the others, and without the `level` that the ensemble was moved to. Rounds were stopped by those rows, and
    parameters suggested by what others scored on them: a little too good, which a search judged anew by other folds is not.
    """

    fitted: FittedFold
    trials: tuple[Trial, ...]
    weights: tuple[tuple[int, float], ...]
    blend: Blend
    ended: str
    distilled: Distilled | None
    parts: tuple[FoldResponse, ...]
    exhausted: Stop
    level: Level | None = None


@dataclass(frozen=True)
class Search:
    """How training parts are searched: by which families, within which budget, and where studies are kept.

    `study(name)` opens the study of a training part. `prune` gives up trials that fall behind early. `row_ms`: a student
    takes the ensemble's place where score and reasons of one row take longer. `crew` has other processes make trials of a
    part's study, which must be shared; what they leave is done here.
    """

    families: tuple[Family, ...]
    budget: Budget
    study: Callable[[str], Study]
    prune: bool = True
    row_ms: float | None = None
    picks: int = PICKS
    progress: Callable[[], None] = lambda: None
    crew: "Callable[[Bench, Study, str, Clock], None] | None" = None

    def fit(
        self,
        task: Task,
        examples: Examples,
        plan: FoldPlan,
        train: Array,
        seed: int,
        threads: int,
        clock: Clock = Clock(None),
        recipe: Recipe = Recipe(),
    ) -> Found:
        """Search on these rows alone until the budget is spent, then average. The `recipe` says which columns are made."""
        bench = Bench.of(self, task, examples, plan, train, seed, threads, recipe)
        part = sha256(train.tobytes())[:16]
        study = self.study(part)
        if self.crew is not None:
            self.crew(bench, study, part, clock)
        with Hands(bench.side_by_side(len(bench.folds))[0]) as bench.hands:
            ended = _run(bench, study, clock)
            return _average(bench, study, clock, ended)


@dataclass
class Bench:
    """A training part laid out for trials. `X` is the matrix of its rows, `folds` positions in it.

    Where columns are means of labels, each inner fold has a matrix of its own, `own`, made of its training rows' labels alone.
    `anew`: members are fitted on all rows, for the inner folds' models lack the latest rows, or have other means of labels.
    `at` (n,): the times of the rows where the folds go forward.
    """

    search: Search
    task: Task
    preprocessor: Preprocessor
    X: Array
    y: Array
    train: Array
    folds: tuple[Fold, ...]
    anew: bool
    seed: int
    threads: int
    own: Callable[[Fold], Part] | None = None
    at: Array | None = None
    parts: dict[int, Part] = field(default_factory=dict)
    fitted: dict[int, tuple[Estimator, ...]] = field(default_factory=dict)
    hands: Hands = field(default_factory=lambda: Hands(0))

    @classmethod
    def of(
        cls,
        search: Search,
        task: Task,
        examples: Examples,
        plan: FoldPlan,
        train: Array,
        seed: int,
        threads: int,
        recipe: Recipe,
    ) -> "Bench":
        """Lay the training part out, its columns made by the recipe."""
        part, kind = examples.take(train), task.target.kind
        prepared = prepare(task, part, recipe, tally_parts(plan, examples, train, kind, seed) if recipe.tallies else ())
        position = np.full(len(examples), -1)
        position[train] = np.arange(len(train))
        outer = watched_folds(plan, examples, train, kind, seed)
        folds = tuple(Fold(position[fold.train], position[fold.test]) for fold in outer)
        last = np.array([examples.at[fold.test].max() for fold in outer])
        forward = len(outer) > 1 and bool((last[1:] > last[:-1]).all()) and len(outer[-1].train) > len(outer[0].train)
        y = np.asarray(part.y, dtype=np.float64)

        def own(fold: Fold) -> Part:
            fitted, watched = examples.take(train[fold.train]), examples.take(train[fold.test])
            parts = tally_parts(plan, examples, train[fold.train], kind, seed)
            made = prepare(task, fitted, recipe, parts)
            return Part(made.X, y[fold.train], made.preprocessor.transform(watched.X), y[fold.test])

        tallied = bool(recipe.tallies)
        return cls(
            search,
            prepared.task,
            prepared.preprocessor,
            prepared.X,
            y,
            train,
            folds,
            forward or tallied,
            seed,
            threads,
            own if tallied else None,
            part.at if forward else None,
        )

    @property
    def watched(self) -> Array:
        """Positions of all watched rows, fold after fold."""
        return np.concatenate([fold.test for fold in self.folds])

    def part(self, number: int) -> Part:
        """The inner fold of that number; made once."""
        if number not in self.parts:
            fold = self.folds[number]
            shared = Part(self.X[fold.train], self.y[fold.train], self.X[fold.test], self.y[fold.test])
            self.parts[number] = shared if self.own is None else self.own(fold)
        return self.parts[number]

    def whole(self) -> Part:
        """All rows, none watched."""
        if -1 not in self.parts:
            self.parts[-1] = Part(self.X, self.y, self.X[:0], self.y[:0])
        return self.parts[-1]

    def build(self, family: str, params: Any, seed: int, threads: int) -> Estimator:
        """An unfitted estimator of one of the search's families."""
        made = next(f for f in self.search.families if f.name == family)
        return made.build(self.task, seed=seed, threads=threads, **{**made.suiting(len(self.y)), **params})

    def side_by_side(self, count: int) -> tuple[int, int]:
        """How many fits run at once, and on how many threads each."""
        workers = max(1, min(self.threads, count))
        return workers, max(1, self.threads // workers)


def _run(bench: Bench, study: Study, clock: Clock) -> str:
    """Trials until the budget is spent; why it ended, in words."""
    if bench.search.crew is None:
        for _ in study.trials:
            bench.search.progress()
    with ThreadPoolExecutor(FREELY_AHEAD + 1) as attempts:
        try:
            return _in_turn(bench, study, clock, attempts)
        except BaseException:
            bench.hands.close()
            raise


def _in_turn(bench: Bench, study: Study, clock: Clock, attempts: ThreadPoolExecutor) -> str:
    """Trials told in the order in which they were begun. The first has the whole clock, for without it there is no model."""
    ended, seconds = "", clock.left
    under_way: deque[tuple[Suggestion, Future[Trial | None]]] = deque()
    while True:
        done = study.trials
        sooner = clock.sooner(reserve_for(bench, seconds, done))
        while not ended and len(under_way) <= (ahead := _ahead(bench, study, turn := len(done) + len(under_way))):
            ended = _end(bench, study, done, len(under_way), sooner)
            if not ended:
                known = done[: max(turn - ahead, 0)]
                suggestion = study.ask(turn, len(known))
                kept = not (under_way or complete_trials(done))
                asked = (bench, study, suggestion, complete_trials(known), clock if kept else sooner, kept)
                under_way.append((suggestion, attempts.submit(try_suggestion, *asked)))
        if not under_way:
            return ended
        suggestion, attempt = under_way.popleft()
        trial = attempt.result()
        if trial is None:
            return f"the time was up during trial {len(done) + 1}"
        study.tell(trial, suggestion)
        bench.search.progress()


def _ahead(bench: Bench, study: Study, turn: int) -> int:
    """How many trials before that turn may be under way when it begins; by its number alone, never by the time."""
    stays = not bench.search.prune or turn - AHEAD < PRUNES_FROM
    return FREELY_AHEAD if stays and study.learns_nothing(turn) else AHEAD


def complete_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Those that were not given up."""
    return [trial for trial in trials if not trial.pruned]


def _end(bench: Bench, study: Study, done: Sequence[Trial], ahead: int, clock: Clock) -> str:
    """Why no other trial is begun beside so many that are under way, "" where one is."""
    limit, turn = bench.search.budget.trials, len(done) + ahead
    if limit is not None and turn >= limit:
        return f"{turn} trials were made, as many as allowed"
    if study.has_no(turn):
        return f"all {turn} places of the grid were tried"
    if (complete_trials(done) or ahead) and clock.left <= likely_seconds(done, ahead):
        return f"the time was up after {turn} trials"
    return ""


def likely_seconds(done: Sequence[Trial], ahead: int = 0) -> float:
    """How long the next trial may well take behind so many that are under way, by those before: the longer ones count."""
    return (1 + ahead) * float(np.quantile([trial.seconds for trial in done], 0.6)) if done else 0.0


def reserve_for(bench: Bench, seconds: float, done: Sequence[Trial] = ()) -> float:
    """How many of so many seconds to keep for what follows the trials: a share for the last fits, or less where that is known."""
    if seconds == float("inf"):
        return 0.0
    last, complete = LAST_FITS * max(seconds, 0.0) if bench.anew else 0.0, complete_trials(done)
    if bench.anew and len(complete) >= PRUNES_FROM:
        last = min(last, likely_last_fits(bench, complete))
    return BLENDING * max(seconds, 0.0) + last


def likely_last_fits(bench: Bench, complete: Sequence[Trial]) -> float:
    """Seconds that fits on all rows may well take, by the slowest of the trials that would be fitted anew now."""
    best = pool_of(complete, bench.task.target.metric.gain)[:REFITS]
    growth = len(bench.y) / np.mean([len(fold.train) for fold in bench.folds])
    return float(REFITS * max(trial.seconds for trial in best) / len(bench.folds) * growth)


class _Fit(NamedTuple):
    """A fold's model, its scores of the watched rows, and how long it took."""

    estimator: Estimator
    raw: Array
    seconds: float


def try_suggestion(
    bench: Bench, study: Study, suggestion: Suggestion, complete: Sequence[Trial], clock: Clock, kept: bool
) -> Trial | None:
    """The suggestion's trial, None where the time was up before its end; one that is `kept`, the first, is cut short instead."""
    metric = bench.task.target.metric
    prunes = bench.search.prune and len(bench.folds) > PRUNED_AFTER and len(complete) >= PRUNES_FROM
    early = range(PRUNED_AFTER if prunes else len(bench.folds))
    fits = _fit_folds(bench, suggestion, early, clock)
    values = _values(bench, fits, early)
    pruned = prunes and _falls_behind(values, complete, metric.gain)
    if not pruned:
        rest = range(len(early), len(bench.folds))
        fits += _fit_folds(bench, suggestion, rest, clock)
        values += _values(bench, fits[len(early) :], rest)
    if clock.over and not kept:
        return None
    settled = tuple(_found(one.estimator, suggestion.params) for one in fits)
    if not pruned:
        study.keep(suggestion, np.concatenate([one.raw for one in fits]))
        bench.fitted[suggestion.turn] = tuple(one.estimator for one in fits)
    return Trial(suggestion.turn, suggestion.family, suggestion.params, tuple(values), settled, _busy(bench, fits), pruned)


def _busy(bench: Bench, fits: Sequence[_Fit]) -> float:
    """Seconds that the fits keep all cores busy, or the longest its fold, without what they waited for others."""
    workers, _ = bench.side_by_side(len(bench.folds))
    each = [one.seconds for one in fits]
    return max(sum(each) / workers, *each)


def _found(estimator: Estimator, given: Mapping[str, Any]) -> dict[str, Any]:
    """What watching found beside the parameters given, as far as it is numbers."""
    settled = unlogged(estimator).settled()
    return {name: value for name, value in settled.items() if name not in given and isinstance(value, int | float)}


def _fit_folds(bench: Bench, suggestion: Suggestion | Trial, numbers: Sequence[int], clock: Clock) -> list[_Fit]:
    """A model a fold, side by side."""
    _, threads = bench.side_by_side(len(bench.folds))

    def fit(number: int) -> _Fit:
        began = time.perf_counter()
        estimator = bench.build(suggestion.family, suggestion.params, bench.seed + suggestion.turn, threads)
        raw = estimator.fit_watched(bench.part(number), lambda: clock.over or bench.hands.closed)
        return _Fit(estimator, raw, time.perf_counter() - began)

    fits = [bench.hands.give(number, lambda number=number: fit(number)) for number in numbers]  # type: ignore[misc]
    return [one.result() for one in fits]


def _values(bench: Bench, fits: Sequence[_Fit], numbers: Sequence[int]) -> list[float]:
    target = bench.task.target
    return [
        target.metric.score(y, response_to(target, one.raw, y), Rows())
        for one, number in zip(fits, numbers, strict=True)
        for y in [bench.y[bench.folds[number].test]]
    ]


def _falls_behind(values: Sequence[float], complete: Sequence[Trial], gain: Callable[[float, float], float]) -> bool:
    """Whether the first folds say that the trial is worse than the median of the complete ones."""
    before = float(np.median([np.mean(trial.folds[: len(values)]) for trial in complete]))
    return gain(float(np.mean(values)), before) < 0


def _average(bench: Bench, study: Study, clock: Clock, ended: str) -> Found:
    """The ensemble of the best trials."""
    trials = study.trials
    pool = pool_of(trials, bench.task.target.metric.gain)
    raws = [_raw(bench, study, trial) for trial in pool]
    number = np.repeat(np.arange(len(bench.folds)), [len(fold.test) for fold in bench.folds])
    target, watched = bench.task.target, bench.watched
    mixed = blend(raws, bench.y[watched], number, target, bench.search.picks)
    chosen = [(trial, float(w)) for trial, w in zip(pool, mixed.weights, strict=True) if w > 0]
    chosen.sort(key=lambda one: -one[1])
    members = _fitted_anew(bench, chosen, clock) if bench.anew else _fold_models(bench, chosen)
    scale = IDENTITY if target.kind in CLASSIFIED else scale_for(target, mixed.raw, bench.y[watched])
    level = _level(bench, mixed)
    ensemble = Ensemble(target.kind, members, bench.threads, scale, 0.0 if level is None else level.shift)
    distilled = None
    if bench.search.row_ms is not None:
        distilled = answered_within(ensemble, bench.X, bench.task, bench.search.row_ms, bench.seed, bench.threads)
    fitted = FittedFold(bench.preprocessor, ensemble if distilled is None else distilled.estimator)
    weights = tuple((trial.turn, weight) for trial, weight in chosen)
    responses = link(mixed.raw, target.kind) if target.kind in CLASSIFIED else scale(mixed.raw)
    parts = tuple(
        FoldResponse(Fold(bench.train[fold.train], bench.train[fold.test]), responses[number == i])
        for i, fold in enumerate(bench.folds)
    )
    return Found(fitted, trials, weights, mixed, ended, distilled, parts, _exhausted(bench, trials), level)


def _level(bench: Bench, mixed: Blend) -> Level | None:
    """Where means stand at the end of training: of squared errors, forward in time."""
    target = bench.task.target
    if bench.at is None or target.kind != "regression" or target.loss != "squared":
        return None
    watched = bench.watched
    y = np.log(bench.y[watched]) if target.log else bench.y[watched]
    return level_at_the_end(
        y - mixed.raw, bench.at[watched], len(watched) / len(bench.y), bool(target.log) and is_smeared(target)
    )


def _exhausted(bench: Bench, trials: Sequence[Trial]) -> Stop:
    """Whether as many trials again would help, by what these gained."""
    folds = len(bench.folds)
    scores = np.full((len(trials), folds), np.nan)
    for row, trial in enumerate(trials):
        if not trial.pruned:
            scores[row] = trial.folds
    sizes = [len(fold.test) / len(fold.train) for fold in bench.folds]
    return search_exhausted(scores, bench.task.target.metric.greater_is_better, overlap=float(np.mean(sizes)))


def pool_of(trials: Sequence[Trial], gain: Callable[[float, float], float]) -> list[Trial]:
    """The best complete trials, and the best of each family."""
    complete = sorted((t for t in trials if not t.pruned), key=lambda t: (-gain(t.value, 0.0), t.turn))
    best = {trial.family: trial for trial in reversed(complete)}.values()
    return complete[:POOL] + [trial for trial in best if trial not in complete[:POOL]]


def _raw(bench: Bench, study: Study, trial: Trial) -> Array:
    """The trial's scores of the watched rows; fitted again where nobody kept them."""
    kept = study.kept(trial)
    if kept is not None:
        return kept
    fits = _fit_folds(bench, trial, range(len(bench.folds)), Clock(None))
    bench.fitted[trial.turn] = tuple(one.estimator for one in fits)
    return np.concatenate([one.raw for one in fits])


def _fold_models(bench: Bench, chosen: Sequence[tuple[Trial, float]]) -> tuple[Member, ...]:
    """The inner folds' own models: they are there already, and differ, which averaging gains from."""
    for trial, _ in chosen:
        if trial.turn not in bench.fitted:
            fits = _fit_folds(bench, trial, range(len(bench.folds)), Clock(None))
            bench.fitted[trial.turn] = tuple(one.estimator for one in fits)
    return tuple(
        Member(trial.family, weight / len(bench.fitted[trial.turn]), estimator)
        for trial, weight in chosen
        for estimator in bench.fitted[trial.turn]
    )


def _fitted_anew(bench: Bench, chosen: Sequence[tuple[Trial, float]], clock: Clock) -> tuple[Member, ...]:
    """Models of all rows, a seed a pick, as many as the time allows: forward in time the latest rows matter most.

    The heaviest trial is fitted whatever the time; weights of what was not reached go to the others.
    """
    times = [max(1, round(weight * min(REFITS, bench.search.picks))) for _, weight in chosen]
    turns = [(i, seed) for seed in range(max(times)) for i in range(len(chosen)) if seed < times[i]]
    workers, threads = bench.side_by_side(len(turns))
    whole = bench.whole()

    def fit(turn: tuple[int, int]) -> Estimator | None:
        i, seed = turn
        if clock.over and turn != turns[0]:
            return None
        trial = chosen[i][0]
        settled = _settled(bench, trial)
        estimator = bench.build(trial.family, {**trial.params, **settled}, bench.seed + trial.turn + 1000 * seed, threads)
        estimator.fit_watched(whole)
        return estimator

    first = fit(turns[0])
    with ThreadPoolExecutor(workers) as pool:
        fits = [first, *pool.map(fit, turns[1:])]
    made = [(i, estimator) for (i, _), estimator in zip(turns, fits, strict=True) if estimator is not None]
    count = np.bincount([i for i, _ in made], minlength=len(chosen))
    reached = sum(weight for (_, weight), n in zip(chosen, count, strict=True) if n)
    return tuple(Member(chosen[i][0].family, chosen[i][1] / reached / int(count[i]), estimator) for i, estimator in made)


def _settled(bench: Bench, trial: Trial) -> dict[str, Any]:
    """What the folds settled, for all rows: whole numbers, such as rounds, grow by half as much as the rows do."""
    rows = np.mean([len(fold.train) for fold in bench.folds])
    growth = 1 + (len(bench.y) / rows - 1) / 2
    names = trial.settled[0]
    means = {name: float(np.mean([settled[name] for settled in trial.settled])) for name in names}
    whole = {name for name in names if isinstance(trial.settled[0][name], int)}
    return {name: max(1, round(mean * growth)) if name in whole else mean for name, mean in means.items()}
