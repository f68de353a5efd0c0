"""Records what a source tree computes: `expected/`, and with --bundles one bundle of each kind with its answers.

python tests/golden/record.py TREE [--case NAME ...] [--bundles]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.golden.cases import CASES  # noqa: E402
from tests.golden.differences import committed  # noqa: E402
from tests.golden.driver import ENVIRONMENT, document_of  # noqa: E402

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]


@dataclass(frozen=True)
class Packed:
    """A bundle to be kept: its kind, the case that trains it, its task; its rows are the golden ones, a panel needs none."""

    kind: str
    case: str
    task: str
    asked_with_rows: bool = True


PACKED = (
    Packed("binary", "binary", "machines"),
    Packed("multiclass", "multiclass", "grades"),
    Packed("regression", "regression", "flats"),
    Packed("counts", "counts", "claims"),
    Packed("hazard", "hazard", "maintenance_hazard"),
    Packed("ensemble", "search", "one"),
    Packed("other_trees", "search", "trees"),
    Packed("large", "large", "timed"),
    Packed("panel", "panel", "rents", asked_with_rows=False),
)


def write(document: dict[str, Any]) -> None:
    """Write a document, a line for each of its entries, so that a change is seen where it is."""
    (HERE / "expected").mkdir(exist_ok=True)
    sections = []
    for section in ("faces", "stored"):
        entries = [
            f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}"
            for key, value in sorted(document[section].items())
        ]
        sections.append(f'"{section}": {{\n' + ",\n".join(entries) + "\n}")
    text = f'{{"case": "{document["case"]}",\n' + ",\n".join(sections) + "}\n"
    (HERE / "expected" / f"{document['case']}.json").write_text(text, encoding="utf-8")


def pack(packed: Packed, source: Path, place: Path) -> None:
    """Write the champion of the task as an archive, with a few rows and what it answers to them."""
    home = place / "home"
    task = home / "models" / packed.task
    words = ["predict", packed.task]
    if packed.asked_with_rows:
        version = json.loads((task / "champion.json").read_bytes())["version"]
        golden = json.loads((task / version / "bundle" / "golden.json").read_bytes())
        (place / "rows.json").write_text(json.dumps(golden["rows"][:4]), encoding="utf-8")
        words.append("rows.json")
    words.append("--json")
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(source), "EPIC22_HOME": str(home)}
    done = subprocess.run([*COMMAND, *words], env=environment, cwd=place, capture_output=True, text=True, check=True)
    answers = {"command": words, "answers": json.loads(done.stdout)}
    with zipfile.ZipFile(HERE / "bundles" / f"{packed.kind}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        if packed.asked_with_rows:
            archive.write(place / "rows.json", "rows.json")
        archive.writestr("answers.json", json.dumps(answers, indent=1))
        for path in _kept(task):
            archive.write(path, path.relative_to(place).as_posix())


def _kept(task: Path) -> Iterator[Path]:
    """The task's files without its pages and pictures."""
    return (path for path in sorted(task.rglob("*")) if path.is_file() and path.suffix not in (".html", ".png"))


def main() -> None:
    """Write the documents, and pack the bundles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--bundles", action="store_true", help="pack bundles too; they are from before, so only once")
    asked = parser.parse_args()
    source = asked.tree.resolve() / "src"
    for case in asked.case or [case.name for case in CASES]:
        with tempfile.TemporaryDirectory(prefix="epic22-golden-") as folder:
            write(committed(document_of(case, source, Path(folder))))
            for packed in PACKED if asked.bundles else ():
                if packed.case == case:
                    (HERE / "bundles").mkdir(exist_ok=True)
                    pack(packed, source, Path(folder) / case)


if __name__ == "__main__":
    main()
