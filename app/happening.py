"""An event as people read it: what it is called, and what it says."""

from collections.abc import Sequence

from app.callnodes import pairs
from store.domain.codec import encode_payload
from store.domain.events import (
    Alert,
    CallFinished,
    Payload,
    RunFinished,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    SubagentSteered,
    ToolFinished,
)
from store.domain.secrets import shown_line
from store.domain.states import COULD_NOT_WORK
from widgets import paint, words
from widgets.ink import Line
from widgets.states import RUN


def called(payload: Payload) -> str:
    """What kind of thing happened, in a word or two."""
    match payload:
        case RunFinished():
            return "end of the run"
        case SubagentEnded():
            return "end"
        case SubagentChecked():
            return "verdict"
        case SubagentSteered():
            return "told by the operator"
        case SubagentRestarted():
            return "begins anew"
        case SubagentLaunched():
            return "goes on under another engine"
        case Alert():
            return "alert"
        case CallFinished():
            return "call"
        case ToolFinished():
            return f"turn {payload.turn} · {shown_line(payload.name, 40)} · result"
    return payload.kind


def lines(payload: Payload) -> Sequence[Line]:
    """What it says; of a kind that has no words of its own, its members."""
    match payload:
        case RunFinished():
            return [[RUN[payload.state].span], [], *paint.prose(payload.reason), *pairs(("report", payload.report))]
        case SubagentEnded(ending=ending, spend=spend):
            head: Line = [(ending.value, "bad" if ending in COULD_NOT_WORK else "strong")]
            used = pairs(
                ("turns", str(spend.turns)),
                ("tokens", words.tokens(spend.tokens)),
                ("cost", words.money(spend)),
                ("worked for", words.duration(spend.seconds)),
            )
            return [head, [], *paint.prose(payload.detail), [], *used]
        case SubagentSteered():
            return [[("It reads this with the turn that begins next.", "faint")], [], *paint.prose(payload.text)]
        case SubagentRestarted():
            plan = payload.plan
            other = pairs(("strategy", plan.strategy.name), ("approach", plan.strategy.approach)) if plan else []
            return [[("What it did until here doesn't count.", "text")], [], *other]
        case SubagentLaunched():
            return pairs(("attempt", str(payload.attempt)), ("model", payload.model), ("sandbox", payload.sandbox))
    kind, data = encode_payload(payload)
    return [[(kind, "strong")], *paint.as_json(data)]
