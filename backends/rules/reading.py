"""From events and tapes to the facts that the rules are told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store import blobs, tapes
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.board import Board
from store.domain.events import (
    CallFinished,
    CallStarted,
    Event,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    SubagentSteered,
    ToolFinished,
    TurnStarted,
)
from store.domain.foreign import in_our_words
from store.domain.ids import SubagentId
from store.domain.lane import Lane
from store.domain.limits import Limits, Spend
from store.domain.states import Ending
from store.domain.stuck.facts import Answered, Began, Ended, Fact, Spent, Told, Used

if TYPE_CHECKING:
    from store.database import Store
    from store.domain.tape import Call

_CUT = {"max_tokens", "length", "max_output_tokens", "MAX_TOKENS", "incomplete"}
"""How protocols say that an answer ended for its length."""
_USER = ("user", "human")


@dataclass(frozen=True)
class _Asked:
    """A tool call, and where it is on the tape."""

    call: str
    node: str
    block: Block


@dataclass
class _Tape:
    """What is remembered of one subagent's."""

    launched: int = 0
    thread_of_turn: dict[int, str] = field(default_factory=dict)
    thread_of_call: dict[str, str] = field(default_factory=dict)
    turn_of: dict[str, int] = field(default_factory=dict)
    """The last turn of each thread."""
    asked: dict[str, _Asked] = field(default_factory=dict)
    """Tool calls without a result, by the provider's id."""


class Reading:
    """Reads what each subagent did. Events are given in order."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._tapes: dict[SubagentId, _Tape] = {}

    def launched(self, subagent: SubagentId) -> int:
        """The event with which it began last."""
        return self._tapes[subagent].launched if subagent in self._tapes else 0

    def facts(self, event: Event, board: Board, lane: Lane) -> Iterator[Fact]:
        """What an event of a subagent's means to the rules; board and lane have it already."""
        tape = self._tapes.setdefault(lane.id, _Tape())
        seq, at = event.seq, event.at
        match event.payload:
            case SubagentLaunched(afresh=afresh):
                tape.launched = seq
                yield Began(seq=seq, at=at, afresh=afresh)
            case SubagentRestarted():
                self._tapes[lane.id] = _Tape(launched=seq)
                yield Began(seq=seq, at=at, afresh=True)
            case TurnStarted(turn=turn, thread=thread):
                tape.thread_of_turn[turn] = thread
                tape.turn_of[thread] = turn
            case SubagentSteered():
                yield Told(seq=seq, at=at, turn=lane.turn, operator=True)
            case CallStarted(call=call, parent="", thread=thread):
                tape.thread_of_call[call] = thread
            case CallFinished() as finished:
                if not finished.parent:
                    yield from self._answered(event, finished, tape, foreign=_foreign(board))
                if (spent := nearest(lane.limits, lane.spent(at))) is not None:
                    yield Spent(seq=seq, at=at, turn=lane.turn, call=finished.call, limit=spent[0], share=spent[1])
            case ToolFinished() as finished:
                yield self._used(event, finished, tape)
            case SubagentEnded(ending=ending, detail=detail):
                yield Ended(seq=seq, at=at, turn=lane.turn, ending=ending, detail=detail)
            case _:
                pass

    def _answered(self, event: Event, finished: CallFinished, tape: _Tape, *, foreign: bool) -> Iterator[Fact]:
        thread = tape.thread_of_call.pop(finished.call, "")
        if finished.error:
            return
        try:
            call = tapes.call(self._store, finished.call)
        except KeyError:
            return
        if call.answer is None:
            return
        turn = tape.turn_of.get(thread, 0)
        if foreign and self._prompted(call):
            # Somebody else's program: who speaks to it there is a person, or the program for one.
            yield Told(seq=event.seq, at=event.at, turn=turn, thread=thread, call=call.id)
        words: list[str] = []
        tools = 0
        for message in tapes.answers(self._store, call):
            for block in blocks(message.message):
                if block.kind is BlockKind.TEXT:
                    words.append(block.text)
                elif block.kind is BlockKind.TOOL_CALL:
                    tools += 1
                    tape.asked[block.id] = _Asked(call.id, message.node, block)
        yield Answered(
            seq=event.seq,
            at=event.at,
            turn=turn,
            thread=thread,
            call=call.id,
            node=call.answer,
            text="\n".join(words),
            tools=tools,
            # What an agent asks on the side, a title or a summary, it asks without tools.
            offered=call.tools is not None,
            cut=finished.stop_reason in _CUT,
        )

    def _used(self, event: Event, finished: ToolFinished, tape: _Tape) -> Used:
        asked = tape.asked.pop(finished.tool_call, None)
        given = asked.block.input if asked is not None and isinstance(asked.block.input, dict) else {}
        name, ours = in_our_words(finished.name, given)
        return Used(
            seq=event.seq,
            at=event.at,
            turn=finished.turn,
            thread=tape.thread_of_turn.get(finished.turn, ""),
            call=asked.call if asked is not None else "",
            node=asked.node if asked is not None else "",
            name=name,
            given=ours,
            text=self._text(finished),
            ok=finished.ok,
            tool="" if ours is given else finished.name,
        )

    def _text(self, finished: ToolFinished) -> str:
        if not finished.result:
            return finished.summary
        try:
            return blobs.get(self._store, finished.result).decode("utf-8", "replace")
        except KeyError:
            # Old runs may have let go of it.
            return finished.summary

    def _prompted(self, call: "Call") -> bool:
        """The last message of its request is somebody's words, no tool's result."""
        if call.tail is None:
            return False
        message = tapes.node(self._store, call.tail)
        return message.role in _USER and any(block.kind is BlockKind.TEXT for block in blocks(message.message))


def nearest(limits: Limits, spend: Spend) -> tuple[Ending, float] | None:
    """The limit that is used up most, and how much of it; None without a limit."""
    shares = [
        (used / most, ending)
        for used, most, ending in (
            (spend.turns, limits.turns, Ending.TURNS),
            (spend.usage.total, limits.tokens, Ending.TOKENS),
            (spend.usd, limits.usd, Ending.COST),
            (spend.seconds, limits.seconds, Ending.TIME),
        )
        if most
    ]
    share, ending = max(shares, default=(0.0, Ending.TURNS))
    return (ending, share) if shares else None


def _foreign(board: Board) -> bool:
    """The run was imported from somebody else's file."""
    return board.order is not None and bool(board.order.imported)
