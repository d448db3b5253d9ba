"""An agent that looks at no limit: the proxy holds the lane's all the same, and its key ends with it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from backends.agents import Assignment, Outcome, Session
from backends.proxy import Prices, Proxy, Upstream, serve
from store import tapes
from store.domain.events import Alert
from store.domain.limits import Limits
from store.domain.states import Ending
from store.domain.strategy import Strategy
from tests import harnessrig
from tests.proxyrig import provided, recorded, whole

MOST = 8
PRICES = Prices({}).with_own({"mine": (10.0, 10.0)})


@dataclass
class Greedy:
    """Asks its model whatever it is told, with the key that it was given."""

    statuses: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def __call__(self, assignment: Assignment, session: Session) -> Outcome:
        self.keys.append(assignment.key)
        for _ in range(MOST):
            self.statuses.append(await ask(assignment.base_url, assignment.key, assignment.model))
        return Outcome(Ending.SUBMITTED)


async def ask(base_url: str, key: str, model: str) -> int:
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "More"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base_url}/v1/messages", json=body, headers={"x-api-key": key}) as answer,
    ):
        await answer.read()
        return answer.status


Does = Callable[[Assignment, Session], Awaitable[Outcome]]


@pytest.mark.parametrize(
    ("limits", "goes", "rule"),
    [
        (Limits(turns=3), 3, "turn limit"),
        (Limits(tokens=250), 3, "token limit"),
        (Limits(usd=0.0025), 3, "cost limit"),
    ],
)
async def test_a_lanes_limits_hold_whatever_its_agent_does(
    tmp_path: Path, limits: Limits, goes: int, rule: str
) -> None:
    message = json.loads(recorded("message.json")) | {
        "model": "mine",
        "usage": {"input_tokens": 60, "output_tokens": 40},
    }
    greedy = Greedy()
    does: Does = greedy
    async with (
        provided(whole(b"200 OK", json.dumps(message).encode())) as provider,
        harnessrig.rig(tmp_path, does, limits=limits, lanes=1, generations=1, model="mine") as made,
    ):
        proxy = Proxy(made.store, upstreams={"anthropic": Upstream(provider.base_url, "real")}, prices=PRICES)
        async with serve(proxy) as address:
            await made.finish(base_url=address.base_url, cut=proxy.cut)
            assert greedy.statuses == [200] * goes + [402] * (MOST - goes)
            assert len(provider.asked) == goes == tapes.spend(made.store, made.run).turns
            said = [event.payload for event in made.events(Alert) if isinstance(event.payload, Alert)]
            assert [alert.rule for alert in said if alert.rule == rule] == [rule, rule]
            assert any(alert.text == f"{MOST - goes} calls were refused in all" for alert in said)
            # It ended with its lane.
            assert await ask(address.base_url, greedy.keys[0], "mine") == 401


async def test_a_model_that_was_chosen_without_a_price_works_and_another_does_not(tmp_path: Path) -> None:
    greedy = Greedy()
    does: Does = greedy

    async def wanders(assignment: Assignment, session: Session) -> Outcome:
        greedy.statuses.append(await ask(assignment.base_url, assignment.key, "dearer"))
        return await does(assignment, session)

    message = json.loads(recorded("message.json")) | {"model": "local"}
    async with (
        provided(whole(b"200 OK", json.dumps(message).encode())) as provider,
        harnessrig.rig(
            tmp_path,
            wanders,
            limits=Limits(turns=50, usd=5.0),
            lanes=1,
            generations=1,
            strategies=(Strategy("one", "go on", model="local"),),
        ) as made,
    ):
        proxy = Proxy(made.store, upstreams={"anthropic": Upstream(provider.base_url, "real")}, prices=PRICES)
        async with serve(proxy) as address:
            await made.finish(base_url=address.base_url, cut=proxy.cut)
        assert greedy.statuses == [402] + [200] * MOST
        assert not tapes.spend(made.store, made.run).priced
