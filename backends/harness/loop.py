"""The loop: design, launch, watch, check, observe, gate, and again, until the run is over.

A state machine over the board: each step ends in an event, a finished one never runs again, and a new engine goes on
at the first that is not finished.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from backends.harness.curating import match_face, repeat_edits, watch_face
from backends.harness.journal import Journal, every
from backends.harness.lanes import LaneRunner
from backends.harness.operator import STOPPED, Operator
from backends.harness.planning import proposed
from backends.harness.ports import Consulted, Ports
from backends.harness.session import keep
from backends.harness.verdict import Checker, refusal
from backends.harness.writing import save_observed, write_results
from store.domain.events import (
    Alert,
    BaselineChecked,
    CheckResult,
    GateOpened,
    GatePassed,
    GenerationDesigned,
    RunFinished,
    SubagentAdded,
)
from store.domain.ids import SubagentId
from store.domain.states import Ending, RunState, Step, Validity
from store.domain.strategy import LanePlan
from store.observations import load

BASELINE_RUNS = 3
"""Times that the check runs on the unchanged code: enough to catch one that often disagrees with itself."""
TICK = 0.1
"""Seconds between two looks at commands and limits."""
CHECKS_AT_ONCE = 4


class Harness:
    """Works on one run until it is over, or until it is cancelled and another engine goes on."""

    def __init__(self, journal: Journal, ports: Ports) -> None:
        self._journal, self.ports = journal, ports
        self._board = journal.board
        self._checker = Checker(ports.sandboxes, ports.revision, self._board.task.check, self._keep)
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._lanes: dict[SubagentId, LaneRunner] = {}
        self._stopping = STOPPED if self._board.stopped else ""
        self._working: asyncio.TaskGroup | None = None
        self._operator = Operator(journal, ports, self._lanes, self.stop, self._begin)

    def stop(self, reason: str) -> None:
        """End the run: subagents are killed, their tapes still observed, the report still written."""
        if not self._stopping:
            self._stopping = reason
            for lane in self._lanes.values():
                lane.end(Ending.KILLED, reason)
            self._journal.wake()

    async def run(self) -> RunState:
        """Take the run to its end. Returns the state that it ended in."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(every(TICK, self._tick)),
                group.create_task(watch_face(self._journal, self.ports.folder)),
            ]
            try:
                await self._steps()
            finally:
                for task in beside:
                    task.cancel()
        assert self._board.finished is not None
        return self._board.finished.state

    async def _steps(self) -> None:
        if not (await self._prepare() and await self._baseline()):
            return
        # An engine that died may have left the file behind the store.
        await match_face(self._journal, self.ports.folder)
        while (step := self._board.next_step()) is not None:
            number, what = step
            if self._stopping and what in {Step.DESIGN, Step.GATE}:
                await self._finish(RunState.SOLVED if self._first_solved() else RunState.STOPPED, self._stopping)
                return
            match what:
                case Step.DESIGN:
                    # Whatever was edited at the gate, under whichever engine, counts from here on.
                    played = self.ports.played
                    if played is not None:
                        await repeat_edits(self._journal, played.run, played.told(number))
                    await match_face(self._journal, self.ports.folder)
                    plans = (played.plans(number) if played is not None else None) or self._plans(number)
                    await self._design(number, plans, played.added(number) if played is not None else ())
                case Step.LAUNCH | Step.WATCH | Step.CHECK:
                    await self._work(number)
                case Step.OBSERVE:
                    if self.ports.played is not None:
                        await repeat_edits(self._journal, self.ports.played.run, self.ports.played.observed(number))
                    await match_face(self._journal, self.ports.folder)
                    await save_observed(
                        self._journal, self.ports, number, self._consult if self.ports.consult is not None else None
                    )
                    await match_face(self._journal, self.ports.folder)
                    await write_results(self._journal, self.ports.folder)
                case Step.GATE:
                    if not await self._gate(number):
                        return

    def _plans(self, number: int) -> tuple[LanePlan, ...]:
        """The lanes of a generation: by rule, or as the operator wants them, with what is kept from whom."""
        told = self._board.tells(number)
        document = load(self._journal.store, self._board.run, told) if told else None
        return proposed(self._board, document, self.ports.portfolio)

    async def _consult(self, number: int) -> Consulted | None:
        """Ask the observer's model; None when no attempt of the generation can teach, or the run is stopped before it
        has answered."""
        assert self.ports.consult is not None
        valid = [lane.id for lane in self._board.lanes if lane.validity is Validity.VALID]
        if self._stopping or all(attempt.generation != number for attempt in valid):
            return None
        # What the rules found can be read while the model thinks.
        await match_face(self._journal, self.ports.folder)
        asking = asyncio.ensure_future(self.ports.consult(number, valid))
        return asking.result() if await self._done_before_stop(asking) else None

    async def _design(self, number: int, plans: Sequence[LanePlan], added: Sequence[SubagentAdded]) -> None:
        """Put a generation's lanes on record, those that join it later in a recorded run as well."""

        def save(connection: Connection) -> None:
            self._journal.append(connection, [GenerationDesigned(tuple(plans))], generation=number)
            for one in added:
                lane = SubagentId(self._board.run, number, one.plan.lane)
                self._journal.append(connection, [one], subagent=lane)

        await self._journal.record(also=save)

    async def _prepare(self) -> bool:
        """Make ready to make sandboxes. False when the operator ended the run first."""
        if self.ports.prepare is None:
            return True
        preparing = asyncio.ensure_future(self.ports.prepare())
        # Once there are subagents, what they left has to be checked.
        if self._board.baseline is None and not await self._done_before_stop(preparing):
            await self._finish(RunState.STOPPED, self._stopping)
            return False
        await preparing
        return True

    async def _baseline(self) -> bool:
        """Try the check on the unchanged code. False when that ended the run."""
        if self._board.baseline is None:
            trying = asyncio.ensure_future(self._try_check())
            if not await self._done_before_stop(trying):
                await self._finish(RunState.STOPPED, self._stopping)
                return False
            results = trying.result()
            refused = refusal(results, self._board.task.check)
            await self._journal.record(BaselineChecked(results, refused))
        assert self._board.baseline is not None
        if self._board.baseline.refused:
            await self._finish(RunState.FAILED, self._board.baseline.refused)
            return False
        return True

    async def _work(self, number: int) -> None:
        """Every lane of a generation as far as it goes, all at once."""
        try:
            async with asyncio.TaskGroup() as self._working:
                for lane in self._board.generations[number].lanes.values():
                    self._begin(lane.id)
        finally:
            self._working = None
            self._lanes.clear()

    def _begin(self, subagent: SubagentId) -> None:
        """Take a lane as far as it goes, while its generation is at work; otherwise the loop comes to it."""
        if self._working is None:
            self._journal.wake()
            return
        runner = LaneRunner(self._journal, self.ports, self._checker, subagent, self._checks)
        self._lanes[subagent] = runner
        if self._stopping:
            runner.end(Ending.KILLED, self._stopping)
        work = runner.run()
        try:
            self._working.create_task(work)
        except RuntimeError:
            # The last of them has just ended: the loop comes to it.
            work.close()

    async def _gate(self, number: int) -> bool:
        """Hold at the gate, or end the run where there is nothing to go on to. False when it ended."""
        generation, task = self._board.generations[number], self._board.task
        solved, last = self._first_solved(), number >= task.generations
        stalled = f"No subagent of generation {number} could work: {generation.stalled}" if generation.stalled else ""
        if solved and (last or task.stop_when_solved):
            await self._finish(RunState.SOLVED, f"Solved in generation {solved}.")
            return False
        if stalled and (last or self._board.gates_open):
            # Nobody is there to judge whether another generation would fare better.
            await self._finish(RunState.FAILED, stalled)
            return False
        if last:
            counted = "1 generation" if number == 1 else f"{number} generations"
            await self._finish(RunState.UNSOLVED, f"Not solved in {counted}.")
            return False
        if generation.gate is None:
            alerts = [Alert("stalled", stalled)] if stalled else []
            waits = not self._board.gates_open
            seconds = self._board.gate_seconds if waits else None
            await self._journal.record(*alerts, GateOpened(waits, seconds), generation=number)
        if self._board.waiting:
            await self._journal.until(
                # A lane that is started anew takes the gate back.
                lambda: generation.passed is not None or generation.gate is None or bool(self._stopping)
            )
        elif generation.passed is None:
            passed = self.ports.played.passed(number) if self.ports.played is not None else None
            told, again = (passed.told, passed.again) if passed is not None else (None, False)
            await self._journal.record(GatePassed("auto", told=told, again=again), generation=number)
        return True

    async def _finish(self, state: RunState, reason: str) -> None:
        await match_face(self._journal, self.ports.folder, last=True)
        await write_results(self._journal, self.ports.folder, ending=(state, reason))
        await self._journal.record(RunFinished(state, reason, str(self.ports.folder.report)))

    async def _tick(self) -> None:
        """Look at what came from outside: events of the recorder, commands, the clock."""
        self._journal.catch_up()
        await self._operator.look()
        now = self._journal.clock()
        generation = self._board.generation
        if self._board.waiting and generation is not None and generation.overdue(now):
            # In turn with the operator's orders, so a gate is passed once.
            await self._journal.record(GatePassed("timeout"), generation=generation.number)
        task = self._board.task
        for runner in list(self._lanes.values()):
            seconds = runner.lane.limits.seconds
            if seconds is not None and runner.lane.work.read(now) >= seconds:
                runner.end(Ending.TIME, f"{seconds:g} s of work")
        reached = task.run_limits.reached(self._board.spent(now))
        if reached is not None and not self._board.finished:
            self.stop(f"The whole run's {reached} is reached.")

    async def _try_check(self) -> tuple[CheckResult, ...]:
        async with asyncio.TaskGroup() as group:
            tries = [
                # Where no sandbox can be had, that is no fault of the check's, and the next engine tries again.
                group.create_task(self._checker.tried(f"{self._board.run}.baseline.{number}"))
                for number in range(1, BASELINE_RUNS + 1)
            ]
        return tuple(task.result() for task in tries)

    async def _done_before_stop(self, work: asyncio.Future[Any]) -> bool:
        """Wait for the work; False, and it is cancelled, when the run is stopped before it is done."""
        stopped = asyncio.ensure_future(self._journal.until(lambda: bool(self._stopping)))
        both: set[asyncio.Future[Any]] = {work, stopped}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            return work.done()
        finally:
            for future in both:
                future.cancel()
            await asyncio.wait(both)

    def _first_solved(self) -> int | None:
        solved = (
            number
            for number, generation in self._board.generations.items()
            if any(lane.solved for lane in generation.lanes.values())
        )
        return min(solved, default=None)

    async def _keep(self, text: str) -> str:
        return await keep(self._journal, text.encode("utf-8", "surrogatepass"))
