"""How many rows a training takes at once so that it stays under a memory cap, and whether activations are computed twice.

What a step takes is counted on small batches, tensor by tensor as PyTorch makes and frees them, so that the same training is
planned the same way every time; it grows with the rows in a straight line. Chen et al. 2016, "Training deep nets with sublinear
memory cost" (activations that are computed again).
"""

import ctypes
import mmap
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from epic22.core.errors import UserError
from epic22.core.models.networks.jobs import TrainingSettings

COUNTED_ROWS = (8, 16)
"""Rows of the batches that are counted."""
MIN_MICRO_BATCH = 32
"""Rows at once below which activations are computed again, so that more fit: that costs a third of the time, fewer rows more."""
WEIGHT_COPIES = 4
"""Weights, both moments of AdamW and the best weights; gradients are counted with the step."""
RESERVE = 1.1
"""What a step takes beyond its tensors, as a factor: what operators need for themselves."""
FRAGMENTATION = 3
"""What a step takes at worst, as a factor, where glibc keeps the room between tensors that freed ones leave; 2.5 was measured."""
M_MMAP_THRESHOLD = -3
"""glibc's number of the setting."""
SMALLEST_MAPPED_BYTES, LARGEST_THRESHOLD = 1 << 20, 32 << 20
"""Where memory is tight, and the most that glibc raises it to by itself elsewhere."""
MEMORY_FAULTS = ("allocate memory", "out of memory", "bad_alloc")
"""What PyTorch says, on a processor or a device, where memory has run out."""
MEGABYTE = 1e6

Step = Callable[[int], Tensor]
"""The loss of a network on its first so many rows."""


@dataclass(frozen=True)
class StepPlan:
    """Rows whose gradients are computed at once, and whether activations are computed a second time instead of kept.

    `is_tight`: the room that freed tensors leave is to be given back at once, which takes half as long again.
    """

    micro_batch: int
    recomputes: bool = False
    is_tight: bool = False


@dataclass(frozen=True)
class StepMemory:
    """What weights and a step take, in bytes: so much in any case, so much a row."""

    fixed: float
    per_row: float

    def count_rows(self, cap: float) -> int:
        """The most rows at once that stay under the cap."""
        return int((cap - self.fixed) / self.per_row)

    def compute_bytes(self, rows: int) -> float:
        """What a step of so many rows takes."""
        return self.fixed + rows * self.per_row


def plan_steps(network: nn.Module, step: Step, batch_size: int, n_rows: int, settings: TrainingSettings) -> StepPlan:
    """The largest micro-batch under the cap, and only where that is small, with activations computed twice.

    Raises UserError, with what it would take, where not even one row fits.
    """
    limit, cap = min(settings.micro_batch or batch_size, batch_size), find_memory_cap(settings.max_memory_mb)
    if cap is None:
        return StepPlan(limit)
    whole = measure_steps(network, step, n_rows)
    if whole.count_rows(cap) >= min(limit, MIN_MICRO_BATCH):
        micro_batch = _split_evenly(batch_size, min(limit, whole.count_rows(cap)))
        return StepPlan(micro_batch, is_tight=FRAGMENTATION * whole.compute_bytes(micro_batch) > cap)
    with recompute_blocks(network):
        recomputed = measure_steps(network, step, n_rows)
    best, recomputes = max((whole.count_rows(cap), False), (recomputed.count_rows(cap), True))
    if best >= 1:
        return StepPlan(_split_evenly(batch_size, min(limit, best)), recomputes, is_tight=True)
    needed = min(whole.compute_bytes(1), recomputed.compute_bytes(1)) / MEGABYTE
    raise UserError(
        f"this network takes {needed:,.0f} MB to be trained on one row at a time, its weights among them, and "
        f"{cap / MEGABYTE:,.0f} MB are allowed; raise max_memory_mb or the process's limit, or take a smaller network."
    )


