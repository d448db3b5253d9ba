"""What the model wants changed, read from its answer: nothing of it is believed yet."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

MOST = 20
"""Changes of one answer; few observations help more than many."""
QUOTES = 4
"""Quotes of one change."""

_FENCED = re.compile(r"\A\s*```[a-z]*\n(.*)\n\s*```\s*\Z", re.DOTALL)


class UnreadableError(Exception):
    """The answer is not what was asked for. The message says what is wrong, as what follows "it"."""


@dataclass(frozen=True)
class Wanted:
    """One change as the model wrote it, "" where it wrote nothing. `evidence` are names of spans, each with a quote.
    `wrong` says why it can't be looked at, "" when it can."""

    operation: str
    id: str = ""
    claim: str = ""
    text: str = ""
    evidence: tuple[tuple[str, str], ...] = ()
    wrong: str = ""


def read(answer: str) -> list[Wanted]:
    """The changes of an answer, in order. UnreadableError."""
    if not answer.strip():
        raise UnreadableError("is empty")
    fenced = _FENCED.match(answer)
    text = fenced[1] if fenced else answer
    begin, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[begin : end + 1] if begin >= 0 else text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"is no JSON object: {error}") from None
    deltas = value.get("deltas") if isinstance(value, dict) else None
    if not isinstance(deltas, list):
        raise UnreadableError('has no array "deltas"')
    return [
        Wanted(_word(delta, "op"), wrong=f"an answer may have {MOST} changes") if number >= MOST else _read(delta)
        for number, delta in enumerate(deltas)
    ]


def _read(delta: Any) -> Wanted:
    if not isinstance(delta, dict):
        return Wanted("", wrong="it is no object")
    wanted = Wanted(_word(delta, "op"), _word(delta, "id"), _word(delta, "claim"), _word(delta, "text"))
    evidence = delta.get("evidence")
    pairs = [_pair(item) for item in evidence] if isinstance(evidence, list) else []
    quoted = tuple(pair for pair in pairs if pair is not None)
    if not 1 <= len(quoted) == len(pairs) <= QUOTES:
        return replace(wanted, wrong=f'it needs 1 to {QUOTES} items of "evidence", each with a "node" and a "quote"')
    return replace(wanted, evidence=quoted)


def _pair(item: Any) -> tuple[str, str] | None:
    if not isinstance(item, dict):
        return None
    node, quote = item.get("node"), item.get("quote")
    return (node, quote) if isinstance(node, str) and isinstance(quote, str) else None


def _word(delta: Any, name: str) -> str:
    value = delta.get(name) if isinstance(delta, Mapping) else None
    return value if isinstance(value, str) else ""
