"""A key's limits, over the wire: held before a call goes out, said in the provider's words, and on the log."""

import asyncio
import json
from pathlib import Path

import anthropic
import pytest

from backends.proxy import Proxy, Upstream, serve
from backends.proxy.budget import is_unclear
from store import events, keys, tapes
from store.domain.allowance import Allowance, Bound
from store.domain.events import Alert
from store.domain.ids import SubagentId
from tests.proxyrig import (
    ASK,
    JSON,
    PRICES,
    STREAM,
    SUBAGENT,
    Asked,
    Client,
    Rig,
    chunk,
    fixed,
    mint,
    prepared,
    provided,
    recorded,
    rig,
    streamed,
    until,
    whole,
)

LIMITED = SubagentId(SUBAGENT.run, 3, 1)
SECRET = "mt-limited"
HEADERS = f"x-api-key: {SECRET}\r\n"
TEXT = recorded("text.sse")
"""412 tokens in and 1536 from the cache, 58 out, of claude-sonnet-4-5."""
USED, COST = 2006, 1948 * 3e-6 + 58 * 15e-6


def alerts(r: Rig) -> list[Alert]:
    return [event.payload for event in events.read(r.store) if isinstance(event.payload, Alert)]


async def ask(r: Rig, body: bytes = ASK, **request: str) -> tuple[int, dict[bytes, bytes], bytes]:
    client = await r.client()
    await client.ask(**{"headers": HEADERS, **request}, body=body)
    status, headers, answer, _ = await client.answer()
    return status, dict(headers), answer


def asking(**members: object) -> bytes:
    return json.dumps({**json.loads(ASK), **members}).encode()


@pytest.mark.parametrize(
    ("allowance", "calls", "bound", "said"),
    [
        (Allowance(turns=2), 2, Bound.TURNS, "2 of 2 turns"),
        (Allowance(tokens=USED + 1), 2, Bound.TOKENS, "4,012 of 2,007 tokens"),
        (Allowance(usd=COST * 1.5), 2, Bound.COST, "$0.01 of $0.01"),
        (Allowance(calls=1), 1, Bound.CALLS, "1 of 1 calls"),
        (Allowance(tokens=0), 0, Bound.TOKENS, "0 of 0 tokens"),
    ],
)
async def test_a_limit_that_is_reached_keeps_calls_from_going_out(
    tmp_path: Path, allowance: Allowance, calls: int, bound: Bound, said: str
) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:
        mint(r, LIMITED, SECRET, allowance)
        for _ in range(calls):
            assert (await ask(r))[0] == 200
        for _ in range(12):
            status, headers, body = await ask(r)
            assert (status, headers[b"x-should-retry"]) == (402, b"false")
            error = json.loads(body)["error"]
            assert error["type"] == "billing_error" and said in error["message"]
        # What asks no model is refused as well, once something is used up.
        assert (await ask(r, b"", method="GET", path="/v1/models"))[0] == 402
        assert len(r.provider.asked) == len(r.calls()) == calls
        assert [alert.rule for alert in alerts(r)] == [bound, bound]
        assert said in alerts(r)[0].text and alerts(r)[1].text.endswith("(10 calls refused so far)")
        assert r.proxy.admission.refused(LIMITED) == {bound: 13}
        r.proxy.cut(LIMITED)
        await until(lambda: True if len(alerts(r)) == 3 else None)
        assert alerts(r)[2] == Alert(bound, "13 calls were refused in all")


async def test_what_was_used_outlives_the_engine(tmp_path: Path) -> None:
    async with provided(streamed(TEXT)) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            allowance = Allowance(turns=2, rate=2)
            store.write(lambda connection: keys.mint(connection, LIMITED, SECRET, at=1.0, allowance=allowance))
            statuses: list[int] = []
            now = 1000.0
            for _ in range(3):
                proxy = Proxy(store, upstreams={"a": Upstream(provider.base_url)}, clock=lambda: now, prices=PRICES)
                async with serve(proxy) as address:
                    client = Client(*await asyncio.open_connection(address.host, address.port))
                    await client.ask(headers=HEADERS)
                    statuses.append((await client.answer())[0])
                    client.close()
            assert statuses == [200, 200, 402]
            # Another key of the same subagent's is no way around it, nor one that the limits were taken off.
            used = keys.used(store, LIMITED, at=now)
            assert (used.turns, used.tokens, used.calls, list(used.begun)) == (2, 2 * USED, 2, [now, now])
            assert used.usd == pytest.approx(2 * COST)
            assert not keys.used(store, LIMITED, at=now + 60.0).begun


