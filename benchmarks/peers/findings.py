"""All that the stored results of a collection allow to say."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from peers.bars import Bar, bars, cost_bars
from peers.compare import PROBABILITY_SCORES, Comparison, Results, Standing, against_best, against_each, standing
from peers.environments import SYSTEMS
from peers.runs import Store
from peers.sets import DataSet


@dataclass(frozen=True)
class Findings:
    """`best` compares ours with the best peer of each set by every metric, `pairs` with every peer by the deciding one."""

    gathered: tuple[Results, ...]
    standing: Standing | None
    best: tuple[Comparison, ...]
    pairs: tuple[Comparison, ...]
    bars: tuple[Bar, ...]

    @property
    def names(self) -> list[str]:
        """The systems with a run on any set, in their usual order."""
        return [one.name for one in SYSTEMS if any(one.name in results.ran for results in self.gathered)]

    @property
    def losses(self) -> list[Comparison]:
        """Every set and peer where the peer's score is better, certainly or not; the largest in % of the peer's score first."""
        return sorted((pair for pair in self.pairs if pair.is_behind), key=lambda pair: -loss_percent(pair))

    def summary(self) -> dict[str, Any]:
        """The figures, for a file."""
        stood = self.standing
        return {
            "bars": [asdict(bar) for bar in self.bars],
            "comparisons": [asdict(c) | {"percent": c.percent} for c in self.best],
            "losses": [asdict(c) | {"percent": c.percent} for c in self.losses],
            "mean ranks": {} if stood is None else dict(zip(stood.systems, stood.means.tolist(), strict=True)),
        }


def loss_percent(pair: Comparison) -> float:
    """How far ours is behind, in % of the peer's score; a crash is behind all."""
    return float("inf") if pair.percent is None else -pair.percent[0]


def judge(gathered: Sequence[Results], sets: Sequence[DataSet], store: Store) -> Findings:
    """From the results of the sets at hand, which may be fewer than all `sets`."""
    stood = standing(gathered)
    best = tuple(c for one in gathered for c in compared(one, store))
    pairs = tuple(pair for one in gathered for pair in against_each(one, store))
    binary = [one.name for one in sets if one.kind == "binary"]
    names = [one.name for one in sets]
    reached = (*bars(stood, best, binary, names), *cost_bars(gathered, names))
    return Findings(tuple(gathered), stood, best, pairs, reached)


def compared(results: Results, store: Store) -> Iterable[Comparison]:
    """Ours against the best peer by the deciding metric, and by the scores of probabilities."""
    names = [results.dataset.metric, *(PROBABILITY_SCORES if results.dataset.kind == "binary" else ())]
    for name in names:
        pair = against_best(results, name, store)
        if pair is not None:
            yield pair
