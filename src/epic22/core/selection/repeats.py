"""The best trials once more on inner folds that are dealt anew: what was luck of one dealing weighs less.

A search of hundreds of trials on a small table picks those that the luck of five folds favours. Other folds of the same rows know
nothing of that luck, so weights that are chosen on all dealings hold better, and their models are more members of a bag.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.selection.budget import Deadline
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.study import Trial
from epic22.core.selection.trials import MAX_REPEATS, MAX_TOP_TRIALS, FoldModels, SearchData, TrialRunner
from epic22.core.task import Array


@dataclass(frozen=True)
class HeldOutScores:
    """What trials said of validation rows before the link, `raws`, trial by trial, their labels `y` (n,) and the `fold` (n,) that
    each row was dealt to at first: whatever the dealing, a row stays on that side of what is chosen on some folds and tested on
    another."""

    raws: tuple[Array, ...]
    y: Array
    fold: Array

    @classmethod
    def collect(cls, data: SearchData, raws: Sequence[Array]) -> "HeldOutScores":
        """Of the first dealing."""
        fold = np.repeat(np.arange(len(data.folds)), [len(one.test) for one in data.folds])
        return cls(tuple(raws), data.y[data.valid_rows], fold)

    def add(self, data: SearchData, repeats: Sequence["Repeat"]) -> "HeldOutScores":
        """The same with those of repeats behind them."""
        if not repeats:
            return self
        rows = np.concatenate([one.rows for one in repeats])
        first_fold = np.full(len(data.y), -1)
        first_fold[data.valid_rows] = self.fold
        raws = tuple(np.concatenate([raw, *(one.raws[i] for one in repeats)]) for i, raw in enumerate(self.raws))
        return HeldOutScores(raws, np.concatenate([self.y, data.y[rows]]), np.concatenate([self.fold, first_fold[rows]]))


@dataclass(frozen=True)
class Repeat:
    """The models of trials on inner folds that were dealt anew, trial by trial, their scores of the validation rows, and the
    positions `rows` of these."""

    models: tuple[FoldModels, ...]
    raws: tuple[Array, ...]
    rows: Array


def make_repeats(part: PreparedPart, runner: TrialRunner, trials: Sequence[Trial], deadline: Deadline) -> tuple[Repeat, ...]:
    """As many repeats as there is time for.

    None where nothing limits it, for what a search by trials gives follows from its trials alone, nor where a search was too
    short to have been lucky.
    """
    if deadline.end is None or part.deal_folds is None or len(trials) < MAX_TOP_TRIALS:
        return ()
    repeats, seconds = list[Repeat](), sum(trial.seconds for trial in trials)
    while len(repeats) < MAX_REPEATS and deadline.remaining > seconds:
        data = part.deal_again(len(repeats) + 1)
        fits = [replace(runner, data=data).refit(trial) for trial in trials]
        repeats.append(Repeat(tuple(one.models for one in fits), tuple(one.raw for one in fits), data.valid_rows))
    return tuple(repeats)
