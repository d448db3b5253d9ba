"""The operator's word to a subagent, its limits raised, another strategy, a fork: with the real subagent, through the
real proxy, under engines that come and go."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backends.agents.builtin import BuiltinAgent
from backends.agents.prompt import FORKED, NOT_HERE, from_operator
from backends.agents.provider import Retry
from backends.observer.reading import attempts
from backends.proxy import Prices, Proxy, Upstream, serve
from store import tapes
from store.domain.board import Lane
from store.domain.commands import Command, Fork, Kill, Launch, Pause, Raise, Restart, Steer, Stop
from store.domain.events import (
    Alert,
    GenerationObserved,
    LimitsRaised,
    SubagentAdded,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    SubagentSteered,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.states import Ending, RunState, SubagentState
from tests.harnessrig import Rig, rig
from tests.played import Answer, Provider, said, use

LOOK = Answer([said("I look."), use("run", {"command": "cat answer; touch mark"}, "t1")])
SOLVE = Answer([said("I write it."), use("run", {"command": "echo 42 >answer"}, "t2")])
SUBMIT = Answer([use("submit", {"summary": "done"}, "t3")])

Brain = Callable[[dict[str, Any]], Answer]


def turn_of(body: dict[str, Any]) -> int:
    return 1 + [message["role"] for message in body["messages"]].count("assistant")


def look_then_submit(body: dict[str, Any]) -> Answer:
    """Two turns without a change, and the end."""
    return LOOK if turn_of(body) < 3 else SUBMIT


@dataclass
class Studio:
    """A run whose subagents ask a provider of ours through a proxy. `held` calls wait until `go`."""

    made: Rig
    provider: Provider
    proxy: Proxy
    base_url: str
    engines: list["asyncio.Task[RunState]"] = field(default_factory=list)

    def begin(self, *, able: bool = True) -> None:
        engine = self.made.engine(base_url=self.base_url, cut=self.proxy.cut, able=able)
        self.engines.append(asyncio.create_task(engine))

    async def leave(self) -> None:
        for engine in self.engines:
            engine.cancel()
            await asyncio.wait([engine])
            if not engine.cancelled():
                engine.result()

    async def over(self) -> None:
        await asyncio.wait_for(asyncio.shield(self.engines[-1]), 60)

    async def asked(self, calls: int) -> None:
        await self.made.until(lambda: len(self.provider.requests) >= calls, f"call {calls}")

    def go(self) -> None:
        assert self.provider.hold is not None
        hold, self.provider.hold = self.provider.hold, None
        hold.set()

    def hold(self) -> None:
        self.provider.hold = asyncio.Event()

    def lane(self, number: int = 1) -> Lane:
        return self.made.board.generations[1].lanes[number]

    def said(self, request: int) -> list[str]:
        """The texts of the last message of a request."""
        content = self.provider.requests[request]["messages"][-1]["content"]
        return [block["text"] for block in content if block["type"] == "text"]

    def times(self, text: str, request: int = -1) -> int:
        return json.dumps(self.provider.requests[request]).count(json.dumps(text)[1:-1])


@asynccontextmanager
async def studio(path: Path, brain: Brain, **changes: object) -> AsyncIterator[Studio]:
    async with (
        Provider([brain], hold=asyncio.Event()).serving() as provider,
        rig(path, BuiltinAgent(Retry(tries=2, first=0.01)), **{"gates_open": False, **changes}) as made,  # type: ignore[arg-type]
    ):
        proxy = Proxy(made.store, upstreams={"anthropic": Upstream(provider.base_url, "key")}, prices=Prices.default())
        async with serve(proxy) as address:
            here = Studio(made, provider, proxy, address.base_url)
            try:
                yield here
            finally:
                await here.leave()


# Steering.


async def test_a_message_is_read_at_the_next_turn_and_once(tmp_path: Path) -> None:
    async with studio(tmp_path, look_then_submit) as here:
        here.begin()
        await here.asked(1)
        assert await here.made.answer(Steer(1, 1, "Look at the till.")) == (True, "1.1 reads it at its next turn.")
        assert await here.made.answer(Steer(1, 1, " And the lock.\n\udcff")) == (True, "1.1 reads it at its next turn.")
        here.go()
        await here.over()
        words = [from_operator("Look at the till."), from_operator("And the lock.\n?")]
        assert [here.times("Look at the till.", request) for request in range(3)] == [0, 1, 1]
        assert here.said(1) == words, "behind the result of the turn's tool call"
        first, second = (event.seq for event in here.made.events(SubagentSteered))
        turns = [event.payload for event in here.made.events(TurnStarted)]
        assert turns == [TurnStarted(1), TurnStarted(2, told=(first, second)), TurnStarted(3)]
        assert [one.turn for one in here.lane().steering] == [2, 2]
        assert not here.made.events(Alert)
        assert tapes.verify(here.made.store, here.made.run) == []


async def test_what_is_said_before_a_subagent_is_done_keeps_it_from_submitting(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda body: SUBMIT) as here:
        here.begin()
        await here.asked(1)
        assert (await here.made.answer(Steer(1, 1, "Write 42.")))[0]
        here.go()
        await here.over()
        assert here.lane().turn == 2, "the second submission holds"
        assert "not submitted: the operator has something to say" in json.dumps(
            here.provider.requests[1]["messages"][-1]
        )
        assert here.said(1) == [from_operator("Write 42.")]


async def test_a_message_outlives_its_engine(tmp_path: Path) -> None:
    """An engine leaves before it was read, the next one after it was sent and before the answer came."""
    async with studio(tmp_path, look_then_submit) as here:
        here.begin()
        await here.asked(1)
        assert (await here.made.answer(Steer(1, 1, "Look at the till.")))[0]
        await here.leave()
        here.begin()
        await here.asked(2)
        assert here.said(1)[-1] == from_operator("Look at the till."), "the first turn begins again, and reads it"
        await here.leave()
        assert [one.turn for one in here.lane().steering] == [1]
        here.begin()
        await here.asked(3)
        assert here.said(2) == here.said(1), "nobody answered: it is told again"
        here.go()
        await here.over()
        assert here.times("Look at the till.") == 1
        assert len(here.made.events(SubagentSteered)) == 1


async def test_a_message_that_comes_too_late_is_said_to_be_unread(tmp_path: Path) -> None:
    async with studio(tmp_path, look_then_submit) as here:
        here.begin()
        await here.asked(1)
        assert (await here.made.answer(Steer(1, 1, "Look\x1b[31m at\nthe till.")))[0]
        assert (await here.made.answer(Kill(1, 1)))[0]
        await here.over()
        (alert,) = (event.payload for event in here.made.events(Alert))
        assert isinstance(alert, Alert)
        assert alert.rule == "steer"
        assert alert.text.startswith("It ended before it read what you told it: Look")
        assert "\x1b" not in alert.text
        assert (await asyncio.wait_for(here.made.state(RunState.UNSOLVED), 60)).finished


async def test_whom_nobody_can_tell_anything(tmp_path: Path) -> None:
    async with studio(tmp_path, look_then_submit, lanes=2, clean_lanes=1) as here:
        here.begin()
        await here.asked(2)
        for order, why in [
            (Steer(1, 2, "x"), "1.2 is a clean lane, the control: a message could bring to it what others found. "),
            (Steer(1, 9, "x"), "1.9 does not run."),
            (Steer(1, 1, " \n"), "There is nothing in that message."),
            (Steer(1, 1, "x" * 20_001), "A message has at most 20,000 characters; this one has 20,001."),
        ]:
            applied, outcome = await here.made.answer(order)
            assert not applied
            assert outcome.startswith(why)
        assert (await here.made.answer(Pause(1, 1)))[0]
        assert await here.made.answer(Steer(1, 1, "y")) == (True, "1.1 reads it when it goes on.")


# Limits.


async def test_raised_limits_hold_for_a_living_key_and_under_the_next_engine(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda body: LOOK, limits=Limits(turns=2, usd=5.0)) as here:
        here.begin()
        await here.asked(1)
        assert await here.made.answer(Raise(1, 1, turns=4)) == (True, "1.1 may use 4 turns and $5.00.")
        for order, why in [
            (Raise(1, 1, turns=4), "1.1 may already use 4 turns: a limit is only raised."),
            (Raise(1, 1, turns=9, usd=1.0), "1.1 may already use $5.00: a limit is only raised."),
            (Raise(1, 1, tokens=9), "1.1 has no limit of tokens that could be raised."),
            (Raise(1, 1), "1.1 was given no new limit: name turns, tokens, US dollars or seconds."),
            (Raise(1, 7, turns=9), "1.7 does not run."),
        ]:
            assert await here.made.answer(order) == (False, why)
        with here.made.store.read() as connection:
            (limits,) = connection.exec_driver_sql("SELECT limits FROM virtual_keys WHERE revoked IS NULL").scalars()
        assert (json.loads(limits)["turns"], json.loads(limits)["usd"]) == (4, 5.0)
        here.go()
        await here.asked(3)
        await here.leave()
        here.begin()
        await here.over()
        lane = here.lane()
        assert lane.ended is not None
        assert (lane.ended.ending, lane.turn) == (Ending.TURNS, 4)
        assert sum(call.complete and not call.error for call in tapes.calls(here.made.store, run=here.made.run)) == 4
        assert [event.payload for event in here.made.events(LimitsRaised)] == [LimitsRaised(Limits(turns=4))]
        assert (await asyncio.wait_for(here.made.state(RunState.UNSOLVED), 60)).finished


# Another strategy.


def by_approach(body: dict[str, Any]) -> Answer:
    """Whoever reads the history solves it; others look on."""
    if "Read the history first." not in json.dumps(body["system"]):
        return LOOK
    return SOLVE if turn_of(body) == 1 else SUBMIT


async def test_one_that_works_is_started_anew_with_another_strategy(tmp_path: Path) -> None:
    async with studio(tmp_path, by_approach, limits=Limits(turns=30)) as here:
        here.provider.hold = None
        here.begin()
        await here.made.until(lambda: bool(here.made.board.generation) and here.lane().answered > 1, "turns")
        before = here.lane()
        assert await here.made.answer(Restart(1, 1)) == (
            False,
            (
                "1.1 could work, and be checked: only one that could not is started anew as it was. "
                "Give it another strategy."
            ),
        )
        applied, outcome = await here.made.answer(Restart(1, 1, "hindsight"))
        assert not applied
        assert outcome.startswith("There is no strategy “hindsight”. Name one of “shared state first”, ")
        assert await here.made.answer(Restart(1, 1, "Read the history first.", "claude-other")) == (
            True,
            "1.1 starts anew with “Read the history first.”.",
        )
        await here.over()
        lane = here.lane()
        assert lane.solved
        assert (lane.turn, lane.attempt, lane.plan.strategy.approach) == (2, 2, "Read the history first.")
        assert lane.lost.turns >= before.answered
        assert [call.model for call in tapes.calls(here.made.store, run=here.made.run)][-1] == "claude-other"
        first, second = (event.payload for event in here.made.events(SubagentLaunched))
        assert isinstance(first, SubagentLaunched)
        assert isinstance(second, SubagentLaunched)
        assert second.afresh
        assert lane.checked is not None
        assert lane.checked.files == ("answer",), "nothing of the first attempt is left"
        assert len(here.made.events(SubagentEnded)) == 1


async def test_one_that_ended_is_started_anew_at_the_gate_and_the_gate_opens_again(tmp_path: Path) -> None:
    changes: dict[str, object] = {"limits": Limits(turns=2), "lanes": 2, "clean_lanes": 1}
    async with studio(tmp_path, by_approach, generations=2, stop_when_solved=False, **changes) as here:
        here.provider.hold = None
        here.begin()
        await here.made.state(RunState.GATE)
        applied, outcome = await here.made.answer(Restart(1, 2, "recent changes first"))
        assert (applied, outcome.partition(":")[0]) == (False, "1.2 is a clean lane, the control")
        # The next engine carries it out, too.
        await here.leave()
        order = here.made.order(Restart(1, 1, "Read the history first."))
        here.begin()
        assert (await here.made.settled(order))[0]
        await here.made.until(lambda: len(here.made.events(GenerationObserved)) == 2, "the second observation")
        await here.made.state(RunState.GATE)
        assert here.lane().solved
        assert len(here.made.events(SubagentRestarted)) == 1
        applied, outcome = await here.made.answer(Restart(1, 1, "recent changes first"))
        assert (applied, outcome) == (False, "1.1 has solved the task. Fork it to try another way from there.")


# Forks.


async def forked(here: Studio, order: Command) -> Lane:
    """Order a fork at the gate and wait until the gate opens again."""
    lanes = len(here.made.board.generations[1].lanes)
    applied, outcome = await here.made.answer(order)
    assert applied, outcome
    assert "in a new sandbox at the run's base commit" in outcome
    await here.made.until(lambda: len(here.made.events(GenerationObserved)) == lanes + 1, "the next observation")
    await here.made.state(RunState.GATE)
    return here.lane(lanes + 1)


def shape(body: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(m["role"], [b.get("text") or b["type"] for b in m["content"]]) for m in body["messages"]]


async def test_a_fork_goes_on_with_the_conversation_in_a_workspace_of_its_own(tmp_path: Path) -> None:
    async with studio(tmp_path, look_then_submit, generations=2) as here:
        here.provider.hold = None
        here.begin()
        await here.made.state(RunState.GATE)
        store, source = here.made.store, SubagentId(here.made.run, 1, 1)
        second = tapes.calls(store, subagent=source)[1]
        requests = len(here.provider.requests)
        lane = await forked(here, Fork(second.id))
        assert lane.forked_from is not None
        assert (lane.forked_from.call, lane.forked_from.turn, lane.forked_from.subagent) == (second.id, 2, str(source))
        assert lane.plan.strategy == here.lane(1).plan.strategy
        assert not lane.plan.clean
        body = here.provider.requests[requests]
        assert shape(body) == [
            ("user", ["Begin."]),
            ("assistant", ["I look.", "tool_use"]),
            ("user", ["tool_result"]),
            ("assistant", ["I look.", "tool_use"]),
            ("user", ["tool_result", FORKED]),
        ]
        assert NOT_HERE in json.dumps(body["messages"][-1])
        assert lane.turn == 1, "its turns are its own"
        own = tapes.calls(store, subagent=lane.id)
        assert len(own) == 1
        assert tapes.messages(store, own[0])[2].node == tapes.messages(store, second)[2].node, "nodes are shared"
        assert lane.checked is not None
        assert lane.checked.files == (), "what was touched in the other sandbox is not in this one"
        assert here.lane(1).checked is not None
        assert here.lane(1).checked.files == ("mark",)  # type: ignore[union-attr]
        assert tapes.verify(store, here.made.run) == []
        read = {one.subagent.lane: [step.name for step in one.steps] for one in attempts(store, here.made.run, 1)}
        assert read == {1: ["run", "run", "submit"], 2: ["submit"]}, "what it began with is not what it did"
        # Edited: the words of the first tool result are others, and the strategy is another.
        node = tapes.messages(store, second)[2].node
        requests = len(here.provider.requests)
        edited = await forked(here, Fork(second.id, node, "exit code 0\n43", "recent changes first"))
        assert edited.plan.strategy.name == "recent changes first"
        assert edited.plan.why == "The operator forked it from 1.1, turn 2, edited."
        body = here.provider.requests[requests]
        assert shape(body)[-1] == ("user", ["tool_result", FORKED])
        assert body["messages"][-1]["content"][0]["content"] == [{"type": "text", "text": "exit code 0\n43"}]
        assert len(here.made.events(SubagentAdded)) == 2
        assert (await here.made.answer(Launch()))[0]
        await here.over()
        assert len(here.made.board.generations[2].lanes) == 1, "the next generation is designed as ever"


async def test_a_fork_outlives_its_engine(tmp_path: Path) -> None:
    async with studio(tmp_path, look_then_submit, generations=2) as here:
        here.provider.hold = None
        here.begin()
        await here.made.state(RunState.GATE)
        first = tapes.calls(here.made.store, run=here.made.run)[0]
        here.hold()
        requests = len(here.provider.requests)
        assert (await here.made.answer(Fork(first.id)))[0]
        await here.asked(requests + 1)
        await here.leave()
        here.begin()
        await here.asked(requests + 2)
        begun, again = (shape(body) for body in here.provider.requests[requests : requests + 2])
        assert begun == again
        here.go()
        await here.made.until(lambda: len(here.made.events(GenerationObserved)) == 2, "the second observation")
        assert here.lane(2).state is SubagentState.UNSOLVED
        assert len(here.made.events(SubagentAdded)) == 1
        # One that is started anew begins with the conversation again.
        await here.made.state(RunState.GATE)
        assert (await here.made.answer(Restart(1, 2, "Read the history first.")))[0]
        await here.made.until(lambda: len(here.made.events(GenerationObserved)) == 3, "the third observation")
        assert shape(here.provider.requests[requests + 3]) == begun
        assert here.lane(2).forked_from is not None


async def test_what_cannot_be_forked_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with studio(tmp_path, look_then_submit, generations=2) as here:
        here.provider.hold = None
        here.begin()
        await here.made.state(RunState.GATE)
        call = tapes.calls(here.made.store, run=here.made.run)[0]
        for order, why in [
            (Fork("nothing"), "There is no call nothing."),
            (Fork(call.id, "0" * 64), f"The conversation of call {call.id} has no node {'0' * 64}."),
            (Fork(call.id, strategy="hindsight"), "There is no strategy “hindsight”. Name one of "),
        ]:
            applied, outcome = await here.made.answer(order)
            assert not applied
            assert outcome.startswith(why)
        assert (await here.made.answer(Stop()))[0]
        await here.over()


@pytest.mark.parametrize("order", [Steer(1, 1, "x"), Fork("c")])
async def test_an_agent_that_cannot_is_said_to_be_one(tmp_path: Path, order: Command) -> None:
    async with studio(tmp_path, look_then_submit, agent="aider") as here:
        here.begin(able=False)
        await here.asked(1)
        applied, outcome = await here.made.answer(order)
        assert not applied
        assert "worked by aider, which" in outcome