async def test_calls_at_once_cannot_slip_under_a_cost_limit(tmp_path: Path) -> None:
    """Thirty calls that may cost a cent each come together; a limit of five cents lets no more than five out."""
    release = asyncio.Event()
    output = 1000
    message = json.loads(recorded("message.json"))
    message["usage"] = {"input_tokens": 10, "output_tokens": output}

    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await whole(b"200 OK", json.dumps(message).encode())(asked, writer)

    async with rig(tmp_path, thinks) as r:
        price = output * 15e-6
        limit = 5 * price
        mint(r, LIMITED, SECRET, Allowance(usd=limit))
        body = asking(max_tokens=output, stream=False)
        asking_all = [asyncio.create_task(ask(r, body)) for _ in range(30)]
        # Whoever is not let out is told so while the others wait for their answers.
        await until(lambda: True if sum(task.done() for task in asking_all) + len(r.provider.asked) == 30 else None)
        release.set()
        answers = await asyncio.gather(*asking_all)
        refused = [answer for answer in answers if answer[0] != 200]
        for status, headers, said in refused:
            assert status == 429 and headers[b"retry-after"] == b"1" and b"under way" in said
            assert b"x-should-retry" not in headers
        assert len(r.provider.asked) == 5 == len(answers) - len(refused)
        assert tapes.spend(r.store, LIMITED).usd <= limit + price
        # One after the other, they go on until the limit is reached.
        assert [(await ask(r, body))[0] for _ in range(3)] == [402, 402, 402]
        assert [alert.rule for alert in alerts(r)].count(Bound.COST) == 2


