"""Runs the cases with two source trees on this machine and demands the same documents, to the bit.

python tests/golden/compare.py BASE_TREE NEW_TREE [--case NAME ...] [--jobs 2] [--cache FOLDER] [--no-hashes]
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.golden.cases import CASES, case_named  # noqa: E402
from tests.golden.differences import Difference, differences, without_hashes  # noqa: E402
from tests.golden.driver import document_of  # noqa: E402
from tests.golden.names import NAMES, Names  # noqa: E402

MOST_SHOWN = 12
INTENDED = json.loads(Path(__file__).with_name("intended.json").read_text(encoding="utf-8"))
"""Differences that were meant, each with its reason: a case (* is all), a path, and at need what stood and stands there."""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fresh(case: str, tree: Path, names: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="epic22-golden-") as folder:
        return document_of(case, tree / "src", Path(folder), names)


def _recorded(case: str, base: Path, cache: Path | None) -> dict[str, Any]:
    """The base's document, from the cache where this driver and these cases wrote it."""
    if cache is None:
        return _fresh(case, base, None)
    made_by = b"".join((Path(__file__).with_name(f"{name}.py")).read_bytes() for name in ("tables", "driver"))
    asked = f"{base.resolve()} {case_named(case)!r}".encode()
    path = cache / f"{case}-{sha256(asked + made_by).hexdigest()[:12]}.json"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{id(path):x}.part")
        fresh.write_text(json.dumps(_fresh(case, base, None), ensure_ascii=False), encoding="utf-8")
        fresh.replace(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _is_intended(case: str, difference: Difference) -> bool:
    """Whether a difference is one that was meant."""
    return any(
        fnmatchcase(case, entry["case"])
        and fnmatchcase(difference.path, entry["path"])
        and fnmatchcase(str(difference.recorded), entry.get("recorded", "*"))
        and fnmatchcase(str(difference.computed), entry.get("computed", "*"))
        for entry in INTENDED
    )


def _compare(case: str, asked: argparse.Namespace) -> bool:
    began = time.monotonic()
    try:
        recorded = Names.read().document(_recorded(case, asked.base, asked.cache))
        computed = _fresh(case, asked.new, NAMES)
    except RuntimeError as error:
        _say(f"{case}: FAILED to run\n{error}")
        return False
    if asked.no_hashes:
        recorded, computed = without_hashes(recorded), without_hashes(computed)
    every = list(differences(recorded, computed))
    found = [difference for difference in every if not _is_intended(case, difference)]
    intended = f" but for {len(every) - len(found):,} that were meant" if len(every) > len(found) else ""
    _say(f"{case}: {f'{len(found)} DIFFERENCES' if found else 'equal'}{intended} ({time.monotonic() - began:.0f} s)")
    for difference in found[: asked.most]:
        _say(f"  {difference}")
    return not found


def main() -> int:
    """Compare; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("base", type=Path, help="the tree that is right")
    parser.add_argument("new", type=Path, help="the tree to be judged")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this case; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="cases run at once")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the base's documents")
    parser.add_argument("--no-hashes", action="store_true", help="after the commit that renames what is hashed")
    parser.add_argument("--most", type=int, default=MOST_SHOWN, help="differences shown of each case")
    asked = parser.parse_args()
    asked.base, asked.new = asked.base.resolve(), asked.new.resolve()
    names = asked.case or [case.name for case in CASES]
    with ThreadPoolExecutor(asked.jobs) as workers:
        equal = list(workers.map(lambda case: _compare(case, asked), names))
    _say(f"{sum(equal)} of {len(equal)} cases equal")
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
