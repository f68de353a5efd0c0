"""The page of `benchmarks/levels.py`: what is called certain of noise, and what intervals hold, before and after."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INTRODUCTION = """# What is called certain

Written by `benchmarks/levels.py`. Three questions, each asked of tables whose truth is known: how often is noise
called certain, how often does a 95 % interval hold the truth, and does the data that a verdict asks for then show
what it was asked for.

**Verdicts and intervals alone.** Fold predictions are drawn, no model is fitted; folds, scores, intervals and
verdicts are those of a training. *Noise* says nothing of the label (binary, rare, groups, time: against the constant;
multiclass, regression, panel: two models that are equally good), so each *certain* is an error. Of the other tables
the area under the ROC curve is 0.75 (moderate) or 0.937 (strong), and *certain* is the power. *n* are rows; of a
panel its independent stretches, of groups the rows in groups of four. *Before* is the code at commit 4fe1ae0, on the
same tables. What an interval should hold is the area where that is known, else the mean of the scores of all tables
of the cell: the average precision of a small fold is not that of a large one. Brackets are 95 % Monte-Carlo
intervals. *Outside* counts intervals with an end that the figure cannot have, *no width* those whose ends are equal.
"""


COMPONENTS = """Explanations (decision 0012) have means over five folds whose models differ. What the folds differ by beyond the
sampling of their rows is counted for training, shrunk by s² ÷ (s² + rows) in `estimate_mean`, less the rows' variance in
`estimate_mean_loss`. Neither is taken from a text; this is what their 95 % intervals hold. The second is for figures in which
training has next to no part, and holds too seldom where it has.
"""

RARE = """A random order of rare events is not called certain because a verdict against the constant has at least the error of
chance, and an eighth of its variance is in the interval of its average precision where that varies less.
"""

SEARCHES = """The same tables in `train --trials 8`: each fold's training part is searched, configurations are raced on its first
inner fold, and the folds outside judge. Racing changes no verdict's level where these are as above.
"""

CHOICES = """Models that know equally much and err by themselves; the best by average precision is taken, as a training takes its
champion. *Own* is its 95 % interval of the area as if it had been the only one; *allowing* is the one that a training says of a
champion (decision 0061): at a confidence that all that were as good hold at once. *Among* is how many that were on average.
"""

MAX_CERTAIN, MIN_COVERED, MAX_COVERED = 0.05, 0.93, 0.98
BARS = """Bars: of noise at most 5 % is called certain; 95 % intervals hold the truth in at least 93 %, and from 300 rows, or
stretches, on in at most 98 %. A bar is missed where the Monte-Carlo interval of the share lies beyond it.
"""

TRAININGS = """The file is read and audited, default families are fitted in default folds, the model is packed, opened
again, registered and answers its golden rows; only pages and tracking are left out. Tables have four numbers and a category that
say nothing of the label; panels are three random walks, of which the naive forecast is the best there is, with n independent
stretches in the test. *Certainly better* and *worse* are against the constant, of panels against the naive forecast (which is
truly better than what was combined, so that *worse* is no error there). *Covered*: the interval of the champion's area holds one
half. Binary and groups of 60 and 300 rows are by the interval that allows for the choice (decision 0061): their tables whose
former interval missed were trained again (`uncovered`), for what a narrower interval held a wider one about the same score holds.
"""

ADVICE = """Tables of area 0.65 that were not certain, and a table with as many rows as the verdict asked for to show a
difference of the size seen. *Near* are those whose difference was within a quarter of the true one: of them four in five
should be certain.
"""


def write_page(results: Path, page: Path, planned: Mapping[str, int]) -> None:
    """The page of what the results hold; `planned` are the tables of each cell, trainings' cells with that word before them."""
    before, after, searched = (_read(results / f"{name}.json") for name in ("before", "after", "searched-8"))
    cells = [name for name in after["cells"] if name.split()[1] == "noise"]
    effects = [name for name in after["cells"] if name.split()[1] != "noise"]
    parts = [
        INTRODUCTION,
        f"Machine: {after.get('machine', 'unknown')}.\n",
        BARS,
        *list_misses(after, searched),
        describe_unfinished(after, planned),
        "## Noise called certain\n",
        _table(
            ("cell", "tables before, after", "certain before", "certainly better", "certain after", "certainly better"),
            [_row_of_level(c, before, after) for c in cells],
        ),
        RARE,
        "\n## Power\n",
        _table(
            ("cell", "tables before, after", "certainly better before", "after"),
            [_row_of_power(c, before, after) for c in effects],
        ),
        "\n## Coverage of 95 % intervals\n",
        _table(
            (
                "cell",
                "score",
                "covered before",
                "after",
                "outside before, after",
                "no width before, after",
                "median width before, after",
            ),
            [row for c in after["cells"] for row in _rows_of_coverage(c, before, after)],
        ),
        "\n## The best of several\n",
        CHOICES,
        _table(
            ("cell", "tables", *(f"best of {k}: own, allowing, among" for k in ("2", "3"))),
            [_row_of_choice(c, record) for c, record in after.get("choices", {}).items()],
        ),
        "\n## What more data then shows\n",
        ADVICE,
        _table(
            ("cell", "tables", "asked for more", "times the data, median", "certain then", "near", "certain then, near"),
            [_row_of_advice(c, a) for c, a in after["advice"].items()],
        ),
        "\n## Means with the luck of training\n",
        COMPONENTS,
        _table(
            ("variance of training ÷ of sampling", "draws", "`estimate_mean` covers", "`estimate_mean_loss` covers"),
            [_row_of_components(ratio, record) for ratio, record in after.get("components", {}).items()],
        ),
        "\n## Whole trainings on noise\n",
        TRAININGS,
        _table(
            ("cell", "tables", "certainly better", "certainly worse", "proven", "covered"),
            [_row_of_training(c, t) for c, t in after.get("trainings", {}).items()],
        ),
        "\n## Whole trainings with a search, on noise\n",
        SEARCHES,
        _table(
            ("cell", "tables", "certainly better", "certainly worse", "proven", "covered"),
            [_row_of_training(c, t) for c, t in searched.get("trainings", {}).items()],
        ),
    ]
    page.write_text("\n".join(parts))


