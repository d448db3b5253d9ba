"""What stands on the timeline of a run: an error is what the trace calls one."""

from collections.abc import Iterable, Sequence

from app.playback.times import Kind, Mark, Times
from store.domain.events import (
    Alert,
    CallFinished,
    Event,
    GateOpened,
    GenerationDesigned,
    RunFinished,
    SubagentChecked,
    SubagentEnded,
    ToolFinished,
)
from store.domain.states import Ending
from widgets.flow import verdict, went_wrong
from widgets.states import alerted

_FAULTS = {Ending.NEVER_STARTED, Ending.PROVIDER, Ending.RATE_LIMITED, Ending.LOGIN_LOST, Ending.CRASHED}


def times_of(events: Sequence[Event], streams: Iterable[tuple[float, float]] = (), *, squeezed: bool = True) -> Times:
    """The times of a run, with its marks."""
    return Times(events, streams, squeezed=squeezed, mark=mark_of)


def mark_of(count: int, event: Event) -> Mark | None:
    """The mark of an event, None for most."""
    who = f"{event.subagent.label}: " if event.subagent is not None else ""
    match event.payload:
        case CallFinished(error=error, parent="") if error:
            return Mark(count, Kind.ERROR, f"{who}call failed: {error}")
        case ToolFinished() as payload if went_wrong(payload):
            return Mark(count, Kind.ERROR, f"{who}{payload.name}: {payload.summary or 'failed'}")
        case SubagentEnded(ending=ending, detail=detail) if ending in _FAULTS:
            return Mark(count, Kind.ERROR, f"{who}{detail or ending.value}")
        case SubagentChecked() as payload if payload.result is not None and payload.result.broken:
            return Mark(count, Kind.ERROR, f"{who}{verdict(payload)}")
        case SubagentChecked(solved=True) as payload:
            return Mark(count, Kind.SOLVED, f"{who}{verdict(payload)}")
        case Alert(text=text, level=level):
            return Mark(count, Kind.ALERT, f"{who}{alerted(level, text)}", level)
        case GenerationDesigned():
            return Mark(count, Kind.GENERATION, f"generation {event.generation} is designed")
        case GateOpened(waits=True):
            return Mark(count, Kind.GATE, f"gate after generation {event.generation}")
        case RunFinished(state=state, reason=reason):
            return Mark(count, Kind.END, f"{state.value}: {reason}")
    return None
