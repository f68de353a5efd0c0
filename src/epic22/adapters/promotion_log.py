"""The log of promotions of a task: a line a decision, and which of the promotions the pointer to the champion followed.

The line is written first and the pointer after it. Each line of a promotion names by `replaces` the moment of the pointer that it
found, so that of a process which ended between the two, that is known afterwards too.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from epic22.core.ports import PromotionRecord

REPLACES = "replaces"
NOT_PROMOTED = ("refused", "challenger")
"""The statuses of decisions that left the pointer as it was."""


def read_decisions(lines: Iterable[bytes], pointer: Mapping[str, Any] | None) -> tuple[PromotionRecord, ...]:
    """The decisions of a log, oldest first, by the lines that can be read; of `pointer` None stands for one that is not there."""
    decisions = [one for one in map(_read_line, lines) if one is not None]
    unfinished = _find_unfinished(decisions, pointer)
    return tuple(
        PromotionRecord(one["version"], one["status"], one["why"], one["at"], one["status"] == "refused", one["at"] in unfinished)
        for one in decisions
    )


def _read_line(line: bytes) -> dict[str, Any] | None:
    try:
        one = json.loads(line)
        return dict(one) | {name: str(one[name]) for name in ("version", "status", "why", "at")}
    except (ValueError, TypeError, LookupError, RecursionError):
        # A line that a kill left half-written decided nothing.
        return None


def _find_unfinished(decisions: Iterable[Mapping[str, Any]], pointer: Mapping[str, Any] | None) -> set[str]:
    """The moments of promotions that the pointer never followed: none on the way back from it, and after the first one that says
    what it replaced. Of a pointer that no line is of, which is another's or a person's, nothing is known."""
    promotions = {one["at"]: one for one in decisions if one["status"] not in NOT_PROMOTED}
    if pointer is None:
        # The newest alone, if any, came before the pointer that was never written.
        at = next((one.get(REPLACES) for one in reversed(promotions.values())), None)
    else:
        at = str(pointer.get("at"))
        if at not in promotions:
            return set()
    followed = set()
    while at in promotions and at not in followed:
        followed.add(at)
        at = promotions[at].get(REPLACES)
    return {moment for moment, one in promotions.items() if REPLACES in one and moment not in followed}
