"""Which tools only look, by the verb that their name begins with."""

import re

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LOOKS = frozenset(
    (
        *("get", "list", "search", "find", "read", "view", "show", "fetch", "lookup", "look", "query", "describe"),
        *("count", "check", "grep", "glob", "ls", "cat", "browse", "web", "recall", "verify", "validate", "preview"),
        *("inspect", "compare", "retrieve", "load", "filter", "identify", "is", "has"),
    )
)
"""Verbs of looking."""
_THINKS = frozenset(
    (
        *("think", "plan", "reason", "calculate", "calc", "compute", "estimate", "summarize", "summarise", "explain"),
        *("translate", "ask", "help", "todo", "wait", "sleep"),
    )
)
"""Verbs of thinking and waiting, and of an agent's own bookkeeping."""


def only_looks(tool: str) -> bool:
    """Whether a tool changes nothing, as far as its name tells. An MCP server's name before it says nothing."""
    return _verb(tool) in _LOOKS | _THINKS


def looks_up(tool: str) -> bool:
    """Whether a tool tells what is so, and doesn't only help its caller to think."""
    return _verb(tool) in _LOOKS


def _verb(tool: str) -> str:
    words = _WORDS.findall(tool.rpartition("__")[2].rpartition(".")[2])
    return words[0].lower() if words else ""
