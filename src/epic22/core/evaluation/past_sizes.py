"""The tail probability of a size among past ones, by which every detector of anomalies keeps its false-alarm rate.

The rank among past sizes is a conformal p-value (Vovk et al. 2005): whatever the distribution, a share `rate` of rows has
p ≤ rate where the future is like the past. Beyond the largest size seen, ranks cannot tell bad from worse: there a Pareto tail
through the largest ones decides (Hill 1975; the tail for streams: Siffer et al. 2017).
"""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

TAIL_SHARE = 0.05
MIN_TAIL_ROWS = 10
MAX_TAIL_SHAPE = 1.0
MIN_P = 1e-12


@dataclass
class PastSizes:
    """Sizes of the last `memory` rows, in order of size and in order of time."""

    memory: int
    sizes: list[float] = field(default_factory=list)
    times: deque[float] = field(default_factory=deque)

    def learn(self, size: float) -> None:
        """Add a size, the newest; the oldest beyond `memory` is forgotten."""
        insort(self.sizes, size)
        self.times.append(size)
        if len(self.times) > self.memory:
            del self.sizes[bisect_left(self.sizes, self.times.popleft())]

    def compute_p_value(self, size: float) -> float:
        """The conformal p-value; smaller beyond the largest size, by the tail."""
        n = len(self.sizes)
        above = n - bisect_left(self.sizes, size)
        rank = (above + 1) / (n + 1)
        if above or n < 2:
            return rank
        edge, share, shape = self._estimate_tail()
        return max(MIN_P, min(rank, share * math.pow(edge / size, 1 / shape)))

    def compute_half_width(self, rate: float) -> float:
        """The size that has p = rate: a rank where there are rows enough, else on the tail."""
        n = len(self.sizes)
        if n < 2:
            return math.nan
        rank = math.floor(rate * (n + 1) + 1e-9)
        if rank >= 1:
            return self.sizes[n - rank]
        edge, share, shape = self._estimate_tail()
        return max(self.sizes[-1], edge * math.pow(share / rate, shape))

    def _estimate_tail(self) -> tuple[float, float, float]:
        """Where the tail begins, the share of rows beyond, and Hill's estimate of its shape."""
        n = len(self.sizes)
        k = min(n // 2, max(MIN_TAIL_ROWS, int(TAIL_SHARE * n)))
        edge = self.sizes[n - k - 1]
        shape = sum(math.log(x / edge) for x in self.sizes[n - k :]) / k if edge > 0 else 0.0
        return edge, (k + 1) / (n + 1), min(max(shape, 1e-3), MAX_TAIL_SHAPE)
