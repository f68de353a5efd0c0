"""`epic22 lineage`: where something comes from, and what it led to."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text
from rich.tree import Tree

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import TerminalConsole, print_json, print_line
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.lineage import Node, Trace
from epic22.reports.figures.lineage import draw_lineage

MAX_BRANCHES = 20


def lineage(
    x: Annotated[
        str,
        typer.Argument(
            metavar="X",
            help="A task, task/version, data version, source file, table version (leases@4), or the first 8 or more digits of a "
            "model hash, file's SHA-256, tracking run id or prediction receipt.",
        ),
    ],
    svg: Annotated[Path | None, typer.Option(help="Draw it into this file.")] = None,
    json: Json = False,
) -> None:
    """Trace X back to its table versions and source files, and forward to the models and predictions it led to."""
    trace = bootstrap.trace_back(bootstrap.assemble(Settings.read()), x)
    if svg is not None:
        _write_svg(trace, svg)
    if json:
        print_json(trace, bootstrap.VIEWS)
        return
    print_trace(trace)
    if svg is not None:
        print_line(f"Picture: {svg}")


def _write_svg(trace: Trace, svg: Path) -> None:
    try:
        svg.write_text(draw_lineage(trace), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--svg {svg} cannot be written ({error.strerror}); name another file.") from None


def print_trace(trace: Trace) -> None:
    """Print both directions as trees."""
    print_line(f"{trace.subject.type}: {trace.subject.label}", "bold")
    for name, fact in trace.subject.facts:
        print_line(f"  {name}: {fact}", "dim")
    for title, direction in (("comes from", "causes"), ("led to", "effects")):
        tree = _build_tree(trace, title, "causes" if direction == "causes" else "effects")
        if tree.children:
            TerminalConsole().print(tree, soft_wrap=True)
        else:
            print_line(f"{title}: nothing known", "dim")
    for note in trace.notes:
        print_line(f"note: {note}", "yellow")


def _build_tree(trace: Trace, title: str, direction: Literal["causes", "effects"]) -> Tree:
    root = Tree(Text(title, style="bold"))
    _add_branches(root, trace, trace.subject, direction, set())
    return root


def _add_branches(tree: Tree, trace: Trace, node: Node, direction: Literal["causes", "effects"], visited: set[str]) -> None:
    """Add the branches below a node; a node that was visited before is named again without its branches."""
    next_ = trace.causes(node) if direction == "causes" else trace.effects(node)
    for one in next_[:MAX_BRANCHES]:
        is_repeated = one.key in visited
        visited.add(one.key)
        text = Text(f"{one.type}: {one.label}  ").append(_format_id(one), style="dim")
        branch = tree.add(text.append(" (see above)", style="dim") if is_repeated and _has_more(trace, one, direction) else text)
        if not is_repeated:
            _add_branches(branch, trace, one, direction, visited)
    if len(next_) > MAX_BRANCHES:
        tree.add(Text(f"and {len(next_) - MAX_BRANCHES:,} more; --json names all", style="dim"))


def _has_more(trace: Trace, node: Node, direction: Literal["causes", "effects"]) -> bool:
    return bool(trace.causes(node) if direction == "causes" else trace.effects(node))


def _format_id(node: Node) -> str:
    """An id that `epic22 lineage` takes."""
    facts = dict(node.facts)
    text = facts.get("sha256") or facts.get("model hash") or facts.get("id") or node.id
    return text if "/" in text or "@" in text else text[:16]
