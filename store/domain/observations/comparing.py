"""What changed from one version of the observations to another: against the last generation's, against what the
observer proposed."""

from dataclasses import dataclass

from store.domain.observations.model import GONE, Document, Observation, Status


@dataclass(frozen=True)
class Difference:
    """One observation that is not as it was. `before` is None when it was not in the file, `after` when it is no
    longer. `fields` are what differs: text, excerpt, claim, priority, status, support, evidence, flags."""

    id: str
    before: Observation | None
    after: Observation | None
    fields: tuple[str, ...] = ()
    into: tuple[str, ...] = ()
    """The ids of what it went into, when it was merged or split."""

    @property
    def what(self) -> str:
        """One word: new, gone, merged, reworded, changed, or supported, when nothing but its support grew."""
        if self.before is None:
            return "new"
        if self.after is None:
            return "merged" if self.into else "gone"
        if {"text", "excerpt"} & set(self.fields):
            return "reworded"
        return "supported" if set(self.fields) <= {"support", "evidence"} else "changed"


@dataclass(frozen=True)
class Comparison:
    """All that differs, in the order of the newer file, what is gone last; `notes` when a person's own lines differ."""

    differences: tuple[Difference, ...] = ()
    notes: bool = False

    def __bool__(self) -> bool:
        return bool(self.differences) or self.notes


def compare(before: Document | None, after: Document) -> Comparison:
    """What is in the file of `after` and wasn't in that of `before`, or is otherwise, or is there no longer."""
    was = {o.fingerprint: o for o in before.observations} if before is not None else {}
    differences: list[Difference] = []
    gone: list[Difference] = []
    for o in after.observations:
        old = was.get(o.fingerprint)
        shown = old is not None and old.status not in GONE
        if o.status in GONE:
            if shown:
                gone.append(Difference(o.id, old, None, ("status",), o.merged_into))
        elif not shown:
            differences.append(Difference(o.id, None, o))
        elif old is not None and (fields := _fields(old, o)):
            differences.append(Difference(o.id, old, o, fields))
    there = {o.fingerprint for o in after.observations}
    gone += [
        Difference(o.id, o, None, ("status",))
        for o in was.values()
        if o.fingerprint not in there and o.status not in GONE
    ]
    return Comparison((*differences, *gone), (before.notes if before is not None else ()) != after.notes)


def in_words(difference: Difference) -> str:
    """What changed, in short: “reworded, now important, pinned, 2 attempts more”."""
    before, after = difference.before, difference.after
    if before is None:
        return "new"
    if after is None:
        return f"merged into {', '.join(difference.into)}" if difference.into else "gone"
    said: list[str] = []
    if {"text", "excerpt"} & set(difference.fields):
        said.append("reworded")
    if "claim" in difference.fields:
        said.append(f"now “{after.claim}”")
    if "priority" in difference.fields:
        said.append(f"now {after.priority}")
    if "status" in difference.fields and not (after.status is Status.EDITED and "reworded" in said):
        said.append(str(after.status))
    if "support" in difference.fields:
        more = len(after.attempts) - len(before.attempts)
        said.append(
            f"{abs(more)} {'attempt' if abs(more) == 1 else 'attempts'} {'more' if more > 0 else 'fewer'}"
            if more
            else "other attempts"
        )
    if "flags" in difference.fields:
        said.append(f"flagged {', '.join(after.flags)}" if after.flags else "no longer flagged")
    return ", ".join(said) or "other evidence"


def _fields(before: Observation, after: Observation) -> tuple[str, ...]:
    support = (before.attempts, before.contradicted_by) != (after.attempts, after.contradicted_by)
    different = {
        "text": before.text != after.text,
        "excerpt": before.excerpt != after.excerpt,
        "claim": before.claim != after.claim,
        "priority": before.priority != after.priority,
        "status": before.status != after.status,
        "support": support,
        "evidence": before.evidence != after.evidence,
        "flags": before.flags != after.flags,
    }
    return tuple(name for name, differs in different.items() if differs)