def list_misses(after: Mapping[str, Any], searched: Mapping[str, Any]) -> list[str]:
    """A line for each bar that a cell misses by more than chance explains, or one that says that there is none."""
    lines = []
    for cell, record in after["cells"].items():
        _, effect, n = cell.split()
        if effect == "noise" and record["certain"]["low"] > MAX_CERTAIN:
            lines.append(f"* {cell}: {_percent(record['certain'])} called certain.")
        for name, score in record["scores"].items():
            covered = score.get("covered", {"low": 0.0, "high": 1.0})
            if covered["high"] < MIN_COVERED or (int(n) >= 300 and covered["low"] > MAX_COVERED):
                lines.append(f"* {cell}, {name}: {_percent(covered)} covered.")
    for what, records in (("training", after), ("search", searched)):
        for cell, record in records.get("trainings", {}).items():
            if record["better"]["low"] > MAX_CERTAIN:
                lines.append(f"* {what} {cell}: {_percent(record['better'])} called certainly better.")
            if record.get("covered", {}).get("high", 1.0) < MIN_COVERED:
                lines.append(f"* {what} {cell}: {_percent(record['covered'])} covered.")
    for cell, record in after.get("choices", {}).items():
        for count, shares in record.items():
            if count != "tables" and shares["allowed"]["high"] < MIN_COVERED:
                lines.append(f"* best of {count}, {cell}: {_percent(shares['allowed'])} covered.")
    return [*(lines or ["No bar is missed."]), ""]


def describe_unfinished(after: Mapping[str, Any], planned: Mapping[str, int]) -> str:
    """Which cells have fewer tables than planned, and how many they have."""
    done = {name: record["tables"] for name, record in after["cells"].items()}
    done |= {f"training {name}": record["tables"] for name, record in after.get("trainings", {}).items()}
    left = [f"{name} ({done.get(name, 0):,} of {n:,})" for name, n in planned.items() if done.get(name, 0) < n]
    return f"Not run whole yet: {', '.join(left)}.\n" if left else "All cells have the tables that were planned.\n"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {"cells": {}, "advice": {}, "trainings": {}}


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _percent(share: Mapping[str, float] | None) -> str:
    """A share with its interval."""
    if share is None:
        return "–"
    return f"{share['share']:.1%} [{share['low']:.1%}, {share['high']:.1%}]".replace("%", " %")


def _tables(cell: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return f"{before['cells'].get(cell, {}).get('tables', 0):,}, {after['cells'][cell]['tables']:,}"


def _row_of_level(cell: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    shares = [_percent(record["cells"].get(cell, {}).get(key)) for record in (before, after) for key in ("certain", "better")]
    return cell, _tables(cell, before, after), *shares


def _row_of_power(cell: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    old = before["cells"].get(cell, {}).get("better")
    return cell, _tables(cell, before, after), _percent(old), _percent(after["cells"][cell]["better"])


def _rows_of_coverage(cell: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, new in after["cells"][cell]["scores"].items():
        old = before["cells"].get(cell, {}).get("scores", {}).get(name, {})
        pairs = [f"{old.get(key, '–')}, {new.get(key, '–')}" for key in ("outside", "no_width", "width")]
        rows.append((cell, name, _percent(old.get("covered")), _percent(new.get("covered")), *pairs))
    return rows


def _row_of_advice(cell: str, advice: Mapping[str, Any]) -> tuple[str, ...]:
    then, near = _percent(advice.get("certain_then")), _percent(advice.get("certain_then_near"))
    counts = f"{advice['tables']:,}", f"{advice['asked']:,}", f"{advice.get('factor', '–')}"
    return cell, *counts, then, f"{advice.get('near', 0):,}", near


def _row_of_choice(cell: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (f"{_percent(record[k]['own'])}, {_percent(record[k]['allowed'])}, {record[k]['among']:g}" for k in ("2", "3"))
    return cell, f"{record['tables']:,}", *counts


def _row_of_components(ratio: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    return ratio, f"{record['tables']:,}", _percent(record["estimate_mean"]), _percent(record["estimate_mean_loss"])


def _row_of_training(cell: str, training: Mapping[str, Any]) -> tuple[str, ...]:
    return cell, f"{training['tables']:,}", *(_percent(training[key]) for key in ("better", "worse", "proven", "covered"))
