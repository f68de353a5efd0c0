"""The features of a portfolio in one page: how good, how sure, worth what, and what to do this week."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epic22.core.quality import Finding
from epic22.core.text import format_figure
from epic22.reports.html.page import render_page, write_atomically
from epic22.services.decide import SHOWN_HORIZON, DecisionList
from epic22.services.portfolio import FeatureResult, GateStep

MAINTENANCE = "predictive_maintenance"
PLANNED_ACCURACY = 0.93
"""The accuracy that the plan asks for."""


@dataclass(frozen=True)
class PortfolioPage:
    """What the page shows: `origin` are (name, value) pairs that say what it was made of, `gate` trainings on a planted condition
    that show what the fairness gate does."""

    title: str
    results: Sequence[FeatureResult]
    lists: Sequence[DecisionList]
    findings: Sequence[Finding]
    origin: Sequence[tuple[str, str]]
    gate: Sequence[GateStep] = ()


def write_portfolio_report(path: Path, page: PortfolioPage) -> Path:
    """Write the page whole, as HTML that opens offline; names are escaped."""
    text = render_page(
        "portfolio.html",
        **vars(page),
        headline=headline(page.results),
        lead=lead(page.results),
        simulated=any(result.oracle is not None for result in page.results),
        answer=answer_claim(page.results),
        about={result.name: result.about for result in page.results},
        shown_horizon=SHOWN_HORIZON,
        percent=_format_share,
    )
    return write_atomically(path, text)


def headline(results: Sequence[FeatureResult]) -> str:
    """The outcome in one sentence."""
    sure = sum(result.gain.low > 0 for result in results)
    return f"{sure} of {len(results)} champions are certainly better than the rule of today"


def lead(results: Sequence[FeatureResult]) -> str:
    """What is not certain, and whether anything is too good."""
    # No interval is no certainty either.
    unsure = [result.name for result in results if not result.gain.low > 0]
    sentence = f"Not certain: {', '.join(unsure)}." if unsure else "Each by an interval above zero, paired on the same rows."
    known = [result for result in results if result.shortfall is not None]
    if not known:
        return sentence
    beyond = [result.name for result in known if result.shortfall is not None and result.shortfall.low > 0]
    honest = f" {', '.join(beyond)} beats the truth, which no honest model does: look for a leak." if beyond else ""
    return f"{sentence} None is certainly better than the best possible." if not beyond else f"{sentence}{honest}"


def answer_claim(results: Sequence[FeatureResult]) -> str:
    """The plan's claim on maintenance, answered with what was measured."""
    maintenance = next((result for result in results if result.name == MAINTENANCE), None)
    if maintenance is None or maintenance.accuracy is None:
        return "Maintenance was not trained here, so there is no figure to answer with."
    own = maintenance.accuracy
    best = f", the best possible {_format_share(own['best possible'])}" if "best possible" in own else ""
    at_best = "." if maintenance.oracle is None else f" of at best {format_figure(maintenance.oracle)}."
    reached = "More than 93 % is reached by doing nothing, so the figure says nothing about a model; what does"
    subject = reached if own["constant"] > PLANNED_ACCURACY else "What decides instead"
    return (
        f"Measured: doing nothing {_format_share(own['constant'])}, the rule of today {_format_share(own['incumbent'])}, "
        f"the champion {_format_share(own['champion'])}{best}. {subject} is {maintenance.metric}: "
        f"{format_figure(maintenance.constant)}, {format_figure(maintenance.incumbent)} and "
        f"{format_figure(maintenance.champion)}{at_best}"
    )


def _format_share(share: float) -> str:
    """An accuracy to the hundredth of a per cent, in which models of rare events differ."""
    return f"{100 * share:.2f} %"
