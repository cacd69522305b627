"""Regular expressions over symbols, compiled on the host into a table that the device walks: `table[state, symbol]`.

A symbol is a byte, or `END` where the text is over, again and again. A reading step may have a `part`, a small number
that says what the symbol is in the expression ("a digit of the denominator"); every state remembers the part that it
was entered by.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

END = 256
SYMBOLS = 257
DEAD = 0  # the state that nothing leads out of


@dataclasses.dataclass
class Graph:
    """A nondeterministic automaton under construction: edges that read a symbol and edges that read nothing."""

    reads: list[list[tuple[frozenset[int], int]]] = dataclasses.field(default_factory=list)
    skips: list[list[int]] = dataclasses.field(default_factory=list)
    parts: list[int] = dataclasses.field(default_factory=list)

    def node(self, part: int = 0) -> int:
        self.reads.append([])
        self.skips.append([])
        self.parts.append(part)
        return len(self.parts) - 1


Pattern = Callable[[Graph, int], int]  # adds itself behind a node and returns the node where it ends


def one_of(symbols: Iterable[int], part: int = 0) -> Pattern:
    """One symbol; bytes iterate over theirs."""
    chosen = frozenset(symbols)

    def add(graph: Graph, start: int) -> int:
        end = graph.node(part)
        graph.reads[start].append((chosen, end))
        return end

    return add


def sequence(*items: Pattern | bytes) -> Pattern:
    """One after the other; bytes stand for themselves."""
    patterns = [item if callable(item) else word(item) for item in items]

    def add(graph: Graph, start: int) -> int:
        for pattern in patterns:
            start = pattern(graph, start)
        return start

    return add


def word(text: bytes) -> Pattern:
    return sequence(*(one_of([byte]) for byte in text))


def either(*items: Pattern | bytes) -> Pattern:
    def add(graph: Graph, start: int) -> int:
        end = graph.node()
        for item in items:
            graph.skips[sequence(item)(graph, start)].append(end)
        return end

    return add


def maybe(*items: Pattern | bytes) -> Pattern:
    return either(sequence(*items), sequence())


def some(*items: Pattern | bytes) -> Pattern:
    """Any number of times, not at all too."""

    def add(graph: Graph, start: int) -> int:
        loop = graph.node()
        graph.skips[start].append(loop)
        graph.skips[sequence(*items)(graph, loop)].append(loop)
        return loop

    return add


def many(*items: Pattern | bytes) -> Pattern:
    """Once or more often."""
    return sequence(*items, some(*items))


class Automaton(NamedTuple):
    """Several expressions in one deterministic table; state 0 is `DEAD`: what has been read begins no word of them."""

    table: np.ndarray  # [states, SYMBOLS]
    parts: np.ndarray  # [states]
    starts: tuple[int, ...]  # where each expression begins


def compile_patterns(*patterns: Pattern) -> Automaton:
    """The subset construction. ValueError where a symbol would be two different parts at once."""
    graph = Graph()
    begins = [graph.node() for _ in patterns]
    for pattern, begin in zip(patterns, begins, strict=True):
        pattern(graph, begin)
    sets = [frozenset(), *(_closure(graph, {begin}) for begin in begins)]
    known = {nodes: state for state, nodes in enumerate(sets)}
    rows: list[np.ndarray] = []
    parts = [0] * len(sets)
    while len(rows) < len(sets):
        row = np.zeros(SYMBOLS, np.int32)
        targets: dict[int, set[int]] = {}
        for node in sets[len(rows)]:
            for symbols, target in graph.reads[node]:
                for symbol in symbols:
                    targets.setdefault(symbol, set()).add(target)
        for symbol, nodes in targets.items():
            named = {graph.parts[node] for node in nodes} - {0} or {0}
            if len(named) > 1:
                raise ValueError(f"Symbol {symbol} is of the parts {sorted(named)} at once.")
            closed = _closure(graph, nodes)
            if closed not in known:
                known[closed] = len(sets)
                sets.append(closed)
                parts.append(named.pop())
            row[symbol] = known[closed]
        rows.append(row)
    return Automaton(np.stack(rows), np.array(parts, np.int32), tuple(range(1, len(patterns) + 1)))


def _closure(graph: Graph, nodes: set[int]) -> frozenset[int]:
    """The nodes with all that can be reached from them by reading nothing."""
    found, open_nodes = set(nodes), list(nodes)
    while open_nodes:
        for node in graph.skips[open_nodes.pop()]:
            if node not in found:
                found.add(node)
                open_nodes.append(node)
    return frozenset(found)
