"""Providers that fail, seen by whole lanes: through the real proxy, with the real subagent and the real observer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backends.agents.builtin import BuiltinAgent
from backends.agents.provider import Retry
from backends.observer import observe
from backends.proxy import Prices, Proxy, Upstream, serve
from store import tapes
from store.domain.board import Board
from store.domain.limits import Limits
from store.domain.states import Ending, RunState, Validity
from store.domain.tape import Call
from tests.harnessrig import Rig, rig
from tests.played import Answer, Fault, Provider, Script, said, use

QUICK = Retry(tries=2, first=0.01)
SOLVE = Answer([said("I write it."), use("run", {"command": "echo 42 >answer"}, "t1")])
SUBMIT = Answer([use("submit", {"summary": "done"}, "t2")])


@asynccontextmanager
async def recorded(path: Path, url: str, **changes: object) -> AsyncIterator[tuple[Rig, Proxy, str]]:
    """A run of two generations behind a proxy to the provider at this address."""
    async with rig(path, BuiltinAgent(QUICK), **{"generations": 2, **changes}) as made:  # type: ignore[arg-type]
        made.observer = lambda generation, at: observe(made.store, made.run, generation, at=at)
        proxy = Proxy(made.store, upstreams={"anthropic": Upstream(url, "key")}, prices=Prices.default())
        async with serve(proxy) as address:
            yield made, proxy, address.base_url


async def played(path: Path, script: Sequence[Answer | Fault | Script], **changes: object) -> tuple[Board, list[Call]]:
    """How a run ends whose provider plays this script, and its calls."""
    async with Provider(list(script)).serving() as provider:
        return await behind(path, provider.base_url, **changes)


async def behind(path: Path, url: str, **changes: object) -> tuple[Board, list[Call]]:
    async with recorded(path, url, **changes) as (made, proxy, base_url):
        board = await made.finish(base_url=base_url, cut=proxy.cut)
        assert tapes.verify(made.store, made.run) == []
        calls = tapes.calls(made.store, run=made.run)
        assert all(call.ended is not None for call in calls)
        return board, calls


@pytest.mark.parametrize(
    ("fault", "ending", "validity", "tries"),
    [
        (Fault(401, "authentication_error", "invalid x-api-key"), Ending.PROVIDER, Validity.INFRASTRUCTURE, 1),
        (Fault(429, "rate_limit_error", "slow down", "0"), Ending.RATE_LIMITED, Validity.RATE_LIMITED, 2),
        (Fault(529, "overloaded_error", "overloaded"), Ending.PROVIDER, Validity.INFRASTRUCTURE, 2),
        (Fault(200, "overloaded_error", "overloaded"), Ending.PROVIDER, Validity.INFRASTRUCTURE, 2),
        (Answer([said("half of it")], cut=True), Ending.PROVIDER, Validity.INFRASTRUCTURE, 2),
    ],
    ids=["401", "429", "529", "error in the stream", "cut stream"],
)
async def test_a_provider_that_fails_ends_the_run_after_one_generation(
    tmp_path: Path, fault: Answer | Fault, ending: Ending, validity: Validity, tries: int
) -> None:
    board, calls = await played(tmp_path, [fault])
    lane = board.generations[1].lanes[1]
    assert lane.ended is not None
    assert (lane.ended.ending, lane.validity) == (ending, validity)
    assert board.state is RunState.FAILED
    assert board.finished is not None
    assert board.finished.reason.startswith("No subagent of generation 1 could work: ")
    assert len(calls) == tries, "each try is on the tape"
    assert all(call.error for call in calls)


async def test_a_provider_that_cannot_be_reached_ends_the_run_likewise(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        board, calls = await behind(tmp_path, f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert board.state is RunState.FAILED
    assert board.generations[1].lanes[1].validity is Validity.INFRASTRUCTURE
    assert [bool(call.error) for call in calls] == [True, True]


async def test_a_provider_that_recovers_costs_nothing_but_the_wait(tmp_path: Path) -> None:
    board, calls = await played(
        tmp_path, [Fault(529, "overloaded_error"), SOLVE, Fault(429, "rate_limit_error"), SUBMIT]
    )
    lane = board.generations[1].lanes[1]
    assert board.state is RunState.SOLVED
    assert (lane.turn, lane.answered, lane.validity) == (2, 2, Validity.VALID)
    assert [bool(call.error) for call in calls] == [True, False, True, False]


async def test_a_provider_that_never_answers_is_ended_by_the_time_limit(tmp_path: Path) -> None:
    provider = Provider([SUBMIT], hold=asyncio.Event())
    async with provider.serving():
        board, calls = await behind(tmp_path, provider.base_url, limits=Limits(seconds=1.0), generations=1)
    lane = board.generations[1].lanes[1]
    assert lane.ended is not None
    assert lane.ended.ending is Ending.TIME
    assert [call.error for call in calls] == ["the client hung up"]
    assert not lane.solved


async def test_a_turn_that_died_with_its_engine_begins_again_and_counts_once(tmp_path: Path) -> None:
    """The turn limit is two, and the engine goes while the second turn's answer is awaited."""

    def then_hang(body: dict[str, Any]) -> Answer:
        provider.hold = asyncio.Event()
        return SOLVE

    provider = Provider([then_hang, SUBMIT])
    async with (
        provider.serving(),
        recorded(tmp_path, provider.base_url, limits=Limits(turns=2)) as (made, proxy, base_url),
    ):
        engine = asyncio.create_task(made.engine(base_url=base_url, cut=proxy.cut))
        await made.until(lambda: len(provider.requests) == 2, "the second call")
        engine.cancel()
        await asyncio.wait([engine])
        assert provider.hold is not None
        provider.hold.set()
        assert made.board.generations[1].lanes[1].turn == 2
        board = await made.finish(base_url=base_url, cut=proxy.cut)
        lane = board.generations[1].lanes[1]
        assert lane.ended is not None
        assert (lane.ended.ending, lane.turn, lane.attempt) == (Ending.SUBMITTED, 2, 2)
        assert board.state is RunState.SOLVED
        second, again = (request["messages"] for request in provider.requests[1:])
        assert second == again, "the conversation goes on where it was"
