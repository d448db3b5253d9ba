"""What routed calls cost: by whose price, by whose count, and within which limits."""

from pathlib import Path
from typing import Any

import anthropic
import pytest

from backends.proxy import Prices
from store import keys, tapes
from store.domain.allowance import Allowance
from store.domain.ids import SubagentId
from store.keys import new_secret
from tests.proxyrig import SUBAGENT, recorded, streamed, whole
from tests.routesrig import Rigged, completion, routed

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
]

WHY: Any = {"role": "user", "content": "Why does the check fail?"}


async def message(client: Any, *, stream: bool, **asked: Any) -> Any:
    asked = {"max_tokens": 500, **asked}
    if not stream:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as streaming:
        return await streaming.get_final_message()


async def test_a_limit_counts_what_the_tries_used(r: Rigged) -> None:
    r.answers("openai", completion({"content": "Hello."}))
    third, secret = SubagentId(SUBAGENT.run, 2, 9), new_secret()
    r.store.write(lambda connection: keys.mint(connection, third, secret, at=1.0, allowance=Allowance(tokens=100)))
    client = r.anthropic().with_options(api_key=secret)
    asked: Any = {"stream": False, "model": "claude-by-openai", "messages": [WHY], "max_tokens": 5}
    await message(client, **asked)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await message(client, **asked)
    assert caught.value.status_code == 402 and len(r.providers["openai"].asked) == 1
    spend = tapes.spend(r.store, third)
    assert (spend.turns, spend.usage.total, spend.priced) == (1, 117, True) and spend.usd > 0


@pytest.mark.parametrize(("model", "let"), [("claude-by-openai", True), ("fallen", True), ("claude-by-ollama", False)])
async def test_money_is_that_of_those_who_may_answer(r: Rigged, model: str, let: bool) -> None:
    """The name that is asked for has no price of its own. What nobody knows the price of has no limit in money."""
    r.answers("openai", completion({"content": "Hello."}))
    lane, secret = SubagentId(SUBAGENT.run, 2, 20 + len(model) + let), new_secret()
    r.store.write(lambda connection: keys.mint(connection, lane, secret, at=1.0, allowance=Allowance(usd=0.0001)))
    client = r.anthropic().with_options(api_key=secret)
    asked: Any = {"stream": False, "model": model, "messages": [WHY], "max_tokens": 5}
    if let:
        await message(client, **asked)
    with pytest.raises(anthropic.APIStatusError, match="cost limit is reached" if let else "price") as caught:
        await message(client, **asked)
    assert caught.value.status_code in (402, 403) and len(r.calls()[0]) == let


async def test_tokens_of_a_provider_that_reports_none(r: Rigged) -> None:
    """They are counted: on the tape here, for the client by LiteLLM."""
    r.answers("openai", streamed(recorded("chat-no-usage.sse")))
    got = await message(r.anthropic(), stream=True, model="claude-by-openai", messages=[WHY])
    assert got.usage.input_tokens > 4 and got.usage.output_tokens > 0
    _, (made,) = r.both()
    assert made.usage.input > 4 and made.usage.output > 0 and made.usd
    assert made.notes[0].startswith("the provider reported no usage: its tokens were counted here")


async def test_an_operators_own_price_wins(tmp_path: Path) -> None:
    prices = Prices.default().with_own({"claude-sonnet-4-5": (1000.0, 2000.0, 500.0, 1500.0)})
    async with routed(tmp_path, prices=prices) as r:
        r.answers("anthropic", whole(b"200 OK", recorded("message.json")))
        await message(r.anthropic(), stream=False, model="renamed", messages=[WHY])
        _, (made,) = r.both()
        usage = made.usage
        tokens = usage.input * 1000 + usage.output * 2000 + usage.cache_read * 500 + usage.cache_write * 1500
        assert tokens > 10_000 and made.usd == pytest.approx(tokens / 1e6)
