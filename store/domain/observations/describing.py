"""What a person did, in words: for the list of versions and the outcome of an order."""

from collections.abc import Sequence

from store.domain.observations.changes import (
    Add,
    Change,
    Drop,
    Keep,
    Merge,
    Pin,
    Quarantine,
    Redo,
    Resolve,
    Restore,
    Reword,
    SetClaim,
    SetPriority,
    Split,
    Undo,
)
from store.domain.safe_text import safe_line

SAID = 6
"""Changes that are named one by one."""
WIDTH = 60
"""Characters of a text that is quoted."""


def described(changes: Sequence[Change], takes_back: int = 0) -> str:
    """A sentence: “Dropped o-1f3a; pinned o-77b0.” `takes_back` is the version that an undo or a redo takes back."""
    said = [_said(change, takes_back) for change in changes[:SAID]]
    if len(changes) > SAID:
        said.append(f"{len(changes) - SAID} changes more")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else "Nothing."


def _said(change: Change, takes_back: int) -> str:
    match change:
        case Keep(id=name):
            return f"kept {name}"
        case Drop(id=name):
            return f"dropped {name}"
        case Pin(id=name):
            return f"pinned {name}"
        case Quarantine(id=name):
            return f"quarantined {name}"
        case Reword(id=name):
            return f"reworded {name}"
        case SetPriority(id=name, priority=priority):
            return f"made {name} {priority}"
        case SetClaim(id=name, claim=claim):
            return f"called {name} “{claim}”"
        case Add(text=text):
            return f"added “{safe_line(text, WIDTH)}”"
        case Merge(ids=ids, into=into):
            whole = into or ids[0]
            return f"merged {', '.join(name for name in ids if name != whole)} into {whole}"
        case Split(id=name, texts=texts):
            return f"split {name} in {len(texts)}"
        case Resolve(id=name, field=field, take=take):
            return f"settled the {field} of {name}, {'taking the other side' if take else 'leaving it'}"
        case Restore(version=version):
            return f"restored version {version}"
        case Undo():
            return f"undid version {takes_back}"
        case Redo():
            return f"did again what version {takes_back} took back"
