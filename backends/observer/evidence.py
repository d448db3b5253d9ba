"""Evidence: spans of a tape, quoted to the letter."""

import json
import re
from typing import TYPE_CHECKING

from backends.observer.attempt import Said, Step
from store.domain.ids import SubagentId
from store.domain.observations import Document, Evidence

if TYPE_CHECKING:
    from store.database import Store

QUOTE = 240
"""Characters of the longest quote."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def span(subagent: SubagentId, said: Said | None, start: int, end: int) -> tuple[Evidence, ...]:
    """One span as evidence, cut to what may be quoted; nothing where the tape has no node, or the span no words."""
    if said is None or not said.node:
        return ()
    end = min(end, start + QUOTE, len(said.text))
    # Half a character can be on a tape, but in no file and in no prompt.
    if half := _SURROGATE.search(said.text, start, end):
        end = half.start()
    quote = said.text[start:end]
    if not quote.strip():
        return ()
    return (Evidence(subagent, said.call, said.node, said.block, start, end, quote, said.turn),)


def argument(subagent: SubagentId, step: Step, *names: str) -> tuple[Evidence, ...]:
    """The first of a tool call's inputs that has words; the whole call when none has."""
    for name in names:
        value = step.argument(name)
        written = json.dumps(value, ensure_ascii=False)[1:-1]
        if value.strip() and (at := step.asked.text.find(written)) >= 0:
            return span(subagent, step.asked, at, at + len(written))
    return span(subagent, step.asked, 0, len(step.asked.text))


def line(subagent: SubagentId, said: Said | None, text: str, start: int = 0) -> tuple[Evidence, ...]:
    """The first occurrence of a text in what was said, from a place on; the first line when it isn't there."""
    if said is None:
        return ()
    # What a tool has put into JSON has its quotes and tabs escaped.
    for written in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]) if text else ():
        at = said.text.find(written, start)
        if at >= 0:
            return span(subagent, said, at, at + len(written))
    end = said.text.find("\n")
    return span(subagent, said, 0, end if end >= 0 else len(said.text))


def check_evidence(store: "Store", document: Document) -> list[str]:
    """What is wrong with a document's evidence, a line each: every quote must be what its node says at that place."""
    from store import tapes
    from store.domain.blocks import blocks

    problems = []
    texts: dict[str, list[str]] = {}
    for observation in document.observations:
        for evidence in observation.evidence:
            where = f"{observation.id}: call {evidence.call}, node {evidence.node}, block {evidence.block}"
            try:
                if evidence.node not in texts:
                    texts[evidence.node] = [block.text for block in blocks(tapes.node(store, evidence.node).message)]
                if tapes.call(store, evidence.call).subagent not in (evidence.subagent, None):
                    problems.append(f"{where} is not on the tape of {evidence.subagent}")
                if texts[evidence.node][evidence.block][evidence.start : evidence.end] != evidence.quote:
                    problems.append(f"{where} says something else at {evidence.start}:{evidence.end}")
            except (KeyError, IndexError):
                problems.append(f"{where} is not on any tape")
    return problems
