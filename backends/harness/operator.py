"""The operator's commands, carried out: each once, each answered with an outcome."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from backends.harness import forking
from backends.harness.choosing import chosen, known
from backends.harness.curating import Settling, carry_out
from backends.harness.gating import ruled
from backends.harness.journal import Journal
from backends.harness.lanes import KILLED, LaneRunner, allowance
from backends.harness.planning import MOST_LANES
from backends.harness.ports import Ports
from store import commands, keys
from store.commands import PendingCommand
from store.domain.board import Lane
from store.domain.commands import (
    ChangeObservations,
    ChangePlan,
    Continue,
    EditObservations,
    Fork,
    Kill,
    Launch,
    Pause,
    Raise,
    Restart,
    Steer,
    Stop,
)
from store.domain.events import (
    ForkedFrom,
    LimitsRaised,
    Payload,
    SubagentAdded,
    SubagentContinued,
    SubagentPaused,
    SubagentRestarted,
    SubagentSteered,
)
from store.domain.ids import SubagentId
from store.domain.limits import LIMITS_RAISED, Limits, in_words, not_higher
from store.domain.safe_text import safe_line
from store.domain.states import Ending, Step, SubagentState
from store.domain.strategy import LanePlan, Strategy

STOPPED = "Stopped by the operator."
LONGEST_MESSAGE = 20_000
"""Characters of one message to a subagent: more than anybody types, and little of a context window."""


class Operator:
    """Reads the commands of a run and carries them out, oldest first."""

    def __init__(
        self,
        journal: Journal,
        ports: Ports,
        lanes: Mapping[SubagentId, LaneRunner],
        stop: Callable[[str], None],
        begin: Callable[[SubagentId], None],
    ) -> None:
        self._journal, self._ports, self._lanes, self._stop = journal, ports, lanes, stop
        self._begin = begin

    async def look(self) -> None:
        """Carry out what waits."""
        for pending in commands.pending(self._journal.store, self._journal.run):
            if self._journal.board.finished is not None:
                await self._settle(pending, False, "The run is over.")
            else:
                await self._carry_out(pending)

    async def _carry_out(self, pending: PendingCommand) -> None:
        match pending.command:
            case Launch() | ChangePlan():
                board = self._journal.board
                ruling = ruled(board, pending.command, self._ports.portfolio)
                number = board.generation.number if board.generation is not None else None
                await self._settle(pending, bool(ruling.payloads), ruling.said, ruling.payloads, generation=number)
            case Stop():
                await self._settle(pending, True, "The run is ending.")
                self._stop(STOPPED)
            case Kill():
                await self._kill(pending, self._id(pending.command))
            case Pause():
                await self._hold(pending, self._id(pending.command))
            case Continue():
                await self._go_on(pending, self._id(pending.command))
            case Steer():
                await self._steer(pending, self._id(pending.command), pending.command.text)
            case Raise():
                await self._raise(pending, self._id(pending.command), pending.command)
            case Restart():
                await self._restart(pending, self._id(pending.command), pending.command)
            case Fork():
                await self._fork(pending, pending.command)
            case EditObservations() | ChangeObservations():
                await self._curate(pending, pending.command)
            case _:
                await self._settle(pending, False, f"This engine doesn't know the command “{pending.name}”.")

    async def _kill(self, pending: PendingCommand, subagent: SubagentId) -> None:
        runner = self._lanes.get(subagent)
        if runner is None or runner.lane.ended is not None:
            await self._settle(pending, False, f"{subagent.label} does not run.")
            return
        # First the word, then the deed: should the engine die between them, the next one knows.
        await self._settle(pending, True, f"{subagent.label} is killed.")
        runner.end(Ending.KILLED, KILLED)

    async def _hold(self, pending: PendingCommand, subagent: SubagentId) -> None:
        lane = self._journal.board.lane(subagent)
        if lane is None or lane.state is not SubagentState.RUNNING:
            await self._settle(pending, False, f"{subagent.label} does not run.")
            return
        await self._settle(pending, True, f"{subagent.label} holds before its next turn.", SubagentPaused(), subagent)

    async def _go_on(self, pending: PendingCommand, subagent: SubagentId) -> None:
        lane = self._journal.board.lane(subagent)
        if lane is None or lane.state is not SubagentState.PAUSED:
            await self._settle(pending, False, f"{subagent.label} is not paused.")
            return
        await self._settle(pending, True, f"{subagent.label} goes on.", SubagentContinued(), subagent)

    async def _steer(self, pending: PendingCommand, subagent: SubagentId, text: str) -> None:
        lane = self._journal.board.lane(subagent)
        words = text.encode("utf-8", "replace").decode().strip()
        if lane is None or lane.ended is not None or lane.killed:
            await self._settle(pending, False, f"{subagent.label} does not run.")
        elif why := self._deaf(lane, words):
            await self._settle(pending, False, why)
        else:
            when = "when it goes on" if lane.state is SubagentState.PAUSED else "at its next turn"
            await self._settle(pending, True, f"{subagent.label} reads it {when}.", SubagentSteered(words), subagent)

    def _deaf(self, lane: Lane, words: str) -> str:
        """Why a subagent can't be told something; "" when it can."""
        label, agent = lane.id.label, safe_line(self._journal.board.task.agent, 60)
        if not words:
            return "There is nothing in that message."
        if len(words) > LONGEST_MESSAGE:
            return f"A message has at most {LONGEST_MESSAGE:,} characters; this one has {len(words):,}."
        if not self._ports.listens:
            return (
                f"{label} is worked by {agent}, which reads nothing while it works and keeps no conversation to go on "
                "with. Restart it with another strategy, or kill it."
            )
        if lane.plan.clean:
            return (
                f"{label} is a clean lane, the control: a message could bring to it what others found. "
                "Fork it, and steer the fork."
            )
        return self._played_alone

    @property
    def _played_alone(self) -> str:
        """Why nothing new can come of a subagent's conversation; "" when it can."""
        played = self._ports.played
        if played is None or not played.strict:
            return ""
        return f"This run is answered from the tape of run {played.run} alone, which has no answer to anything new."

    async def _raise(self, pending: PendingCommand, subagent: SubagentId, asked: Raise) -> None:
        lane = self._journal.board.lane(subagent)
        if lane is None or lane.ended is not None or lane.killed:
            await self._settle(pending, False, f"{subagent.label} does not run.")
            return
        wanted = Limits(asked.turns, asked.tokens, asked.usd, asked.seconds)
        if why := not_higher(lane.limits, wanted):
            await self._settle(pending, False, f"{subagent.label} {why}")
            return
        granted = allowance(lane, lane.model, self._ports, wanted)
        limits = in_words(lane.limits.with_own(wanted))
        payloads: list[Payload] = [LimitsRaised(wanted)]
        if self._ports.forks and not self._played_alone:
            # It plans by what its prompt says. A program of its own would have to be interrupted for that.
            payloads.append(SubagentSteered(f"{LIMITS_RAISED} For the whole attempt: at most {limits}."))
        await self._settle(
            pending,
            True,
            f"{subagent.label} may use {limits}.",
            payloads,
            subagent,
            # One that waits for its sandbox has no key yet: that will have what the board says.
            also=lambda connection: keys.allow(connection, subagent, granted),
        )

    async def _restart(self, pending: PendingCommand, subagent: SubagentId, asked: Restart) -> None:
        board = self._journal.board
        generation, lane = board.generation, board.lane(subagent)
        step = board.next_step()
        if generation is None or lane is None or subagent.generation != generation.number or generation.passed:
            await self._settle(pending, False, f"{subagent.label} is none of the generation at work.")
            return
        plan, why = self._plan(lane, asked)
        if why:
            await self._settle(pending, False, why)
        elif lane.ended is None:
            # The runner has it carried out, once it has left its work; until then the order waits.
            if (runner := self._lanes.get(subagent)) is not None:
                runner.restart(lambda: self._start_anew(pending, subagent, plan))
        elif lane.checked is not None and step is not None and step[1] is not Step.OBSERVE:
            # Before, its verdict may still be that it solved the task; and the observer reads a generation as it is.
            await self._start_anew(pending, subagent, plan)
            self._begin(subagent)

    def _plan(self, lane: Lane, asked: Restart) -> tuple[LanePlan | None, str]:
        """How a subagent is told to work when it is started anew, None for as before; or why it can't be."""
        label = lane.id.label
        if self._journal.board.stopped:
            return None, "The run is ending."
        if lane.solved:
            return None, f"{label} has solved the task. Fork it to try another way from there."
        if lane.ended is None and lane.killed:
            return None, f"{label} is killed already."
        if not asked.strategy.strip() and not asked.model.strip():
            why = (
                f"{label} could work, and be checked: only one that could not is started anew as it was. "
                "Give it another strategy."
            )
            return None, "" if lane.restartable else why
        if lane.plan.clean:
            why = f"{label} is a clean lane, the control: its strategy is the portfolio's, whatever others found."
            return None, why
        try:
            strategy = self._chosen(asked.strategy, asked.model, lane.plan.strategy)
        except ValueError as error:
            return None, str(error)
        return LanePlan(lane.plan.lane, strategy, False, "The operator started it anew with this strategy."), ""

    async def _start_anew(self, pending: PendingCommand, subagent: SubagentId, plan: LanePlan | None) -> None:
        how = f" with “{safe_line(plan.strategy.name, 60)}”" if plan is not None else ""
        await self._settle(
            pending,
            True,
            f"{subagent.label} starts anew{how}.",
            SubagentRestarted(plan),
            subagent,
            also=lambda connection: keys.revoke(connection, subagent, at=self._journal.clock()),
        )

    def _chosen(self, words: str, model: str, before: Strategy) -> Strategy:
        words = words.encode("utf-8", "replace").decode()
        return chosen(words, model, before, known(self._journal.board, self._ports.portfolio).values())

    async def _fork(self, pending: PendingCommand, asked: Fork) -> None:
        board = self._journal.board
        generation = board.generation
        if self._between() and not board.stopped:
            # It joins the next generation, which is about to be designed; or when the observer has read this one.
            return
        try:
            plan, start = await self._forked(asked)
        except ValueError as error:
            await self._settle(pending, False, str(error))
            return
        if generation is None or generation is not board.generation or self._between():
            # The loop has gone on meanwhile.
            return
        subagent = SubagentId(board.run, generation.number, plan.lane)
        source = SubagentId.parse(start.subagent).label
        await self._settle(
            pending,
            True,
            f"{subagent.label} starts with the conversation of {source}, in a new sandbox at the run's base commit: "
            "nothing that was done there is in it.",
            SubagentAdded(plan, start),
            subagent,
        )
        self._begin(subagent)

    def _between(self) -> bool:
        """The latest generation takes nobody in: the observer reads it, or it is over."""
        generation = self._journal.board.generation
        return generation is not None and (generation.passed is not None or self._observing())

    async def _forked(self, asked: Fork) -> tuple[LanePlan, ForkedFrom]:
        """The lane that a fork becomes. ValueError that says why there is none."""
        board, store = self._journal.board, self._journal.store
        if board.stopped:
            raise ValueError("The run is ending.")
        if not self._ports.forks:
            agent = safe_line(board.task.agent, 60)
            raise ValueError(
                f"The subagents of this run are worked by {agent}, which begins only with a conversation of its own. "
                "Restart one with another strategy instead."
            )
        if why := self._played_alone:
            raise ValueError(why)
        call = await asyncio.to_thread(forking.call_of, store, asked.call, board.run)
        assert call.subagent is not None
        before = board.lane(call.subagent)
        if before is None or board.generation is None:
            raise ValueError(f"Call {asked.call} is of a subagent that this run has no lane for.")
        text = None if asked.text is None else asked.text.encode("utf-8", "replace").decode()
        turn = await asyncio.to_thread(forking.turn_of, store, call.subagent, call.id)
        start = ForkedFrom(call.id, asked.node, text, str(call.subagent), turn)
        await asyncio.to_thread(forking.conversation, store, start)
        if len(board.generation.lanes) >= MOST_LANES:
            raise ValueError(f"A generation has at most {MOST_LANES} subagents.")
        strategy = self._chosen(asked.strategy, asked.model, before.plan.strategy)
        why = f"The operator forked it from {call.subagent.label}, turn {turn}{', edited' if text is not None else ''}."
        return LanePlan(max(board.generation.lanes) + 1, strategy, False, why), start

    async def _curate(self, pending: PendingCommand, order: EditObservations | ChangeObservations) -> None:
        applied, outcome = await carry_out(self._journal, self._ports.folder, order, self._settling(pending))
        if not applied:
            await self._settle(pending, False, outcome)

    def _observing(self) -> bool:
        step = self._journal.board.next_step()
        return step is not None and step[1] is Step.OBSERVE

    def _id(self, command: Kill | Pause | Continue | Steer | Raise | Restart) -> SubagentId:
        return SubagentId(self._journal.run, command.generation, command.lane)

    async def _settle(
        self,
        pending: PendingCommand,
        applied: bool,
        outcome: str,
        payload: Payload | Sequence[Payload] = (),
        subagent: SubagentId | None = None,
        generation: int | None = None,
        also: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """Answer the command and record what it did in one transaction: it takes effect once, or not at all."""
        payloads = [payload] if isinstance(payload, Payload) else payload
        settling = self._settling(pending)

        def settle(connection: Connection) -> None:
            settling(connection, applied, outcome)
            also(connection)

        await self._journal.record(*payloads, subagent=subagent, generation=generation, also=settle)

    def _settling(self, pending: PendingCommand) -> Settling:
        def settle(connection: Connection, applied: bool, outcome: str) -> None:
            commands.settle(connection, pending.id, applied=applied, outcome=outcome, at=self._journal.clock())

        return settle
