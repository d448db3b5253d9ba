"""An agent that is a program of its own, at work in its sandbox: started, followed, held to its limits, and ended."""

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backends.agents import Assignment, Outcome, Progress, Session
from backends.agents.commands.declaration import Declaration
from backends.agents.commands.ending import KILLED, outcome
from backends.agents.commands.following import Following
from backends.agents.commands.printing import Printed
from backends.agents.commands.telling import AGAIN, FILES, FOLDER, message, prompt, texts
from backends.sandboxes import Inhabitable, Program, SandboxError
from store.domain.allowance import Bound
from store.domain.events import ProgramSaid
from store.domain.ids import OBSERVER, SubagentId
from store.domain.safe_text import safe_line
from store.domain.states import Ending

if TYPE_CHECKING:
    from store.database import Store

LOOK = 0.2
"""Seconds between two looks at the tape: nothing waits for them but what is shown."""
GRACE = 10.0
"""Seconds that a program has to end by itself when it has reached a limit."""
SETTLE = 1.0
"""Seconds that a program has before it is ended to hear something: it keeps its conversation a moment later than it
acts."""
CLEAR_SECONDS = 30.0
"""The most that clearing up behind a program may take."""

_OF_ITSELF = {Ending.SUBMITTED, Ending.SILENT}
_ENDED = "this subagent has ended"
_LIMITS = {Bound.TURNS, Bound.TOKENS, Bound.COST}
_PROMPTS = "".join(f'MULTITRACK_{name.upper()}="$HOME/{FOLDER}/{file}"; ' for name, file in FILES.items())
_BEGIN = f"exec 2>&1 </dev/null; {_PROMPTS}export {' '.join(f'MULTITRACK_{name.upper()}' for name in FILES)}; "
_DELIVER = f'umask 077; mkdir -p "$HOME/{FOLDER}" && head -c "$1" >"$HOME/{FOLDER}/$2"'
"""A program's input has no end of its own, so the shell is told how much there is."""


