"""The section of docs/evidence-panels.md on networks, from benchmarks/results/panel_networks.json."""

import json
from collections.abc import Mapping
from typing import Any

from panel_sources import ROOT

STORE = ROOT / "benchmarks" / "results" / "panel_networks.json"
PAGE = ROOT / "docs" / "evidence-panels.md"
HEADING = "## Networks for panels"
PLANNED_ACCURACY = 0.9
MAX_RATIO = 0.98
"""What the combination with networks was to reach at 1 and 3 months, in parts of today's error; at 12 months 1."""


def write_networks_section() -> list[str]:
    """The section's lines; none where nothing was measured."""
    if not STORE.exists():
        return []
    lines = [
        "",
        HEADING,
        "",
        "`benchmarks/panel_networks.py` beside the families above, each network asked for by `--also`. Settled after zori's test "
        "origins had been seen: that networks add to the damped drift and not to the drift, that a damping needs two "
        "independent stretches, that a copy of a member has no weight ([0032](decisions/0032-panel-networks.md)).",
    ]
    for name, result in json.loads(STORE.read_text()).items():
        lines += [
            "",
            f"**{name}**, {result['origins']} test origins ({result['machine']}): {', '.join(result['networks'])}.",
            "",
            *_write_combination(result["combination"]),
            "",
            *_write_weights(result["combination"]),
            "",
            *_write_errors(result),
            "",
            *_write_trend(result["trend"]),
        ]
    return lines


def _write_combination(combination: Mapping[str, Any]) -> list[str]:
    blocks = next(iter(combination.values()))["blocks"]
    periods = [f"{block['from']} … {block['to']} ({block['origins']})" for block in blocks]
    lines = [
        "| horizon | MAPE today | with networks | ratio (95 % interval, paired) | wanted | met | "
        f"ratio {' | ratio '.join(periods)} |",
        f"|---|---|---|---|---|---|{'---|' * len(blocks)}",
    ]
    for horizon, found in combination.items():
        wanted = 1.0 if horizon == "12" else MAX_RATIO
        low, high = found["ratio_interval"]
        ratios = " | ".join(f"{block['ratio']:.3f}" for block in found["blocks"])
        errors = f"{found['today']:.3f} | {found['with_networks']:.3f}"
        lines.append(
            f"| {horizon} | {errors} | {found['ratio']:.3f} ({low:.3f} … {high:.3f}) | "
            f"≤ {wanted:g} | {'yes' if found['ratio'] <= wanted else '**no**'} | {ratios} |"
        )
    method = "; ".join(f"h = {horizon}: {found['method']}" for horizon, found in combination.items())
    return [*lines, "", f"{method}."]


def _write_weights(combination: Mapping[str, Any]) -> list[str]:
    names = list(next(iter(combination.values()))["weights_first_test_origin"])
    lines = [f"| weights | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for place in ("first", "last"):
        for horizon, found in combination.items():
            weights = found[f"weights_{place}_test_origin"]
            lines.append(f"| {place} test origin, h = {horizon} | {' | '.join(f'{weights[name]:.2f}' for name in names)} |")
    return lines


def _write_errors(result: Mapping[str, Any]) -> list[str]:
    horizons = list(next(iter(result["mape"].values())))
    shown = " | ".join(f"MAPE {h}" for h in horizons)
    lines = [f"| family | {shown} | a fit, s | a row, ms |", f"|---|{'---|' * len(horizons)}---|---|"]
    for name, errors in result["mape"].items():
        cost = (result[key].get(name) for key in ("fit_seconds", "ms_per_row"))
        told = " | ".join("–" if value is None else f"{value:g}" for value in cost)
        lines.append(f"| {name} | {' | '.join(f'{errors[h]:.3f}' for h in horizons)} | {told} |")
    return [*lines, "", *(f"* {words}" for words in result["equals"])]


def _write_trend(trend: Mapping[str, Any]) -> list[str]:
    shares = ", ".join(f"{share:.1%} {WORDS[kind]}" for kind, share in trend["shares"].items())
    best = max(score["accuracy"] for score in trend["families"].values())
    lines = [
        f"The trend at three months: rising or falling by more than 2 %, else stable ({shares}). The plan's 90 % is "
        f"{'reached' if best > PLANNED_ACCURACY else 'not reached'}: the best accuracy is {best:.1%}.",
        "",
        "| forecast | accuracy | balanced accuracy |",
        "|---|---|---|",
    ]
    return lines + [f"| {name} | {s['accuracy']:.3f} | {s['balanced_accuracy']:.3f} |" for name, s in trend["families"].items()]


WORDS = {"-1": "falling", "+0": "stable", "+1": "rising"}


def insert_networks_section(page: str) -> str:
    """The page with this section in the place of the one before, at first at its end."""
    before, _, rest = page.partition(f"\n{HEADING}\n")
    _, found, after = rest.partition("\n## ")
    return before.rstrip("\n") + "\n" + "\n".join(write_networks_section()) + "\n" + (f"\n## {after}" if found else "")
