"""An alert as it is read: what it says, what its rule sees, and the places that it rests on."""

from typing import TYPE_CHECKING

from app import actions
from store.domain.blocks import BlockKind, blocks
from store.domain.events import Alert, Event, Reference, SubagentEnded, SubagentLaunched, ToolFinished
from store.domain.foreign import gist
from store.domain.secrets import shown_line
from store.domain.stuck import RULES
from widgets.ink import Line
from widgets.states import ALERT

if TYPE_CHECKING:
    from store.database import Store

_ORDERS = ("steer", "pause", "limits", "restart", "kill")


def lines(store: "Store", event: Event, alert: Alert) -> list[Line]:
    """All of it. StoreError."""
    rule = next((rule for rule in RULES if rule.name == alert.rule), None)
    said: list[Line] = [
        [ALERT[alert.level].span, (f"  {shown_line(alert.rule)}", "faint")],
        [(shown_line(alert.text), "strong")],
    ]
    if rule is not None:
        said += [[(f"The rule sees: {rule.sees}.", "faint")]]
    if alert.evidence:
        said += [[], [("What it rests on", "strong")], *(_place(store, event, one) for one in alert.evidence)]
    if event.subagent is not None:
        keys: Line = [("While it works  ", "faint")]
        for action in map(actions.find, _ORDERS):
            keys += [(f"{actions.key_name(action.keys[0])} ", "key"), (f"{action.title.lower()}  ", "faint")]
        said += [[], keys]
    return said


def _place(store: "Store", alert: Event, where: Reference) -> Line:
    """One place: which turn, what was done there, what came of it."""
    from store import events

    found = events.read(store, after=where.seq - 1, run=alert.run, limit=1) if where.seq else []
    line: Line = [(f"  {f'#{where.seq}':<8}", "faint")]
    match found[0].payload if found and found[0].seq == where.seq else None:
        case ToolFinished() as finished:
            did = _asked(store, where.node, finished.tool_call)
            line += [(f"turn {finished.turn:<4}", "text"), (f"› {shown_line(f'{finished.name} {did}', 80)}", "tool")]
            return [*line, (f"  {shown_line(finished.summary, 80)}", "faint" if finished.ok else "bad")]
        case SubagentLaunched():
            return [*line, ("it was launched", "text")]
        case SubagentEnded() as ended:
            return [*line, (f"it ended: {ended.ending}", "text")]
        case None:
            return [*line, ("no longer on record", "faint")]
        case payload:
            return [*line, (f"{payload.kind} {shown_line(where.call, 40)}".rstrip(), "text")]


def _asked(store: "Store", node: str, tool_call: str) -> str:
    """What a tool call was given, in a few words; "" where the tape doesn't have it."""
    from store import tapes

    try:
        message = tapes.node(store, node).message if node else {}
    except KeyError:
        return ""
    return next(
        (gist(b.name, b.input) for b in blocks(message) if b.kind is BlockKind.TOOL_CALL and b.id == tool_call), ""
    )
