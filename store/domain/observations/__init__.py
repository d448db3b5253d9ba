"""What was learned in a run: the observations, how findings become observations, what a prompt gets of them, and their
face as Markdown. The grammar and the rules are in `docs/observations.md`."""

from store.domain.observations.editing import apply_edit
from store.domain.observations.injection import Injection, injectable, select, tokens
from store.domain.observations.merging import merge, priority
from store.domain.observations.model import (
    Author,
    Claim,
    Document,
    Evidence,
    Flag,
    Note,
    Observation,
    Priority,
    Status,
    Subject,
    fingerprint,
    heirs,
    live,
)
from store.domain.observations.text import Item, Sheet, parse, render

__all__ = [
    "Author",
    "Claim",
    "Document",
    "Evidence",
    "Flag",
    "Injection",
    "Item",
    "Note",
    "Observation",
    "Priority",
    "Sheet",
    "Status",
    "Subject",
    "apply_edit",
    "fingerprint",
    "heirs",
    "injectable",
    "live",
    "merge",
    "parse",
    "priority",
    "render",
    "select",
    "tokens",
]
