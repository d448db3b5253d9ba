"""The pieces of tapes that the model is shown, by the names under which it may quote them."""

from dataclasses import dataclass

from backends.observer.attempt import Said
from backends.observer.evidence import span
from store.domain.blocks import BlockKind
from store.domain.ids import SubagentId
from store.domain.observations import Evidence
from store.jsontext import dumps

LEAST = 6
"""Characters, white space aside, of the shortest quote: fewer are found anywhere."""


@dataclass(frozen=True)
class Span:
    """One block of a subagent's tape. What it says itself is no more than its word; what a tool printed is a result."""

    subagent: SubagentId
    said: Said
    kind: BlockKind

    @property
    def printed(self) -> bool:
        """A tool's result."""
        return self.kind is BlockKind.TOOL_RESULT

    def quote(self, words: str) -> tuple[Evidence, ...]:
        """The words as evidence, if they stand in the block to the letter; nothing if they don't."""
        if sum(not character.isspace() for character in words) < LEAST:
            return ()
        # What a tool is given stands there as JSON: people and models quote what it means.
        written = (words, dumps(words)[1:-1]) if self.kind is BlockKind.TOOL_CALL else (words,)
        for form in written:
            if (at := self.said.text.find(form)) >= 0:
                return span(self.subagent, self.said, at, at + len(form))
        return ()


class Spans:
    """Names are short and given in order, so that the same tapes give the same names."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._names: dict[tuple[SubagentId, str, int], str] = {}

    def name(self, span: Span) -> str:
        """What the model calls it: n1, n2, …; "" for a block that is on no node, and so can't be quoted."""
        if not span.said.node:
            return ""
        place = span.subagent, span.said.node, span.said.block
        if place not in self._names:
            self._spans.append(span)
            self._names[place] = f"n{len(self._spans)}"
        return self._names[place]

    def find(self, name: str) -> Span | None:
        """The span of this name."""
        number = name.strip().strip("[]").removeprefix("n")
        known = number.isascii() and number.isdecimal() and len(number) < 9 and 1 <= int(number) <= len(self._spans)
        return self._spans[int(number) - 1] if known else None