def measure_steps(network: nn.Module, step: Step, n_rows: int) -> StepMemory:
    """What weights and a step take, by batches of two sizes; gradients and random numbers are left as they were."""
    small, large = (min(rows, n_rows) for rows in (max(1, min(COUNTED_ROWS[0], n_rows // 2)), COUNTED_ROWS[1]))
    weights = sum(parameter.nbytes for parameter in network.parameters())
    with torch.random.fork_rng(devices=[]), _return_freed_memory(), translate_memory_faults(large):
        low, high = (_count_step(network, partial(step, rows)) for rows in (small, large))
    per_row = max((high - low) / max(large - small, 1), 1.0)
    return StepMemory(RESERVE * (WEIGHT_COPIES * weights + max(low - small * per_row, 0.0)), RESERVE * per_row)


def _count_step(network: nn.Module, compute_loss: Callable[[], Tensor]) -> int:
    """The most bytes of tensors that a step has at one time beyond the weights."""
    counter = _TensorCounter([*network.parameters(), *network.buffers()])
    with counter:
        compute_loss().backward()
    network.zero_grad()
    return counter.peak


class _TensorCounter(TorchDispatchMode):
    """Counts the bytes of tensors that are made within and not yet freed."""

    def __init__(self, present: list[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._storages: dict[int, Any] = {one.untyped_storage()._cdata: one.untyped_storage() for one in present}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for one in tree_leaves(output):
            if isinstance(one, Tensor):
                self._count(one.untyped_storage())
        return output

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._storages:
            self.live += size
            self.peak = max(self.peak, self.live)
            self._storages[key] = weakref.ref(storage, lambda _: self._forget(key, size))

    def _forget(self, key: int, size: int) -> None:
        if self._storages.pop(key, None) is not None:
            self.live -= size


def find_memory_cap(max_memory_mb: int | None) -> float | None:
    """Bytes that a training may take: what is set, or what the process's limit leaves, the less of both; None where neither."""
    caps = [] if max_memory_mb is None else [max_memory_mb * MEGABYTE]
    return min([*caps, *_read_process_room()], default=None)


def read_process_limit() -> int | None:
    """The bytes of address space that this process may take; None where nothing limits it."""
    try:
        import resource
    except ImportError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def is_limit_lower(limit: int | None, than: int | None) -> bool:
    """Whether a process may take less than one that had another limit; None is no limit.

    >>> is_limit_lower(5, None), is_limit_lower(5, 4), is_limit_lower(None, 4)
    (True, False, False)
    """
    return limit is not None and (than is None or limit < than)


def _read_process_room() -> list[float]:
    """What the limit of the process's address space leaves, where there is one and the system tells how much is taken."""
    limit, pages = read_process_limit(), Path("/proc/self/statm")
    if limit is None or not pages.exists():
        return []
    return [float(limit - int(pages.read_text().split()[0]) * mmap.PAGESIZE)]


@contextmanager
def recompute_blocks(network: nn.Module) -> Iterator[None]:
    """Have the blocks of a network, what its `nn.ModuleList` and `nn.Sequential` list, keep only inputs for the backward pass."""
    blocks = _list_blocks(network)
    for block in blocks:
        block.forward = partial(_compute_block, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _compute_block(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    return checkpoint(forward, *inputs, use_reentrant=False, **options)


def _list_blocks(module: nn.Module) -> list[nn.Module]:
    """The outermost blocks: what lies within one is computed again with it."""
    if isinstance(module, nn.ModuleList | nn.Sequential):
        return list(module)
    return [block for child in module.children() for block in _list_blocks(child)]


@contextmanager
def apply_plan(network: nn.Module, plan: StepPlan) -> Iterator[None]:
    """Where a network is trained by a plan."""
    with (
        recompute_blocks(network) if plan.recomputes else nullcontext(),
        _return_freed_memory() if plan.is_tight else nullcontext(),
    ):
        yield


@contextmanager
def _return_freed_memory() -> Iterator[None]:
    """Have glibc ask the system for each large piece of memory on its own, so that it goes back as soon as it is freed.

    Other systems' allocators have no such setting.
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, SMALLEST_MAPPED_BYTES)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)


@contextmanager
def translate_memory_faults(rows: int) -> Iterator[None]:
    """Raise UserError, with the way out, where memory runs out in a step of so many rows."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in MEMORY_FAULTS):
            raise
        raise UserError(
            f"memory ran out while a network was trained on {rows} rows at a time; set max_memory_mb to what it may take, or "
            "choose smaller batches or a smaller network."
        ) from error


def _split_evenly(batch_size: int, most: int) -> int:
    """Rows at once so that a batch has as few parts as `most` lets it have, of about one size."""
    parts = -(-batch_size // most)
    return -(-batch_size // parts)
