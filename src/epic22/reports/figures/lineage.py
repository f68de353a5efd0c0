"""A trace as an SVG picture: a column a kind, sources on the left, predictions on the right, an arrow from cause to effect."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from epic22.core.lineage import STAGES, Node, Trace, printable

MAX_IN_COLUMN = 14
WIDTH, HEIGHT, GAP, ALLEY, MARGIN, HEAD = 226, 44, 12, 26, 12, 34
MAX_LETTERS = 32
LEAST_WIDTH = 1000
"""Pixels: a wider picture shrinks with its window down to this, so that it is seen whole and its letters can be read."""
STYLE = """
svg{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;background:#fff;max-width:100%;min-width:LEASTpx;height:auto}
.box{fill:#f4f6f8;stroke:#8a96a3}.subject{fill:#dcebff;stroke:#1f5fbf;stroke-width:2}.fold{stroke-dasharray:4 3}
.head{font-size:12px;font-weight:600;fill:#4a5561}.words{font-size:12px;fill:#14202b}.id{font-size:10.5px;fill:#5b6773}
.arrow{fill:none;stroke:#8a96a3;stroke-width:1.2}.tip{fill:#8a96a3}
@media (prefers-color-scheme:dark){svg{background:#12171d}.box{fill:#1d252d;stroke:#6d7a87}
.subject{fill:#173459;stroke:#6ea8ff}.head{fill:#aab6c2}.words{fill:#e8eef4}.id{fill:#9aa7b4}.arrow{stroke:#6d7a87}.tip{fill:#6d7a87}}
"""


@dataclass(frozen=True)
class _Box:
    """What is drawn in one place: a node, or the last ones of a column folded together."""

    words: str
    id: str
    about: str
    nodes: tuple[Node, ...]
    style: str
    x: int
    y: int


def draw_lineage(trace: Trace) -> str:
    """The picture as the text of an SVG file: light or dark as the reader's screen is, no font or script from elsewhere."""
    columns = [(kind, _order_nodes(trace, trace.list_nodes(kind))) for kind in STAGES if trace.list_nodes(kind)]
    tallest = max(min(len(nodes), MAX_IN_COLUMN) for _, nodes in columns)
    width = 2 * MARGIN + len(columns) * WIDTH + (len(columns) - 1) * ALLEY
    height = 2 * MARGIN + HEAD + tallest * (HEIGHT + GAP) - GAP
    boxes = [box for place, (_, nodes) in enumerate(columns) for box in _place_column(trace, nodes, place, height)]
    heads = [_render_head(f"{kind}s" if len(nodes) > 1 else kind, place) for place, (kind, nodes) in enumerate(columns)]
    title = f"Lineage of {trace.subject.type} {trace.subject.label}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + MARGIN}" width="{width}" '
            f'height="{height + MARGIN}" role="img">',
            f"<title>{_escape(title)}</title>",
            f"<style>{STYLE.replace('LEAST', str(min(width, LEAST_WIDTH)))}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>',
            *_render_arrows(trace, boxes),
            *heads,
            *(_render_box(box) for box in boxes),
            "</svg>\n",
        ]
    )


def _order_nodes(trace: Trace, nodes: Sequence[Node]) -> list[Node]:
    """Things that lead to the same thing stand together; the subject is never among those folded away."""
    place = {node.key: number for number, node in enumerate(trace.nodes)}
    first = {n.key: min((place[e.key] for e in trace.effects(n)), default=len(place)) for n in nodes}
    return sorted(nodes, key=lambda n: (n != trace.subject and len(nodes) > MAX_IN_COLUMN, first[n.key], place[n.key]))


def _place_column(trace: Trace, nodes: Sequence[Node], place: int, height: int) -> list[_Box]:
    shown = list(nodes) if len(nodes) <= MAX_IN_COLUMN else list(nodes[: MAX_IN_COLUMN - 1])
    rest = tuple(nodes[len(shown) :])
    rows = len(shown) + bool(rest)
    x = MARGIN + place * (WIDTH + ALLEY)
    top = MARGIN + HEAD + (height - 2 * MARGIN - HEAD - rows * (HEIGHT + GAP) + GAP) // 2
    boxes = [
        _Box(
            n.label, _short_id(n), _describe_node(n), (n,), "subject" if n == trace.subject else "", x, top + row * (HEIGHT + GAP)
        )
        for row, n in enumerate(shown)
    ]
    if rest:
        about = "\n".join(n.label for n in rest)
        boxes.append(_Box(f"and {len(rest):,} more", "", about, rest, "fold", x, top + len(shown) * (HEIGHT + GAP)))
    return boxes


def _short_id(node: Node) -> str:
    """The beginning of its digest, or its whole id as far as the box is wide."""
    facts = dict(node.facts)
    digest = facts.get("sha256") or facts.get("model hash")
    return digest[:16] if digest else _shorten(facts.get("id") or node.id)


def _describe_node(node: Node) -> str:
    return "\n".join([f"{node.type} {node.id}", *(f"{name}: {fact}" for name, fact in node.facts)])


def _render_arrows(trace: Trace, boxes: Sequence[_Box]) -> list[str]:
    """One arrow between two boxes, however many things are folded into them."""
    where = {node.key: number for number, box in enumerate(boxes) for node in box.nodes}
    pairs = dict.fromkeys((where[edge.cause], where[edge.effect]) for edge in trace.edges)
    lane = max(box.y for box in boxes) + HEIGHT + MARGIN
    return [_render_arrow(boxes[cause], boxes[effect], lane) for cause, effect in pairs]


def _render_arrow(cause: _Box, effect: _Box, lane: int) -> str:
    """A curve to the next column; past a column it goes by the lane below all boxes, so that none hides it."""
    x1, y1, x2, y2 = cause.x + WIDTH, cause.y + HEIGHT // 2, effect.x - 2, effect.y + HEIGHT // 2
    half = ALLEY // 2
    path = f"C{x1 + half},{y1} {x2 - half},{y2} {x2},{y2}"
    if effect.x - cause.x > WIDTH + ALLEY:
        a, b = x1 + ALLEY, x2 - ALLEY
        path = f"C{x1 + half},{y1} {x1 + half},{lane} {a},{lane} L{b},{lane} C{x2 - half},{lane} {x2 - half},{y2} {x2},{y2}"
    return f'<path class="arrow" marker-end="url(#tip)" d="M{x1},{y1} {path}"/>'


def _render_head(text: str, place: int) -> str:
    return f'<text class="head" x="{MARGIN + place * (WIDTH + ALLEY)}" y="{MARGIN + 14}">{_escape(text)}</text>'


def _render_box(box: _Box) -> str:
    return (
        f'<g><title>{_escape(box.about)}</title><rect class="box {box.style}" x="{box.x}" y="{box.y}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="6"/><text class="words" x="{box.x + 10}" y="{box.y + 18}">{_escape(_shorten(box.words))}</text>'
        f'<text class="id" x="{box.x + 10}" y="{box.y + 34}">{_escape(box.id)}</text></g>'
    )


def _escape(text: str) -> str:
    """Text as text, whatever is in it: XML forbids most control characters even when they are escaped."""
    return "\n".join(escape(printable(line)) for line in text.split("\n"))


def _shorten(text: str) -> str:
    """The text, or its beginning and end where it is too wide for a box; wide letters count twice."""
    if _text_width(text) <= MAX_LETTERS:
        return text
    head, tail = text, text
    while _text_width(head) > MAX_LETTERS - 13:
        head = head[:-1]
    while _text_width(tail) > 12:
        tail = tail[1:]
    return f"{head}…{tail}"


def _text_width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
