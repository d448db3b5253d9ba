"""Flags on text that comes from tools and models: what reads like an order, a secret, or a terminal escape.

The patterns cannot be complete. They stand behind what matters more: that such text is quoted, on one line, short, in a
fence that says it is data.
"""

import re
from functools import lru_cache

from store.domain.observations import Flag
from store.domain.safe_text import safe

_COLOUR = re.compile(r"\x1b\[[\d;:]*m")

_INJECTED = (
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|preceding|all|any|your|system)\b"
    r".{0,20}\b(?:instructions?|prompts?|rules?|directions?|guidelines?)\b"
    r"|<\s*/?\s*(?:system|assistant|human|instructions?|observations)\b[^>]{0,40}>"
    r"|<\|[a-z_]+\|>|\[/?(?:INST|SYS|SYSTEM)\]|<<SYS>>"
    r"|(?:^|[\n`\"'>])\s*(?:#+\s*)?(?:system|assistant|human)\s*(?:prompt|message|note)?\s*:"
    r"|\b(?:new|updated?|real|actual|secret|hidden|system|important)\s+(?:instructions?|directives?)\b"
    r"|\b(?:as|dear|attention|note\s+to|message\s+(?:to|for))\s+(?:an?\s+|the\s+|all\s+|any\s+)?(?:ai|llms?|"
    r"language\s+models?|assistants?|agents?|subagents?)\b"
    r"|\b(?:ai|llm|assistant|subagent)s?\s*[:,]\s*(?:run|execute|delete|submit|ignore|stop|please|you)\b"
    r"|\b(?:run|execute)\s+(?:the\s+following|(?:this|these)\s+commands?)\b"
    r"|\b(?:curl|wget)\b[^\n|]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"
    r"|\b(?:prompt\s+injection|jailbreak)\b"
)
"""What has no business in code, either."""

_ORDERS = (
    r"\byou\s+(?:must|should|shall|have\s+to|need\s+to|are\s+(?:required|instructed|ordered|asked|expected|supposed)\s+to|"
    r"will\s+now|can\s+now|are\s+now|may\s+now|are\s+an?\b)"
    r"|\byour\s+(?:new\s+)?(?:task|job|goal|instructions?|mission|system\s+prompt)\b"
    r"|\b(?:please|kindly|now|immediately|instead|first|then|to\s+fix\s+this,?)\s+(?:run|execute|delete|remove|submit|call|"
    r"use|ignore|stop|reveal|print|send|post|upload|download|install|edit|write|open|visit|approve|disable|skip)\b"
    r"|\b(?:run|execute)\s+(?:this|these|it\s+now)\b"
    r"|\b(?:do\s+not|don't|never)\s+(?:tell|mention|reveal|report|inform|disclose|run|submit|check|verify|trust|use)\b"
    r"|\b(?:skip|bypass|disable)\s+(?:the\s+|all\s+)?(?:checks?|tests?|safety|verification)\b"
)
"""What programs say to people, and what is an order to whoever reads it."""

_IN_CODE = re.compile(_INJECTED, re.IGNORECASE | re.DOTALL)
_IN_TEXT = re.compile(f"{_INJECTED}|{_ORDERS}", re.IGNORECASE | re.DOTALL)

_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bsk-[\w-]{20,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{30,}|\bmt-[0-9a-z]{24,}|\bnpm_\w{30,}|\bpypi-\w{30,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]{3,}@"
    r"|(?:api[_-]?key|secret|token|passw(?:or)?d|authorization|credential)\w*[\"']?\s*[=:]\s*"
    r"(?:[\"'](?!\s)[^\"'\s{}$<>]{8,}[\"']|(?:bearer\s+)?(?=\S*\d)[\w+/=-]{20,})",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def flags(text: str, code: str = "") -> tuple[Flag, ...]:
    """What is to be held against a text, and against the code with it, both as they came. Code may say "you must" in a
    comment."""
    found = []
    if _IN_TEXT.search(text) or _IN_CODE.search(code):
        found.append(Flag.INSTRUCTION)
    both = f"{text}\n{code}"
    if _SECRET.search(both):
        found.append(Flag.SECRET)
    if safe(both) != both.replace("\r\n", "\n"):
        found.append(Flag.ESCAPE)
    return tuple(found)


def without_colour(text: str) -> str:
    """The text without colours, which are all that most programs use escapes for."""
    return _COLOUR.sub("", text)
