"""One lane: a subagent from its launch to the harness's verdict on its patch."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from backends.agents import Assignment, Outcome, Progress
from backends.harness import forking
from backends.harness.journal import Journal
from backends.harness.ports import Ports
from backends.harness.session import LaneSession, keep
from backends.harness.verdict import Checker, could_not_run
from backends.sandboxes import Sandbox, SandboxError, size, touched, without
from store import blobs, keys, tapes
from store.database import StoreError
from store.domain.allowance import Allowance
from store.domain.board import Lane
from store.domain.events import Alert, LimitsRaised, SubagentChecked, SubagentEnded, SubagentLaunched
from store.domain.ids import SubagentId
from store.domain.limits import LIMITS_RAISED, Limits
from store.domain.observations import Injection, select
from store.domain.safe_text import safe_line
from store.domain.states import Ending
from store.domain.task import Memory
from store.observations import load

KILLED = "Killed by the operator."

log = logging.getLogger("multitrack.harness")


class LaneRunner:
    """Takes one lane as far as it goes. `limit` bounds how many checks run at once."""

    def __init__(
        self, journal: Journal, ports: Ports, checker: Checker, subagent: SubagentId, limit: asyncio.Semaphore
    ) -> None:
        self._journal, self._ports, self._checker, self._limit = journal, ports, checker, limit
        self.subagent = subagent
        self._ended_by: tuple[Ending, str] | None = None
        self._again: Callable[[], Awaitable[None]] | None = None
        """Puts on record that it begins anew, once it has left its work."""
        self._work: asyncio.Task[Outcome] | None = None
        self._sandbox: Sandbox | None = None

    @property
    def lane(self) -> Lane:
        lane = self._journal.board.lane(self.subagent)
        assert lane is not None
        return lane

    def end(self, ending: Ending, detail: str) -> None:
        """Stop the subagent's work now; its end is recorded with this cause. Nothing happens once it has ended."""
        over = self.lane.ended is not None or (self._work is not None and self._work.done())
        if self._ended_by is None and not over:
            self._ended_by = ending, detail
            if self._work is not None:
                self._work.cancel()

    def restart(self, record: Callable[[], Awaitable[None]]) -> None:
        """Leave the subagent's work, record that, and begin anew. Nothing happens once it has ended, or when it does so
        already."""
        over = self._ended_by is not None or (self._work is not None and self._work.done())
        if self.lane.ended is None and self._again is None and not over:
            self._again = record
            if self._work is not None:
                self._work.cancel()

    async def run(self) -> None:
        """Launch, work and check, less what is finished. Cancelled, it records no end: another engine goes on.

        A fault costs the lane, not the run, unless it is the store's: StoreError.
        """
        try:
            while self.lane.ended is None:
                outcome = await self._outcome()
                if self._again is None:
                    await self._record_end(outcome)
                else:
                    await self._begin_anew(self._again)
            if self.lane.checked is None:
                await self._record_verdict()
        finally:
            self._ports.cut(self.subagent)
            if self._sandbox is not None:
                await asyncio.shield(self._sandbox.interrupt())

    async def _begin_anew(self, record: Callable[[], Awaitable[None]]) -> None:
        self._ports.cut(self.subagent)
        sandbox, self._sandbox, self._work = self._sandbox, None, None
        try:
            if sandbox is not None:
                await sandbox.interrupt()
                await sandbox.close()
        except SandboxError as error:
            # It gets a new one; the run's end tries again.
            log.warning("%s", error)
        await record()
        self._again = None

    async def _outcome(self) -> Outcome:
        if self.lane.killed:
            # The order was taken by an engine that died before it was carried out.
            self.end(Ending.KILLED, KILLED)
        if self._ended_by is not None:
            return Outcome(*self._ended_by)
        played = self._ports.played
        afresh = self.lane.attempt > 0 and (
            not self.lane.sandbox or (played is not None and played.rewind(self.subagent))
        )
        try:
            sandbox = self._sandbox = await self._open(afresh=afresh)
            return await self._launch_and_work(sandbox, afresh=afresh)
        except SandboxError as error:
            return Outcome(Ending.CRASHED if self.lane.attempt else Ending.NEVER_STARTED, str(error))
        except StoreError:
            raise
        except Exception as error:
            log.warning("%s crashed", self.subagent.label, exc_info=error)
            return Outcome(Ending.CRASHED, _said(error))

    async def _launch_and_work(self, sandbox: Sandbox, *, afresh: bool) -> Outcome:
        attempt = self.lane.attempt + 1
        injection, observations = await self._memory()
        model = self.lane.plan.strategy.model or self._journal.board.task.model
        secret = keys.new_secret()
        played = self._ports.played
        # What a recorded run's limits were raised to holds for its replay from the start.
        raised = played.raised(self.subagent) if played is not None else Limits()
        granted = allowance(self.lane, model, self._ports, raised)
        launched = SubagentLaunched(
            sandbox=sandbox.handle,
            model=model,
            injected=injection.ids,
            injected_tokens=injection.tokens,
            observations=observations,
            attempt=attempt,
            afresh=afresh,
        )
        await self._journal.record(
            launched,
            *([LimitsRaised(raised)] if raised != Limits() else []),
            subagent=self.subagent,
            also=lambda connection: keys.mint(
                connection, self.subagent, secret, at=self._journal.clock(), allowance=granted
            ),
        )
        progress = self._progress() if attempt > 1 and not afresh else None
        assignment = self._assignment(injection.text, model, secret)
        self._work = asyncio.create_task(
            self._ports.agent.work(assignment, LaneSession(self._journal, self.subagent, sandbox, played), progress)
        )
        if self._ended_by is not None or self._again is not None:
            self._work.cancel()
        try:
            await asyncio.wait([self._work])
        except asyncio.CancelledError:
            # The engine leaves.
            self._work.cancel()
            await asyncio.wait([self._work])
            raise
        if self._ended_by is not None:
            return Outcome(*self._ended_by)
        return Outcome(Ending.CRASHED, "it was cancelled") if self._work.cancelled() else self._work.result()

    async def _record_end(self, outcome: Outcome) -> None:
        spend = self.lane.spent(self._journal.clock())
        ended = SubagentEnded(outcome.ending, outcome.detail, spend)
        words = [one.text for one in self.lane.unread if not one.text.startswith(LIMITS_RAISED)]
        unread = "; ".join(safe_line(text, 200) for text in words)
        await self._journal.record(
            *([Alert("steer", f"It ended before it read what you told it: {unread}")] if unread else []),
            ended,
            subagent=self.subagent,
            also=lambda connection: keys.revoke(connection, self.subagent, at=self._journal.clock()),
        )

    async def _open(self, *, afresh: bool) -> Sandbox:
        name = str(self.subagent)
        if self.lane.sandbox and not afresh:
            return await self._ports.sandboxes.reopen(name, self.lane.sandbox)
        return await self._ports.sandboxes.create(name, self._ports.revision)

    async def _memory(self) -> tuple[Injection, str]:
        """What the lane is told of earlier attempts, and the blob that keeps it."""
        store, lane, task = self._journal.store, self.lane, self._journal.board.task
        nothing = Injection("", (), 0)
        if lane.attempt > 0:
            if not lane.observations:
                return nothing, ""
            text = blobs.get(store, lane.observations).decode()
            return Injection(text, lane.injected, lane.injected_tokens), lane.observations
        if lane.plan.clean or task.memory is Memory.NONE:
            return nothing, ""
        if task.memory is Memory.SHUFFLED:
            injection = (self._ports.shuffled if self.subagent.generation > 1 else None) or nothing
        else:
            told = self._journal.board.generations[self.subagent.generation].told
            document = load(store, self.subagent.run, told) if told else None
            injection = select(document, task.injected_tokens, lane.plan.without) if document is not None else nothing
        return injection, await keep(self._journal, injection.text.encode()) if injection.text else ""

    def _assignment(self, observations: str, model: str, secret: str) -> Assignment:
        board, plan, begins = self._journal.board, self.lane.plan, self.lane.forked_from
        played = self._ports.played
        remembers = not plan.clean and board.task.memory is Memory.OWN and board.recalls(self.subagent.generation)
        return Assignment(
            subagent=self.subagent,
            goal=board.task.goal,
            check=board.task.check.command,
            protected=board.task.check.protected,
            strategy=plan.strategy,
            model=model,
            limits=(played.promised(self.subagent) if played is not None else None) or self.lane.promised,
            observations=observations,
            recall=remembers,
            tool_seconds=board.task.tool_seconds,
            base_url=self._ports.base_url,
            key=secret,
            conversation=forking.conversation(self._journal.store, begins) if begins is not None else (),
        )

    def _progress(self) -> Progress | None:
        if not self.lane.answered:
            # What is on its tape is of before it was started anew, if anything.
            return None
        store = self._journal.store
        call = tapes.last_complete(store, self.subagent)
        answer = tapes.answer(store, call) if call is not None else None
        if call is None or answer is None:
            return None
        results = {
            tool_call: (blobs.get(store, finished.result).decode("utf-8", "surrogatepass"), finished.ok)
            for tool_call, finished in self.lane.results.items()
        }
        # Other agents than the built-in one may speak another protocol, and go on with what they have kept themselves.
        said = tapes.request(store, call).get(call.conversation)
        messages = said if isinstance(said, list) else []
        return Progress(messages=messages, answer=answer.message, results=results, turn=self.lane.answered)

    async def _record_verdict(self) -> None:
        try:
            await self._check()
        except StoreError:
            raise
        except Exception as error:
            log.warning("the check of %s crashed", self.subagent.label, exc_info=error)
            checked = SubagentChecked(solved=False, patch="", result=could_not_run(_said(error)))
            await self._journal.record(Alert("check", _said(error)), checked, subagent=self.subagent)

    async def _check(self) -> None:
        """The verdict on what it left, however it ended."""
        task, lane = self._journal.board.task, self.lane
        if not lane.sandbox:
            await self._journal.record(SubagentChecked(solved=False, patch=""), subagent=self.subagent)
            return
        try:
            sandbox = self._sandbox or await self._ports.sandboxes.reopen(str(self.subagent), lane.sandbox)
            await sandbox.interrupt()
            patch, left_out = without(await sandbox.patch(), task.check.protected)
        except SandboxError as error:
            # Nobody knows what it has changed: that is no verdict on it.
            checked = SubagentChecked(
                solved=False, patch="", result=could_not_run(f"its patch could not be taken: {error}")
            )
            alert = Alert("patch", f"Its patch could not be taken: {error}")
            await self._journal.record(alert, checked, subagent=self.subagent)
            return
        alerts = [Alert("protected", f"Changes to protected files left out: {', '.join(left_out)}")] if left_out else []
        insertions, deletions = size(patch)
        result = None
        if patch:
            async with self._limit:
                result = await self._checker.run(f"{self.subagent}.check", patch)
                if result.passed and not (again := await self._checker.run(f"{self.subagent}.again", patch)).passed:
                    alerts.append(Alert("flaky", "The check passed, then failed, on the same patch."))
                    result = again
        checked = SubagentChecked(
            solved=result is not None and result.passed,
            patch=await keep(self._journal, patch) if patch else "",
            files=tuple(touched(patch)),
            insertions=insertions,
            deletions=deletions,
            left_out=tuple(left_out),
            result=result,
        )
        await self._journal.record(*alerts, checked, subagent=self.subagent)
        self._sandbox = None
        try:
            await sandbox.close()
        except SandboxError as error:
            # The verdict is in; the run's end tries again.
            log.warning("%s", error)


def allowance(lane: Lane, model: str, ports: Ports, raised: Limits | None = None) -> Allowance:
    """What the lane's key may use, for the proxy holds the limits too: an agent of somebody else's need not look at
    them. `raised` are those that are about to stand in the place of its own. A tape's answers are free."""
    if ports.played is not None and ports.played.strict:
        return Allowance()
    return Allowance.of(lane.limits.with_own(raised or Limits()), model).beyond(lane.lost)


def _said(error: Exception) -> str:
    return safe_line(f"{type(error).__name__}: {error}", 400)
