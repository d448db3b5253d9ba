"""Errors that a tool reports in the text of its result, where its protocol has no word for them.

Chat protocols have no mark for a tool call that failed, so the text alone tells. It is told by its form: how it begins,
and what members it has. Text that only speaks of errors is no error.
"""

import re
from typing import NamedTuple

_WIDE = 2000
"""Characters from the beginning in which the form has to show."""
_SHORT = 300
"""Characters of the longest text that is nothing but a refusal."""

_BEGINS = re.compile(
    r"[\s\W]{0,8}(?:(?:[A-Za-z_]\w*\.)*[A-Za-z_]*(?:Error|Exception)|error|fatal|failed|failure|panic|exception|traceback)"
    r"(?:\s*[:!\]>)]|\s+[-—–]\s|\s*$|\s+(?:executing|calling|running|while|when|during|occurred|code|at|in|from|to|"
    r"validating|parsing|processing|performing|fetching|accessing|reading|writing|loading|\(most\s)\b)",
    re.IGNORECASE,
)
_REFUSES = re.compile(
    r"[\s\W]{0,8}(?:(?:http\s+)?[45]\d\d\s+[a-z]|(?:invalid|cannot|can't|could\s+not|couldn't|unable\s+to|not\s+(?:found|allowed|permitted|authori[sz]ed)|"
    r"no\s+such|unknown|unsupported|unauthori[sz]ed|forbidden|permission\s+denied|access\s+denied|missing\s+required|"
    r"timed?\s*-?out|connection\s+(?:refused|reset|error|timed\s+out)|bad\s+request|internal\s+server\s+error|"
    r"rate\s+limit)\b)",
    re.IGNORECASE,
)
_MISSES = re.compile(
    r"\s*[\w'\"`#][\w '\"`#:/.-]{0,80}\b(?:not\s+found|does\s+not\s+exist|doesn't\s+exist|"
    r"(?:is|are)\s+not\s+(?:valid|allowed|available|permitted|supported|enough)|is\s+(?:invalid|required|missing))[.!]?\s*",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"\s*<(?:tool_use_)?error>\s*([^\n<]+)", re.IGNORECASE)
_MEMBER = re.compile(
    r'"(?:error|errors|errorMessage|error_message|exception)"\s*:\s*(?!null|false|""|\[\s*\]|\{\s*\}|0\b)'
    r'(?:"(?P<text>(?:[^"\\]|\\.)+)"|[\[{\w])'
    r'|"(?:success|ok)"\s*:\s*false\b|"(?:is_?error)"\s*:\s*true\b'
    r'|"(?:status|state|result)"\s*:\s*"(?:error|failed|failure)"'
    r'|"(?:status|status_?code|code)"\s*:\s*[45]\d\d\b',
    re.IGNORECASE,
)


class Reported(NamedTuple):
    """Where a text says what went wrong, in its code points."""

    start: int
    end: int


def reported(text: str) -> Reported | None:
    """The error that a tool's result reports; None where it reports none."""
    head = text[:_WIDE]
    if tagged := _TAGGED.match(head):
        return Reported(tagged.start(1), tagged.start(1) + len(tagged[1].rstrip()))
    if head.lstrip().startswith("{"):
        return _in_object(head)
    if _BEGINS.match(head) or (len(text.strip()) <= _SHORT and _says_no(head)):
        return _line(head, 0)
    return None


def _says_no(text: str) -> bool:
    return _REFUSES.match(text) is not None or _MISSES.fullmatch(text) is not None


def _in_object(head: str) -> Reported | None:
    """In a JSON object, by its own members: what stands deeper are things that it tells of."""
    for found in _MEMBER.finditer(head):
        if _depth(head, found.start()) == 1:
            message = re.search(r'"(?:message|detail|reason|error_description)"\s*:\s*"((?:[^"\\]|\\.)+)"', head)
            if found["text"]:
                return Reported(found.start("text"), found.end("text"))
            return Reported(message.start(1), message.end(1)) if message else _line(head, 0)
    return None


def _depth(text: str, at: int) -> int:
    depth, inside, escaped = 0, False, False
    for character in text[:at]:
        if escaped:
            escaped = False
        elif inside and character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
        elif not inside:
            depth += (character in "{[") - (character in "}]")
    return depth


def _line(text: str, at: int) -> Reported:
    """The first line with words from there on."""
    while at < len(text) and text[at].isspace():
        at += 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return Reported(at, at + len(text[at:end].rstrip()))