class CommandAgent:
    """Runs one declared agent for every subagent. The proxy asks `before_turn` before each model call of theirs."""

    def __init__(self, declaration: Declaration, store: "Store") -> None:
        self._declaration, self._store = declaration, store
        self._works: dict[SubagentId, _Work] = {}

    def warm_up(self) -> None:
        """Nothing here is slow to import."""

    async def before_turn(self, subagent: SubagentId, thread: str, body: bytes) -> str:
        """Hold a subagent's model call while the subagent is paused, and put its turn on record; why the call may not
        go out, "" when it may."""
        work = self._works.get(subagent)
        if work is None:
            # What the observer's model is asked is nobody's turn.
            return "" if subagent.lane == OBSERVER else _ENDED
        return await work.before_turn(thread, body)

    async def work(self, assignment: Assignment, session: Session, progress: Progress | None = None) -> Outcome:
        """See `Agent.work`."""
        sandbox = session.sandbox
        if not isinstance(sandbox, Inhabitable):
            return Outcome(Ending.NEVER_STARTED, "no agent can live in this kind of sandbox")
        work = _Work(self._declaration, self._store, assignment, session, sandbox)
        self._works[assignment.subagent] = work
        try:
            port = urlsplit(assignment.base_url).port
            assert port is not None
            async with sandbox.reach(port) as url:
                return await work.run(url, progress)
        except SandboxError as error:
            return Outcome(Ending.CRASHED if work.started else Ending.NEVER_STARTED, str(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong costs this attempt, not the run
            return Outcome(Ending.CRASHED, safe_line(f"{type(error).__name__}: {error}", 400))
        finally:
            work.end()
            del self._works[assignment.subagent]


class _Work:
    """One subagent at work."""

    def __init__(
        self, declaration: Declaration, store: "Store", assignment: Assignment, session: Session, sandbox: Inhabitable
    ) -> None:
        self._declaration, self._assignment, self._session = declaration, assignment, session
        self._sandbox = sandbox
        self._following = Following(store, assignment.subagent, session)
        self.started = False
        """Its program was."""
        self._limit: Ending | None = None
        self._limited = asyncio.Event()
        self._over = asyncio.Event()
        self._gone = asyncio.Event()
        """The process that ran has ended."""
        self._called = asyncio.Event()
        """The operator has something to say to it, which it can only be told between two processes."""
        self._delivered = 0
        """How many messages of the operator's the process that runs was started with."""

    @property
    def began(self) -> bool:
        """It has made a model call."""
        return self._following.seen.calls > 0

    async def before_turn(self, thread: str, body: bytes) -> str:
        asking = asyncio.create_task(self._session.before_turn())
        ending = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait([asking, ending], return_when=asyncio.FIRST_COMPLETED)
            if self._over.is_set():
                return _ENDED
            if (limit := self._limit or asking.result()) is not None:
                self._reached(limit)
                return f"the {limit} of this subagent is reached"
            if self._listens and self._following.is_own(thread) and len(self._session.unread()) > self._delivered:
                self._called.set()
                await self._gone.wait()
                return _ENDED
            reads, self._delivered = self._delivered, 0
            await self._following.turn(thread, body, reads=reads)
            return ""
        finally:
            asking.cancel()
            ending.cancel()

    @property
    def _listens(self) -> bool:
        """It keeps its conversation, so that another process of it can go on with a message."""
        return bool(self._declaration.again)

    def end(self) -> None:
        """Hold and let out no more calls."""
        self._over.set()

    async def run(self, url: str, progress: Progress | None) -> Outcome:
        declared, assignment = self._declaration, self._assignment
        await self._following.begin()
        variables = declared.variables(assignment.model, url, assignment.key) | texts(assignment)
        await self._deliver(FILES["again"], AGAIN)
        goes_on = progress is not None and bool(declared.again)
        begun = progress is not None
        try:
            if goes_on:
                ended = await self._try(declared.script(again=True), variables)
                # Where the agent kept nothing that it could go on with, it begins anew.
                if self.began or self._limit is not None or ended.ending is not Ending.NEVER_STARTED:
                    return await self._tell_on(ended, variables)
            words = self._session.unread()
            self._delivered = len(words)
            told = prompt(assignment, begun=begun) + (f"\n# From the operator\n{message(words)}" if words else "")
            await self._deliver(FILES["prompt"], told)
            return await self._tell_on(await self._try(declared.script(), variables), variables)
        finally:
            await self._clear_up()

    async def _tell_on(self, ended: Outcome, variables: dict[str, str]) -> Outcome:
        """Let another process of it go on with what the operator says, for as long as there is something; how the last
        one ended."""
        while self._listens and self._limit is None and (words := self._session.unread()):
            if not self._called.is_set() and ended.ending not in _OF_ITSELF:
                break
            calls = self._following.seen.calls
            self._called.clear()
            self._delivered = len(words)
            await self._deliver(FILES["again"], message(words))
            ended = await self._try(self._declaration.script(again=True), variables)
            if self._following.seen.calls == calls and not self._called.is_set():
                break
        return ended

    async def _try(self, script: str, variables: dict[str, str]) -> Outcome:
        """Run the agent's command to its end."""
        program = await self._sandbox.stream(["/bin/sh", "-c", _BEGIN + script], environment=variables)
        self.started = True
        printed, self._gone = Printed(), asyncio.Event()
        tasks = [
            asyncio.create_task(work)
            for work in (self._listen(program, printed), self._watch(printed), self._hold(program))
        ]
        try:
            code = await self._ended(program, tasks)
            # What it printed last may still be on its way.
            await asyncio.wait(tasks[:1], timeout=2)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.shield(program.kill())
            self._gone.set()
        await self._following.catch_up()
        await self._tell(printed)
        self._look_at_alerts()
        ran_out = await self._sandbox.ran_out() if code == KILLED and self._limit is None else ""
        return outcome(code, printed.end, self._following.seen, self._limit, ran_out)

    async def _ended(self, program: Program, tasks: "list[asyncio.Task[None]]") -> int:
        """Its exit code. A fault of ours in following it ends it too."""
        ending = asyncio.create_task(program.ended())
        try:
            await asyncio.wait([ending, *tasks[1:]], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks[1:]:
                if task.done() and not ending.done():
                    task.result()
            return await ending
        finally:
            ending.cancel()
            await asyncio.wait([ending])

    async def _listen(self, program: Program, printed: Printed) -> None:
        while data := await program.output.read(64 * 1024):
            printed.add(data)

    async def _watch(self, printed: Printed) -> None:
        """Follow its tape, and tell what it prints that is not on it."""
        while True:
            await asyncio.sleep(LOOK)
            await self._following.catch_up()
            self._look_at_alerts()
            await self._tell(printed)

    async def _hold(self, program: Program) -> None:
        """End it when it has reached a limit and doesn't end by itself, or when it is to hear something."""
        limited, called = (asyncio.create_task(one.wait()) for one in (self._limited, self._called))
        try:
            await asyncio.wait([limited, called], return_when=asyncio.FIRST_COMPLETED)
            if not self._called.is_set():
                await asyncio.wait([called], timeout=GRACE)
            else:
                await asyncio.sleep(SETTLE)
        finally:
            limited.cancel()
            called.cancel()
        await program.kill()

    async def _tell(self, printed: Printed) -> None:
        lines, left_out = printed.news()
        if lines and not (self._declaration.quiet and self.began):
            await self._session.record(ProgramSaid(lines, left_out))

    def _look_at_alerts(self) -> None:
        """The proxy refuses what goes beyond a limit; whether that is all that the subagent has, its spending says: a
        single model without a price is no end."""
        if self._limit is None and self._following.alerts & _LIMITS:
            reached = self._session.limits().reached(self._session.spend())
            if reached is not None:
                self._reached(reached)
            self._following.alerts -= _LIMITS

    def _reached(self, ending: Ending) -> None:
        self._limit = ending
        self._limited.set()

    async def _deliver(self, name: str, text: str) -> None:
        """Write one of our files into the agent's home."""
        data = text.encode("utf-8", "replace")
        program = await self._sandbox.stream(["/bin/sh", "-c", _DELIVER, "deliver", str(len(data)), name])
        try:
            with contextlib.suppress(ConnectionError):
                await program.write(data)
            code = await program.ended()
        finally:
            await program.kill()
        if code:
            said = safe_line(program.said.decode(errors="replace"), 300)
            raise SandboxError(f"the agent's prompt could not be written in the sandbox: {said or f'exit code {code}'}")

    async def _clear_up(self) -> None:
        """Take away what the agent leaves in the clone for itself."""
        if self._declaration.leavings:
            patterns = " ".join(self._declaration.leavings)
            with contextlib.suppress(SandboxError):
                await asyncio.shield(self._session.sandbox.run(f"rm -rf {patterns}", seconds=CLEAR_SECONDS))
