"""The harness in this process, over a real store and real clones, with an agent that does what a test says."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.engines import create_run
from backends.agents import Agent, Assignment, Outcome, Progress, Session
from backends.harness.journal import Journal
from backends.harness.loop import Harness
from backends.harness.ports import Consult, Observed, Ports
from backends.harness.strategies import PORTFOLIO
from backends.sandboxes.local import LocalSandboxes
from store import commands, observations
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.commands import Command
from store.domain.events import CommandSettled, EngineStarted, Event, Payload
from store.domain.ids import SubagentId
from store.domain.observations import (
    Claim,
    Document,
    Evidence,
    Observation,
    Priority,
    Subject,
    fingerprint,
    merge,
)
from store.domain.states import Ending, RunState, Validity
from store.domain.task import Check, Task
from store.events import read
from store.home import Home
from tests.waiting import pauses

PATIENCE = 60.0
"""Seconds after which something that should have happened counts as hung."""

CHECK = '#!/bin/sh\ntest "$(cat answer)" = 42 || { echo "1 failed"; exit 1; }\n'
GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]

Work = Callable[[Assignment, Session], Awaitable[Outcome | None]]


def make_repository(folder: Path, check: str = CHECK, **files: str) -> Path:
    """A repository whose check fails until `answer` says 42."""
    folder.mkdir(parents=True)
    for name, text in {"answer": "41\n", "check": check, **files}.items():
        (folder / name).write_text(text)
    (folder / "check").chmod(0o755)
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "begin"]):
        subprocess.run([*GIT, "-C", str(folder), *arguments], check=True)
    return folder


def small_task(repository: Path, seconds: float = 30.0, **changes: object) -> Task:
    """One generation of one lane with memory, unless told otherwise."""
    plain = Task("Make it 42.", str(repository), Check("./check", seconds, ("check",)), generations=1, lanes=1)
    return replace(plain, **{"clean_lanes": 0, **changes})  # type: ignore[arg-type]


async def nothing(assignment: Assignment, session: Session) -> None:
    """Leave everything as it is."""


async def solve(assignment: Assignment, session: Session) -> None:
    """Write the answer."""
    await session.sandbox.write("answer", b"42\n")


async def hang(assignment: Assignment, session: Session) -> None:
    """Run a command that does not end, with a child of its own."""
    await session.sandbox.run("sleep 1000 & sleep 1000", seconds=1000.0)


@dataclass
class Scripted:
    """An agent that does as told, and keeps what it was given."""

    does: Work
    given: list[Assignment] = field(default_factory=list)

    async def work(self, assignment: Assignment, session: Session, progress: Progress | None = None) -> Outcome:
        self.given.append(assignment)
        return await self.does(assignment, session) or Outcome(Ending.SUBMITTED, "done")


def lesson(run: str, generation: int) -> Observation:
    """What a generation teaches here: one important observation."""
    by = SubagentId(run, generation, 1)
    return Observation(
        id="",
        fingerprint=fingerprint(Subject.EDITS, f"way {generation}"),
        subject=Subject.EDITS,
        priority=Priority.IMPORTANT,
        claim=Claim.FAILED,
        text=f"Way {generation} does not help.",
        evidence=(Evidence(by, "call", "a" * 64, 1, 0, 9, "12 broken", 3),),
        attempts=(by,),
        first=generation,
        last=generation,
    )


@dataclass(frozen=True)
class Found:
    document: Document
    judged: dict[SubagentId, tuple[Validity, str]]
    added: int = 1
    supported: int = 0


@dataclass
class Rig:
    """One run. Each `harness()` is what an engine makes of it; `observe` stands in for the observer unless
    one is given, and `observing` is called before it."""

    home: Home
    store: Store
    run: str
    agent: Agent
    validity: Validity = Validity.VALID
    observing: Callable[[], None] = lambda: None
    observer: Callable[[int, float], Observed] | None = None
    cited: Callable[[int, Document, Mapping[SubagentId, Collection[str]]], Mapping[SubagentId, Any]] | None = None

    @property
    def board(self) -> Board:
        board = Board(self.run)
        for event in self.events():
            board.apply(event)
        return board

    def events(self, *kinds: type[Payload]) -> list[Event]:
        found = read(self.store, run=self.run)
        return [event for event in found if isinstance(event.payload, kinds)] if kinds else found

    def order(self, command: Command) -> int:
        return commands.issue(self.store, self.run, command, at=time.time())

    async def answer(self, command: Command) -> tuple[bool, str]:
        """Give an order and wait for what came of it."""
        return await self.settled(self.order(command))

    async def settled(self, order: int) -> tuple[bool, str]:
        await self.until(lambda: commands.outcome(self.store, order) is not None, f"an answer to order {order}")
        answer = commands.outcome(self.store, order)
        assert answer is not None
        assert sum(e.payload.command == order for e in self.events(CommandSettled)) == 1  # type: ignore[attr-defined]
        return answer

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        for pause in pauses(condition, what, PATIENCE):
            await asyncio.sleep(pause)

    async def state(self, state: RunState) -> Board:
        await self.until(lambda: self.board.state is state, str(state))
        return self.board

    def sandboxes(self) -> LocalSandboxes:
        folder = self.home.folder(self.run)
        return LocalSandboxes(
            run=self.run, folder=folder.sandboxes, mirror=folder.mirror, environ={"PATH": "/usr/bin:/bin"}
        )

    def observe(self, generation: int, at: float) -> Observed:
        self.observing()
        if self.observer is not None:
            return self.observer(generation, at)
        document = observations.load(self.store, self.run) or Document(self.run)
        document = replace(merge(document, [lesson(self.run, generation)]), generation=generation)
        lanes = self.board.generations[generation].lanes.values()
        return Found(document, {lane.id: (self.validity, f"it was {self.validity}") for lane in lanes})

    async def engine(self, **ports: object) -> RunState:
        """What an engine does: it says that it is there, and lets the harness work."""
        journal, harness = self.harness(**ports)  # type: ignore[arg-type]
        await journal.record(EngineStarted(1, "1", ""))
        return await harness.run()

    def harness(
        self,
        *,
        base_url: str = "http://127.0.0.1:9",
        cut: Callable[[SubagentId], None] | None = None,
        able: bool = True,
        consult: Consult | None = None,
    ) -> tuple[Journal, Harness]:
        """`able` is whether the agent reads the operator's messages, and begins with another's conversation."""
        journal = Journal(self.store, self.run, time.time)
        order = journal.board.order
        assert order is not None
        ports = Ports(
            sandboxes=self.sandboxes(),
            agent=self.agent,
            observe=self.observe,
            cut=cut or (lambda subagent: None),
            base_url=base_url,
            revision=order.revision,
            portfolio=order.task.strategies or PORTFOLIO,
            folder=self.home.folder(self.run),
            cited=self.cited,
            listens=able,
            forks=able,
            consult=consult,
        )
        return journal, Harness(journal, ports)

    async def finish(self, **ports: object) -> Board:
        """Let a harness take the run to its end."""
        await asyncio.wait_for(self.engine(**ports), PATIENCE)
        return self.board

    @asynccontextmanager
    async def working(self, **ports: object) -> AsyncIterator["asyncio.Task[RunState]"]:
        """A harness at work; it is told to leave at the end of the block, if it is still there."""
        task = asyncio.create_task(self.engine(**ports))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def over(self, task: "asyncio.Task[RunState]") -> Board:
        """Wait for a harness at work to end the run."""
        await asyncio.wait_for(asyncio.shield(task), PATIENCE)
        return self.board


@asynccontextmanager
async def rig(
    path: Path,
    does: Work | Agent = nothing,
    *,
    gates_open: bool = True,
    check: str = CHECK,
    seconds: float = 30.0,
    gate_seconds: float | None = None,
    remembers: Sequence[Document] = (),
    **changes: object,
) -> AsyncIterator[Rig]:
    """A run in a home of its own. Nothing of it may be left at the end."""
    repository = make_repository(path / "theirs", check)
    home = Home(path / "home").create()
    task = small_task(repository, seconds, **changes)
    run = create_run(
        home,
        task,
        title="A test",
        seed=1,
        gates_open=gates_open,
        gate_seconds=gate_seconds,
        remembers=remembers,
    )
    with open_store(home.store) as store:
        agent = Scripted(does) if callable(does) else does
        made = Rig(home, store, run, agent)
        try:
            yield made
            assert await made.sandboxes().sweep() == 0, "processes were left over"
        finally:
            await made.sandboxes().sweep()
