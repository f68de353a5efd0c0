"""`epic22 lineage`: where something comes from, and what it led to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from epic22.cli.table_options import Json
from epic22.cli.terminal import print_json, say

if TYPE_CHECKING:
    from rich.tree import Tree

    from epic22.core.lineage import Node, Trace

MOST_BRANCHES = 20


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
    from epic22.bootstrap import assemble, trace_back
    from epic22.config import Settings
    from epic22.services.lineage import trace_json

    found = trace_back(assemble(Settings.read()), x)
    if svg is not None:
        _draw(found, svg)
    if json:
        print_json(trace_json(found))
        return
    show(found)
    if svg is not None:
        say(f"Picture: {svg}")


def _draw(found: "Trace", svg: Path) -> None:
    from epic22.core.errors import UserError
    from epic22.services.lineage_picture import draw

    try:
        svg.write_text(draw(found), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--svg {svg} cannot be written ({error.strerror}); name another file.") from None


def show(found: "Trace") -> None:
    """Both directions as trees, for a person at a terminal."""
    from rich.console import Console

    say(f"{found.subject.kind}: {found.subject.words}", "bold")
    for name, fact in found.subject.facts:
        say(f"  {name}: {fact}", "dim")
    for title, direction in (("comes from", "causes"), ("led to", "effects")):
        tree = _tree(found, title, "causes" if direction == "causes" else "effects")
        if tree.children:
            Console().print(tree, soft_wrap=True)
        else:
            say(f"{title}: nothing known", "dim")
    for note in found.notes:
        say(f"note: {note}", "yellow")


def _tree(found: "Trace", title: str, direction: Literal["causes", "effects"]) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(title, style="bold"))
    _grow(root, found, found.subject, direction, set())
    return root


def _grow(tree: "Tree", found: "Trace", node: "Node", direction: Literal["causes", "effects"], seen: set[str]) -> None:
    """The branches below a node; what was grown before is named again and not grown again."""
    from rich.text import Text

    next_ = found.causes(node) if direction == "causes" else found.effects(node)
    for one in next_[:MOST_BRANCHES]:
        known = one.key in seen
        seen.add(one.key)
        text = Text(f"{one.kind}: {one.words}  ").append(_id(one), style="dim")
        branch = tree.add(text.append(" (see above)", style="dim") if known and _has_more(found, one, direction) else text)
        if not known:
            _grow(branch, found, one, direction, seen)
    if len(next_) > MOST_BRANCHES:
        tree.add(Text(f"and {len(next_) - MOST_BRANCHES:,} more; --json names all", style="dim"))


def _has_more(found: "Trace", node: "Node", direction: Literal["causes", "effects"]) -> bool:
    return bool(found.causes(node) if direction == "causes" else found.effects(node))


def _id(node: "Node") -> str:
    """A handle that `epic22 lineage` takes."""
    facts = dict(node.facts)
    text = facts.get("sha256") or facts.get("model hash") or facts.get("id") or node.id
    return text if "/" in text or "@" in text else text[:16]
