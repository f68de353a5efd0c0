"""What trainings that were interrupted left in EPIC22_HOME to go on from: fits, trials of searches, checkpoints of networks."""

from dataclasses import dataclass
from pathlib import Path

from epic22.adapters.checkpoints import CHECKPOINTS
from epic22.adapters.fit_files import FITS, SUFFIX
from epic22.adapters.studies import STUDIES


@dataclass(frozen=True)
class UnfinishedWork:
    """How many fits, trials and checkpoints there are."""

    fits: int = 0
    trials: int = 0
    checkpoints: int = 0

    def __str__(self) -> str:
        """They in words; "" where there are none.

        >>> str(UnfinishedWork(fits=1, trials=30)), str(UnfinishedWork())
        ('1 fit of a fold, 30 trials of a search', '')
        """
        numbers = (
            (self.fits, "fit of a fold", "fits of folds"),
            (self.trials, "trial of a search", "trials of a search"),
            (self.checkpoints, "checkpoint of a network", "checkpoints of networks"),
        )
        return ", ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in numbers if n)


def count_unfinished_work(home: Path) -> UnfinishedWork:
    """What a home has to go on from."""
    scores = (path for path in (home / STUDIES).glob("*/*/*/*.npy") if not path.name.endswith(".part.npy"))
    checkpoints = (path for path in (home / CHECKPOINTS).glob("[!.]*") if path.is_file())
    return UnfinishedWork(
        sum(1 for _ in (home / FITS).glob(f"[!.]*{SUFFIX}")), sum(1 for _ in scores), sum(1 for _ in checkpoints)
    )
