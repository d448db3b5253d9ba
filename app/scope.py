"""What part of the record a command is about: all of it, a run, a subagent, or one call."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.context import find_run
from app.failure import CommandError
from store.domain.ids import SubagentId
from store.domain.tape import Call

if TYPE_CHECKING:
    from store.database import Store

_CALL = re.compile(r"[0-9a-v]{18}")
_SUBAGENT = re.compile(r"(.+)\.(\d+)\.(\d+)", re.ASCII)
_LABEL = re.compile(r"(\d+)\.(\d+)", re.ASCII)

HELP = "a run, a subagent such as RUN.2.3, or a call; without it, all runs"


@dataclass(frozen=True)
class Scope:
    """At most one of them is there; of none, it is the whole record."""

    run: str | None = None
    subagent: SubagentId | None = None
    call: Call | None = None


def scope(store: "Store", name: str | None, label: str | None = None) -> Scope:
    """What a name stands for; `label` is that of a subagent of the run. CommandError for what there is none of."""
    if name is None:
        return Scope()
    if label is not None:
        if (match := _LABEL.fullmatch(label)) is None:
            raise CommandError(f"{label!r} is no subagent: GENERATION.LANE, such as 2.3.")
        return Scope(subagent=SubagentId(find_run(store, name).id, int(match[1]), int(match[2])))
    if match := _SUBAGENT.fullmatch(name):
        return Scope(subagent=SubagentId(find_run(store, match[1]).id, int(match[2]), int(match[3])))
    if (call := _call(store, name)) is not None:
        return Scope(call=call)
    return Scope(run=find_run(store, name).id)


def one_call(store: "Store", name: str | None) -> Call:
    """The call of that name. CommandError."""
    found = _call(store, name) if name is not None else None
    if found is None:
        raise CommandError(
            "name a call: `multitrack calls RUN` lists them." if name is None else f"there is no call {name!r}."
        )
    return found


def _call(store: "Store", name: str) -> Call | None:
    from store.tapes import call

    try:
        return call(store, name)
    except KeyError:
        if _CALL.fullmatch(name):
            raise CommandError(f"there is no call {name!r}.") from None
        return None