async def test_calls_at_once_cannot_slip_under_a_turn_or_call_limit(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:
        for allowance, secret, lane in ((Allowance(turns=3), "mt-turns", 2), (Allowance(calls=3), "mt-calls", 3)):
            before = len(r.provider.asked)
            mint(r, SubagentId(SUBAGENT.run, 3, lane), secret, allowance)
            answers = await asyncio.gather(*(ask(r, headers=f"x-api-key: {secret}\r\n") for _ in range(20)))
            assert len(r.provider.asked) - before == 3 == sum(status == 200 for status, _, _ in answers)


async def test_a_rate_is_held_by_the_clock(tmp_path: Path) -> None:
    async with provided(streamed(TEXT)) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            store.write(lambda connection: keys.mint(connection, LIMITED, SECRET, at=1.0, allowance=Allowance(rate=2)))
            now = 1000.0
            proxy = Proxy(store, upstreams={"a": Upstream(provider.base_url)}, clock=lambda: now)
            async with serve(proxy) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                said = []
                for at in (1000.0, 1010.0, 1020.5, 1059.9, 1060.0, 1061.0):
                    now = at
                    await client.ask(headers=HEADERS)
                    status, headers, _, _ = await client.answer()
                    said.append((status, dict(headers).get(b"retry-after")))
                client.close()
            assert said == [(200, None), (200, None), (429, b"40"), (429, b"1"), (200, None), (429, b"9")]


async def test_an_sdk_waits_for_a_rate_and_gives_up_at_a_limit(tmp_path: Path) -> None:
    """Real retries: those of the provider's own SDK."""
    async with provided(whole(b"200 OK", recorded("message.json"))) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            allowance = Allowance(rate=1, turns=2)
            store.write(lambda connection: keys.mint(connection, LIMITED, SECRET, at=1.0, allowance=allowance))
            ticks = iter(range(1000, 10_000, 30))
            proxy = Proxy(
                store,
                upstreams={"anthropic": Upstream(provider.base_url)},
                clock=lambda: float(next(ticks)),
                prices=PRICES,
            )
            async with serve(proxy) as address:
                sdk = anthropic.AsyncAnthropic(base_url=address.base_url, api_key=SECRET, max_retries=5)
                async with sdk:
                    for _ in range(2):
                        await sdk.messages.create(
                            model="claude-x", max_tokens=10, messages=[{"role": "user", "content": "Why?"}]
                        )
                    refused = proxy.admission.refused(LIMITED)
                    with pytest.raises(anthropic.APIStatusError) as error:
                        await sdk.messages.create(
                            model="claude-x", max_tokens=10, messages=[{"role": "user", "content": "Why?"}]
                        )
                    assert error.value.status_code == 402
                    # Not once more than it was told to.
                    assert proxy.admission.refused(LIMITED) == {**refused, Bound.TURNS: 1}
            assert len(provider.asked) == 2


@pytest.mark.parametrize(
    ("body", "goes"),
    [
        (asking(model="claude-sonnet-4-5"), True),
        (asking(model="claude-opus-4-5"), False),
        (asking(model=None), False),
        (asking(model=["claude-sonnet-4-5"]), False),
        (ASK[:-1] + b',"model":"claude-opus-4-5"}', False),
        (b'{"model":"claude-opus-4-5",' + ASK[1:], False),
        (b'{"MODEL":"claude-opus-4-5",' + ASK[1:], False),
        (b'{"mod\\u0065l":"claude-opus-4-5",' + ASK[1:], False),
        (ASK[:-1] + b',"metadata":{"model":"claude-opus-4-5"}}', True),
        (b"not JSON", False),
        (b"\xef\xbb\xbf" + ASK, False),
        (ASK.decode().encode("utf-16"), False),
    ],
)
async def test_only_the_models_that_are_named_are_reached(tmp_path: Path, body: bytes, goes: bool) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:
        mint(r, LIMITED, SECRET, Allowance(models=("claude-sonnet-*",)))
        status, headers, said = await ask(r, body)
        assert (status == 200) is goes and len(r.provider.asked) == goes
        if not goes:
            assert status == 403 and headers[b"x-should-retry"] == b"false"
            assert json.loads(said)["error"]["type"] == "permission_error"
            assert alerts(r)[0].rule == Bound.MODELS


async def test_a_compressed_body_hides_no_model(tmp_path: Path) -> None:
    import gzip

    async with rig(tmp_path, streamed(TEXT)) as r:
        mint(r, LIMITED, SECRET, Allowance(models=("claude-sonnet-*",)))
        for body, encoding in (
            (gzip.compress(asking(model="claude-opus-4-5")), "gzip"),
            (asking(model="claude-opus-4-5"), "x-unknown"),
            (ASK, "x-unknown"),
        ):
            headers = f"{HEADERS}content-encoding: {encoding}\r\n"
            assert (await ask(r, body, headers=headers))[0] == 403
        headers = f"{HEADERS}content-encoding: gzip\r\n"
        assert (await ask(r, gzip.compress(ASK), headers=headers))[0] == 200


async def test_a_limited_key_does_what_can_be_measured(tmp_path: Path) -> None:
    """And no more: who has the operator's real key behind a virtual one could else spend by other ways, or delete."""
    async with rig(tmp_path, whole(b"200 OK", b"{}")) as r:
        mint(r, LIMITED, SECRET, Allowance(usd=1.0))
        for method, path, goes in (
            ("GET", "/v1/models", True),
            ("POST", "/v1/messages/count_tokens", True),
            ("POST", "/v1/messages/batches", False),
            ("DELETE", "/v1/files/file_1", False),
            ("POST", "/v1/files", False),
            ("POST", "/v1/complete", False),
        ):
            before = len(r.provider.asked)
            client = await r.client()
            await client.ask(method, path, headers=HEADERS, body=b"" if method != "POST" else ASK)
            status = int((await client.head()).split()[1])
            assert (status == 200, len(r.provider.asked) - before) == (goes, goes), path
            assert goes or status == 403


async def test_embeddings_are_measured_and_no_turn(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("embeddings.json")), protocol="openai") as r:
        mint(r, LIMITED, SECRET, Allowance(tokens=5, turns=1, models=("embedder",)))
        body = b'{"model":"embedder","input":"x"}'
        assert (await ask(r, body.replace(b"embedder", b"other"), path="/v1/embeddings"))[0] == 403
        assert (await ask(r, body, path="/v1/embeddings"))[0] == 200
        used = keys.used(r.store, LIMITED, at=1.0)
        assert (used.turns, used.tokens) == (0, 8)
        status, _, said = await ask(r, body, path="/v1/embeddings")
        assert status == 402 and b"8 of 5 tokens" in said


