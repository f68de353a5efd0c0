"""The section of docs/benchmarks.md on networks for C-MAPSS, from benchmarks/results/cmapss_networks.json."""

from collections.abc import Mapping
from typing import Any

BOOSTING, COMBINATION = "boosting", "combination"


def write_networks_section(stored: Mapping[str, Any], aim: float, earlier: Mapping[str, float]) -> str:
    """The section's text, of the sets that are complete; `earlier` is by set the capped error that boosting's own section states
    for the test."""
    sets = {name: result for name, result in stored["sets"].items() if "test" in result}
    first = next(iter(sets.values()))
    lines = [
        "## NASA C-MAPSS: networks beside boosting",
        "",
        "`python benchmarks/cmapss_networks.py --sets FD001 FD002` (any subset in the folder can be named): root mean",
        "squared error in cycles, capped at 125, with the section above's cuts and folds. A network sees the latest 60",
        "cycles as means of three, each sensor standardised within its regime, the index of health beside them, and that",
        "index's columns; it is the mean of two seeds. Held-out figures are of all training units, each by models that",
        "had not seen it; the combination's weights in each fold are chosen on the others, by the rule of every ensemble.",
        "Gains are paired over units, with 95 % intervals by bootstrap of whole units. The combination serves where its",
        "gain is shown, or where it exceeds 1 % and its interval holds no loss of 1 %; its error is given in any case.",
        "",
        *_write_choice(stored["choice"], first["frozen_on"]),
        "",
        *_write_held_out(sets, stored["choice"]["set"]),
        "",
        *_write_test(sets, aim, earlier),
        "",
        f"Machine: {first['machine']}, one thread. Source {first['source']}.",
    ]
    return "\n".join(lines)


def _write_choice(choice: Mapping[str, Any], frozen_on: str) -> list[str]:
    lines = [
        f"The choice, on unit folds of the {choice['units']} training units of {choice['set']} alone (boosting "
        f"{choice[BOOSTING]:.2f}): the {len(choice['chosen'])} whose own combination with boosting errs least, frozen on "
        f"{frozen_on}.",
        "",
        "| network | alone | with boosting | frozen |",
        "|---|---|---|---|",
    ]
    for name, score in choice["scores"].items():
        frozen = "yes" if name in choice["chosen"] else "no"
        lines.append(f"| {name} | {score['alone']:.2f} | {score['with_boosting']:.2f} | {frozen} |")
    return lines


def _write_held_out(sets: Mapping[str, Any], chosen_on: str) -> list[str]:
    networks = _list_networks(sets)
    lines = [
        f"| held-out training units | units | boosting | {' | '.join(networks)} | combination | gain over boosting | "
        "shown | serves | weights |",
        f"|---|---|---|{'---|' * len(networks)}---|---|---|---|---|",
    ]
    for name, result in sets.items():
        held = result["held_out"]
        figures = [f"{held['capped'][model]['value']:.2f}" for model in (BOOSTING, *networks, COMBINATION)]
        weights = "; ".join(f"{model} {weight:.2f}" for model, weight in held["weights"].items())
        answers = ["yes" if yes else "**no**" for yes in (held["gain"]["low"] >= 0, held["serves"])]
        cells = [name, str(held["units"]), *figures, write_gain(held["gain"]), *answers, weights]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"{chosen_on} chose the networks, which flatters its own gain; no other set had a part in the choice. A gain is shown",
        "where its interval lies above zero. Where the combination does not serve, networks have no part in the answer, whatever",
        "their weights.",
    ]


def _list_networks(sets: Mapping[str, Any]) -> list[str]:
    return [name for name in next(iter(sets.values()))["held_out"]["weights"] if name != BOOSTING]


def _write_test(sets: Mapping[str, Any], aim: float, earlier: Mapping[str, float]) -> list[str]:
    networks = _list_networks(sets)
    lines = [
        f"| test units | units | boosting | as stated above | {' | '.join(networks)} | combination (95 %) | "
        "gain over boosting | served | aim | uncapped, served | scored |",
        f"|---|---|---|---|{'---|' * len(networks)}---|---|---|---|---|---|",
    ]
    for name, result in sets.items():
        test = result["test"]
        capped, served = test["capped"], test["served"]
        combination, value = capped[COMBINATION], capped[served]["value"]
        cells = [
            name,
            str(test["units"]),
            f"{capped[BOOSTING]['value']:.2f}",
            f"{earlier[name]:.2f}" if name in earlier else "–",
            *(f"{capped[network]['value']:.2f}" for network in networks),
            f"{combination['value']:.2f} ({combination['low']:.2f} … {combination['high']:.2f})",
            write_gain(test["gain"]),
            f"{served}: {value:.2f}",
            f"≤ {aim}{'' if value <= aim else ', **missed**'}",
            f"{test['uncapped'][served]:.2f}",
            _write_openings(result),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _write_openings(result: Mapping[str, Any]) -> str:
    """How often the test units were scored, and by which frozen choice the last time."""
    opened = result["test_opened"]
    return f"{len(opened)}, last on {opened[-1]['at'][:10]} by choice {opened[-1]['frozen'][:8]}"


def write_gain(gain: Mapping[str, float]) -> str:
    """A gain with its interval.

    >>> write_gain({"value": 0.5, "low": -0.125, "high": 1.0})
    '+0.50 (-0.12 … +1.00)'
    """
    return f"{gain['value']:+.2f} ({gain['low']:+.2f} … {gain['high']:+.2f})"
