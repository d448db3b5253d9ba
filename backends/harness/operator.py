"""The operator's commands, carried out: each once, each answered with an outcome."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from backends.harness.journal import Journal
from backends.harness.lanes import KILLED, LaneRunner
from backends.harness.ports import Ports
from backends.harness.writing import Settling, save_edit
from store import commands
from store.commands import PendingCommand
from store.domain.commands import Continue, EditObservations, Kill, Launch, Pause, Restart, Stop
from store.domain.events import GatePassed, Payload, SubagentContinued, SubagentPaused, SubagentRestarted
from store.domain.ids import SubagentId
from store.domain.states import Ending, Step, SubagentState

STOPPED = "Stopped by the operator."


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
        board = self._journal.board
        match pending.command:
            case Launch(rest=rest):
                generation = board.generation
                if generation is None or not board.waiting:
                    await self._settle(pending, False, "No gate is open.")
                    return
                what = "All generations that follow start." if rest else f"Generation {generation.number + 1} starts."
                await self._settle(pending, True, what, GatePassed("operator", rest), generation=generation.number)
            case Stop():
                await self._settle(pending, True, "The run is ending.")
                self._stop(STOPPED)
            case Kill():
                await self._kill(pending, self._id(pending.command))
            case Pause():
                await self._hold(pending, self._id(pending.command))
            case Continue():
                await self._go_on(pending, self._id(pending.command))
            case Restart():
                await self._restart(pending, self._id(pending.command))
            case EditObservations():
                await self._edit(pending, pending.command)
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

    async def _restart(self, pending: PendingCommand, subagent: SubagentId) -> None:
        board = self._journal.board
        generation, lane = board.generation, board.lane(subagent)
        step = board.next_step()
        if generation is None or lane is None or subagent.generation != generation.number or generation.passed:
            await self._settle(pending, False, f"{subagent.label} is none of the generation at work.")
        elif not lane.restartable:
            said = f"{subagent.label} could work, and be checked: only one that could not is started anew."
            await self._settle(pending, False, said)
        elif step is not None and step[1] is Step.OBSERVE:
            # The observer reads the generation: the order is carried out after that.
            return
        else:
            await self._settle(pending, True, f"{subagent.label} starts anew.", SubagentRestarted(), subagent)
            self._begin(subagent)

    async def _edit(self, pending: PendingCommand, edit: EditObservations) -> None:
        if self._observing():
            # It would be overwritten by what the observer adds to the version that it has read; when that is saved,
            # the edit is told that it came too late.
            return
        applied, outcome = await save_edit(
            self._journal, self._ports.folder, edit.text, edit.base, settles=self._settling(pending)
        )
        if not applied:
            await self._settle(pending, False, outcome)

    def _observing(self) -> bool:
        step = self._journal.board.next_step()
        return step is not None and step[1] is Step.OBSERVE

    def _id(self, command: Kill | Pause | Continue | Restart) -> SubagentId:
        return SubagentId(self._journal.run, command.generation, command.lane)

    async def _settle(
        self,
        pending: PendingCommand,
        applied: bool,
        outcome: str,
        payload: Payload | None = None,
        subagent: SubagentId | None = None,
        generation: int | None = None,
    ) -> None:
        """Answer the command and record what it did in one transaction: it takes effect once, or not at all."""
        payloads = [payload] if payload is not None else []
        settling = self._settling(pending)
        await self._journal.record(
            *payloads,
            subagent=subagent,
            generation=generation,
            also=lambda connection: settling(connection, applied, outcome),
        )

    def _settling(self, pending: PendingCommand) -> Settling:
        def settle(connection: Connection, applied: bool, outcome: str) -> None:
            commands.settle(connection, pending.id, applied=applied, outcome=outcome, at=self._journal.clock())

        return settle