async def test_a_model_without_a_price_under_a_cost_limit(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:
        mint(r, LIMITED, SECRET, Allowance(usd=1.0, unpriced=("mine-*",)))
        status, _, said = await ask(r, asking(model="unheard-of"))
        assert status == 402 and b"price" in said and b"unheard-of" in said
        assert (await ask(r, asking(model="mine-1")))[0] == 200
        assert alerts(r)[0].rule == Bound.COST


@pytest.mark.parametrize("ending", ["hangs up", "no usage"])
async def test_an_answer_without_a_report_is_counted_by_an_estimate(tmp_path: Path, ending: str) -> None:
    """A client that leaves before the provider says what it used has used it all the same."""
    said = asyncio.Event()
    delta = (
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}\n\n'
    )

    async def goes_on(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n")
        for _ in range(500):
            writer.write(chunk(delta))
        await writer.drain()
        said.set()
        await asked.gone.wait()

    handler = goes_on if ending == "hangs up" else fixed(b"200 OK", JSON + b"content-length: 2\r\n", b"{}")
    async with rig(tmp_path, handler) as r:
        mint(r, LIMITED, SECRET, Allowance(tokens=1_000))
        body = asking(max_tokens=400, system="x" * 3000)
        client = await r.client()
        await client.ask(headers=HEADERS, body=body)
        if ending == "hangs up":
            await said.wait()
            client.close()
            await r.call()
            await until(lambda: True if not r.proxy._live else None)
        else:
            await client.answer()
        status, _, message = await ask(r, body)
        assert status == 402 and b"token limit" in message


async def test_a_failed_call_costs_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"529 Overloaded", recorded("overloaded.json"))) as r:
        mint(r, LIMITED, SECRET, Allowance(turns=1, tokens=1, usd=0.0001))
        assert [(await ask(r))[0] for _ in range(3)] == [529] * 3


async def test_limits_that_change_are_held_from_then_on(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:
        mint(r, LIMITED, SECRET, Allowance())
        assert (await ask(r))[0] == 200
        r.execute("""UPDATE virtual_keys SET limits = '{"turns": 1}' WHERE generation = 3""")

        async def refused() -> bool:
            return (await ask(r))[0] == 402

        async with asyncio.timeout(30):
            while not await refused():
                pass
        # What this version does not know it cannot hold.
        r.execute("""UPDATE virtual_keys SET limits = '{"phase_of_moon": 1}' WHERE generation = 3""")
        async with asyncio.timeout(30):
            while (await ask(r))[0] != 503:
                pass


@pytest.mark.parametrize(
    ("body", "unclear"),
    [
        (ASK, False),
        (b'{"a":[{"model":1}],"model":"x"}', False),
        (b'{"model":"x","a":"\\u00e9"}', False),
        (b'{"model":"x","mod\\u0065l":"y"}', True),
        (b'{"model":"x","Model":"y"}', True),
        (b'[{"model":"x"},{"model":"y"}]', False),
        (b'{"model":"x"}{"model":"y"}', True),
        (b'"model""model"', True),
    ],
)
def test_what_another_reader_may_take_for_another_model(body: bytes, unclear: bool) -> None:
    assert is_unclear(body) is unclear
