"""Taking back and doing again. The versions of a document are never rewritten: an undo is a new version, made of the
latest by the opposite of what another one changed, and says which."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from store.domain.observations.model import GONE, Document, Status
from store.domain.observations.threeway import merge_three


class Past(Protocol):
    """The versions before."""

    def document(self, version: int) -> Document | None:
        """A version; None when there is none of that number."""

    def stacks(self) -> "Stacks":
        """What can be taken back."""


@dataclass(frozen=True)
class Stacks:
    """Versions that an undo can take back, and undos that a redo can; the last is the next. What the observer wrote is
    in neither: an older version can be restored."""

    undo: tuple[int, ...] = ()
    redo: tuple[int, ...] = ()


class _NoPast:
    """A document without versions before."""

    def document(self, version: int) -> Document | None:
        return None

    def stacks(self) -> Stacks:
        return Stacks()


def stacks(versions: Iterable[tuple[int, int]]) -> Stacks:
    """The operator's versions, oldest first, each with the version that it takes back (0 for a change of its own)."""
    undo: list[int] = []
    redo: list[int] = []
    for version, undoes in versions:
        if undo and undoes == undo[-1]:
            undo.pop()
            redo.append(version)
        elif redo and undoes == redo[-1]:
            redo.pop()
            undo.append(version)
        else:
            undo.append(version)
            redo.clear()
    return Stacks(tuple(undo), tuple(redo))


NOTHING = _NoPast()


@dataclass(frozen=True)
class Restore:
    """Have the file as it was in a version. What came into it since is dropped, not forgotten."""

    version: int
    kind: Literal["restore"] = "restore"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        old = past.document(self.version)
        if old is None:
            raise ValueError(f"There is no version {self.version}.")
        now = {o.fingerprint: o for o in document.observations}
        there = {o.fingerprint for o in old.observations}
        # What became of the attempts is no matter of versions.
        back = (
            replace(o, given_to=n.given_to, cited_by=n.cited_by) if (n := now.get(o.fingerprint)) else o
            for o in old.observations
        )
        since = (
            o if o.status in GONE else replace(o, status=Status.DROPPED)
            for o in document.observations
            if o.fingerprint not in there
        )
        return replace(document, observations=(*back, *since), notes=old.notes)


@dataclass(frozen=True)
class Undo:
    """Take back the last change of a person's that was not taken back; what the observer wrote since stays."""

    kind: Literal["undo"] = "undo"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        return _take_back(document, past, past.stacks().undo, "There is nothing to undo.")


@dataclass(frozen=True)
class Redo:
    """Do again what the last undo took back."""

    kind: Literal["redo"] = "redo"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        return _take_back(document, past, past.stacks().redo, "There is nothing to redo.")


def _take_back(document: Document, past: Past, stack: tuple[int, ...], why_not: str) -> Document:
    if not stack:
        raise ValueError(why_not)
    version = stack[-1]
    after, before = past.document(version), past.document(version - 1) or Document(document.run)
    if after is None:
        raise ValueError(f"There is no version {version}.")
    return merge_three(after, document, before, said=f"Version {version - 1} had it otherwise.").document
