"""Routes when something goes wrong: a provider's errors in the client's words, other deployments and more tries,
streams that break and clients that hang up."""

import asyncio
import json
from typing import Any

import anthropic
import openai
import pytest

from store import tapes
from tests.proxyrig import SUBAGENT, Asked, Handler, recorded, split, streamed, whole
from tests.routesrig import FIRST, REAL, Rigged, chunks, completion, failed, stalling

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning"),
]

WHY: Any = [{"role": "user", "content": "Why does the check fail?"}]
HELLO = chunks({"role": "assistant", "content": "Hello."})
WHOLE_HELLO = completion({"content": "Hello."})
BUSY = {"error": {"message": "You are too quick.", "type": "requests", "code": "rate_limit_exceeded"}}


async def ask(r: Rigged, model: str, *, stream: bool = False) -> Any:
    client = r.anthropic()
    if not stream:
        return await client.messages.create(model=model, max_tokens=50, messages=WHY)
    async with client.messages.stream(model=model, max_tokens=50, messages=WHY) as streaming:
        return await streaming.get_final_message()


async def begun(r: Rigged, handler: Handler, name: str = "openai") -> Any:
    """A client's stream that has said something, and goes on when its provider does."""
    r.answers(name, handler)
    client = r.anthropic() if name == "openai" else r.openai()
    if name == "openai":
        stream = await client.messages.create(model="claude-by-openai", max_tokens=50, messages=WHY, stream=True)
    else:
        stream = await client.chat.completions.create(model="gpt-by-claude", messages=WHY, stream=True)
    return stream


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "error", "kind", "said"),
    [
        (429, BUSY, "rate_limit_error", "You are too quick."),
        (401, {"error": {"message": "Incorrect API key.", "code": "invalid_api_key"}}, "authentication_error", "Incor"),
        (400, {"error": {"message": "temperature is odd"}}, "invalid_request_error", "temperature is odd"),
        (
            400,
            {"error": {"message": "This model's maximum context length is 9.", "code": "context_length_exceeded"}},
            "invalid_request_error",
            "prompt is too long: This model's maximum context length is 9.",
        ),
        (529, {"error": {"message": "Busy"}}, "overloaded_error", "Busy"),
        (500, {"error": {"message": "Oh."}}, "api_error", "Oh."),
    ],
)
async def test_an_openai_providers_error_as_anthropics(
    r: Rigged, status: int, error: dict[str, Any], kind: str, said: str, stream: bool
) -> None:
    r.answers("openai", failed(status, error, b"retry-after: 7\r\n"))
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(r, "claude-by-openai", stream=stream)
    assert caught.value.status_code == status and caught.value.response.headers["retry-after"] == "7"
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind) and body["error"]["message"].startswith(said)
    (call,), (made,) = r.calls()
    assert (call.status, made.status, made.usage.total) == (status, status, 0)
    assert call.notes[0] == f"openai/gpt-5.1 answered with status {status}"
    # LiteLLM tries nothing again.
    assert len(r.providers["openai"].asked) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "name", "code"),
    [(429, "rate-limited.json", "rate_limit_exceeded"), (529, "overloaded.json", None)],
)
async def test_an_anthropic_providers_error_as_openais(
    r: Rigged, status: int, name: str, code: str | None, stream: bool
) -> None:
    r.answers("anthropic", whole(b"%d Error" % status, recorded(name)))
    with pytest.raises(openai.APIStatusError) as caught:
        await r.openai().chat.completions.create(model="gpt-by-claude", messages=WHY, stream=stream)
    assert caught.value.status_code == status and caught.value.code == code
    assert json.loads(recorded(name))["error"]["message"] in str(caught.value)


async def test_a_context_that_is_too_long_for_anthropic_as_openais(r: Rigged) -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}
    r.answers("anthropic", failed(400, error))
    with pytest.raises(openai.BadRequestError) as caught:
        await r.openai().responses.create(model="gpt-by-claude", input="hi")
    assert caught.value.code == "context_length_exceeded"


async def test_another_deployment_answers_when_one_fails(r: Rigged) -> None:
    r.answers("openai", failed(500, {"error": {"message": "Oh."}}))
    body = recorded("text.sse")
    r.answers("anthropic", streamed(body))
    got = await ask(r, "fallen", stream=True)
    # It speaks the client's protocol: its bytes, and no translation.
    (call,), (first, second) = r.calls()
    assert tapes.response(r.store, call) == tapes.response(r.store, second) == body
    assert got.usage.output_tokens == second.usage.output and call.usage.total == 0
    assert [(made.provider, made.status, made.parent) for made in (first, second)] == [
        ("openai", 500, call.id),
        ("anthropic", 200, call.id),
    ]
    assert call.notes == (
        "openai/gpt-5.1 answered with status 500",
        "anthropic/claude-sonnet-4-5 answered for fallen",
    )
    sent = r.providers["anthropic"].asked[0]
    assert json.loads(sent.body)["model"] == "claude-sonnet-4-5" and REAL.encode() in sent.head


async def test_deployments_that_are_not_there_or_say_nothing(r: Rigged) -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    r.answers("silent", silent)
    r.answers("second", WHOLE_HELLO)
    got = await ask(r, "nowhere")
    assert got.content[0].text == "Hello."
    (call,), made = r.calls()
    assert [(each.provider, each.status) for each in made] == [("refusing", None), ("silent", None), ("second", 200)]
    assert call.notes[:3] == (
        "openai/gpt-5.1@refusing answered with status 502",
        "openai/gpt-5.1@silent answered with status 504",
        "openai/gpt-5.1@second answered for nowhere",
    )


async def test_the_last_error_is_told_when_nobody_answers(r: Rigged) -> None:
    r.answers("openai", failed(500, {"error": {"message": "Oh."}}))
    r.answers("anthropic", whole(b"529 Overloaded", recorded("overloaded.json")))
    r.answers("second", failed(429, BUSY))
    with pytest.raises(anthropic.RateLimitError, match="too quick"):
        await ask(r, "fallen")
    assert [made.status for made in r.calls()[1]] == [500, 529, 429]


async def test_tries_are_counted(r: Rigged) -> None:
    oh = failed(503, {"error": {"message": "Oh."}}, b"retry-after: 0\r\n")
    r.answers("openai", oh, oh, WHOLE_HELLO)
    assert (await ask(r, "again")).content[0].text == "Hello."
    assert [made.status for made in r.calls()[1]] == [503, 503, 200]
    r.begin()
    r.answers("openai", oh)
    with pytest.raises(anthropic.APIStatusError):
        await ask(r, "again")
    assert len(r.providers["openai"].asked) == 3
    r.begin()
    r.answers("openai", oh)
    r.answers("second", oh, WHOLE_HELLO)
    assert (await ask(r, "again-then")).content[0].text == "Hello."
    assert [made.provider for made in r.calls()[1]] == ["openai", "openai", "second", "second"]


@pytest.mark.parametrize(
    ("status", "headers", "asked"),
    [(400, b"", ["openai"]), (401, b"", ["openai", "second"]), (429, b"retry-after: 3600\r\n", ["openai", "second"])],
)
async def test_what_would_fail_again_is_not_tried_again(
    r: Rigged, status: int, headers: bytes, asked: list[str]
) -> None:
    r.answers("openai", failed(status, {"error": {"message": "No."}}, headers))
    r.answers("second", WHOLE_HELLO)
    if status == 400:
        with pytest.raises(anthropic.BadRequestError, match=r"No\."):
            await ask(r, "again-then")
    else:
        await ask(r, "again-then")
    assert [made.provider for made in r.calls()[1]] == asked


NO_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid.",
        "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID"}],
    }
}
NO_MONEY = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."},
}


async def test_whose_key_is_wrong_or_money_is_out_is_not_the_requests_fault(r: Rigged) -> None:
    """Gemini and Anthropic say so with status 400."""
    r.answers("gemini", failed(400, NO_KEY))
    r.answers("anthropic", failed(400, NO_MONEY))
    r.answers("openai", WHOLE_HELLO)
    assert (await ask(r, "poor")).content[0].text == "Hello."
    assert [(made.provider, made.status) for made in r.calls()[1]] == [
        ("gemini", 400),
        ("anthropic", 400),
        ("openai", 200),
    ]
    with pytest.raises(anthropic.AuthenticationError, match="API key not valid"):
        await ask(r, "claude-by-gemini")
    # In the client's own protocol it goes on as it came.
    with pytest.raises(anthropic.BadRequestError, match="credit balance"):
        await ask(r, "renamed")
    call = r.calls()[0][-1]
    assert json.loads(tapes.response(r.store, call)) == NO_MONEY and call.complete


async def test_one_deployment_of_the_clients_protocol_and_name_is_left_alone(r: Rigged) -> None:
    r.answers("anthropic", streamed(recorded("text.sse")))
    await ask(r, "same", stream=True)
    (call,), made = r.calls()
    assert made == [] and (call.provider, call.source, call.usage.output) == ("anthropic", "", 58)
    assert r.asked("anthropic")["model"] == "same"


async def test_a_model_of_the_same_protocol_is_renamed_and_nothing_else(r: Rigged) -> None:
    r.answers("anthropic", whole(b"200 OK", recorded("message.json")))
    client = r.anthropic(default_headers={"anthropic-beta": "a,b"})
    await client.messages.create(
        model="renamed", max_tokens=5, messages=WHY, extra_body={"odd": [1.50, "é"]}, extra_query={"beta": "true"}
    )
    (call,), (made,) = r.calls()
    sent = r.providers["anthropic"].asked[0]
    request = tapes.request(r.store, call)
    assert request["model"] == "renamed" and json.loads(sent.body) == {**request, "model": "claude-sonnet-4-5"}
    assert b"1.5" in sent.body and sent.line == b"POST /v1/messages?beta=true HTTP/1.1"
    assert (b"anthropic-beta", b"a,b") in sent.headers and b"x-multitrack" not in sent.head
    assert tapes.response(r.store, call) == recorded("message.json") == tapes.response(r.store, made)
    assert made.model == "claude-sonnet-4-5" and made.usd and call.usd == 0


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_stream_that_breaks_in_the_middle_breaks(r: Rigged, name: str, cut: bool) -> None:
    """Whether its connection closes, or it ends before its last event, which LiteLLM takes for an end."""
    body = recorded("chat-text.sse" if name == "openai" else "text.sse")
    part = b"".join(split(body)[:4])
    stream = await begun(r, streamed(part, cut=cut), name)
    with pytest.raises(Exception, match=r"incomplete|closed|peer|terminated|without"):
        async for _ in stream:
            pass
    call, made = await r.ended()
    assert (call.complete, made.complete) == (False, False) and call.error == made.error
    assert tapes.response(r.store, made) == part


async def test_an_error_in_the_middle_of_a_stream_is_told_in_the_clients_words(r: Rigged) -> None:
    stream = await begun(r, streamed(recorded("error.sse")), "anthropic")
    with pytest.raises(openai.APIError, match="Overloaded"):
        async for _ in stream:
            pass
    stream = await begun(r, streamed(recorded("chat-error.sse")))
    with pytest.raises(anthropic.APIStatusError):
        async for _ in stream:
            pass
    for call in r.calls()[0]:
        assert (call.status, call.complete) == (200, False) and call.error


async def test_a_client_that_hangs_up_stops_the_provider(r: Rigged) -> None:
    stream = await begun(r, stalling(FIRST))
    async for event in stream:
        if event.type == "content_block_delta":
            break
    await stream.close()
    await asyncio.wait_for(r.providers["openai"].asked[0].gone.wait(), 30)
    call, made = await r.ended()
    assert (call.error, made.error) == ("the client hung up", "the client hung up")


async def test_a_killed_subagents_routed_calls_are_cut(r: Rigged) -> None:
    stream = await begun(r, stalling(FIRST))
    r.proxy.cut(SUBAGENT)
    with pytest.raises(Exception, match=r"incomplete|closed|peer"):
        async for _ in stream:
            pass
    call, made = await r.ended()
    assert call.error == "the subagent was killed" and made.error


async def test_nothing_that_a_client_names_is_fetched(r: Rigged) -> None:
    """LiteLLM would fetch what a provider takes as data only: an agent without a network would have one by it."""
    for url in (f"{r.providers['second'].base_url}/picture.png", "http://example.com/picture.png"):
        picture: Any = {"type": "image_url", "image_url": {"url": url}}
        messages: Any = [{"role": "user", "content": [picture]}]
        with pytest.raises(openai.BadRequestError, match=r"can't answer this: it names data by its URL"):
            await r.openai().chat.completions.create(model="gpt-by-claude", messages=messages)
    assert r.providers["second"].asked == [] and r.calls()[1] == []


async def test_a_translated_call_brings_no_key_to_a_provider_that_takes_the_clients_own(r: Rigged) -> None:
    r.answers("second", WHOLE_HELLO)
    await ask(r, "keyless")
    await r.openai().chat.completions.create(model="keyless", messages=WHY)
    for asked in r.providers["second"].asked:
        assert not {name.lower() for name, _ in asked.headers} & {b"authorization", b"x-api-key"}


async def test_what_is_not_translated_is_refused_in_the_clients_words(r: Rigged) -> None:
    with pytest.raises(openai.BadRequestError, match="only turns of a conversation"):
        await r.openai().images.generate(model="gpt-by-claude", prompt="text")
    with pytest.raises(openai.BadRequestError, match="an item_reference names what another provider keeps"):
        await r.openai().responses.create(model="gpt-by-claude", input=[{"type": "item_reference", "id": "msg_1"}])
    calls, made = r.calls()
    assert made == [] and [call.status for call in calls] == [400, 400] and all(call.complete for call in calls)
    assert calls[0].notes[0].startswith("anthropic/claude-sonnet-4-5 was not asked: only turns")


async def test_who_needs_no_translation_is_asked_when_it_is_not_possible(r: Rigged) -> None:
    """It is the translation that failed, and not the request."""
    r.answers("openai", whole(b"200 OK", recorded("response.json")))
    await r.openai().responses.create(model="claude-then-gpt", input="hi", background=True)
    (call,), (made,) = r.calls()
    assert (made.provider, call.status) == ("openai", 200)
    assert call.notes == (
        "anthropic/claude-sonnet-4-5 was not asked: background: an answer that is fetched later is not translated",
        "openai/gpt-5.1 answered for claude-then-gpt",
    )


async def test_what_litellm_fails_at_is_not_tried_again(r: Rigged) -> None:
    r.answers("openai", WHOLE_HELLO)
    odd: Any = [{"role": "user", "content": 7}]
    client = r.openai().with_options(max_retries=3)
    with pytest.raises(openai.InternalServerError, match="LiteLLM failed at this call"):
        await client.chat.completions.create(model="gpt-by-claude", messages=odd)
    await client.chat.completions.create(model="claude-then-gpt", messages=odd)
    (one, two), (made,) = r.calls()
    assert (one.status, two.status, made.provider) == (502, 200, "openai")
    assert two.notes[0].startswith("anthropic/claude-sonnet-4-5 was not asked: LiteLLM failed at it: ")


async def test_a_client_cannot_give_orders_to_litellm(r: Rigged) -> None:
    r.answers("anthropic", whole(b"200 OK", recorded("message.json")))
    orders = {"api_base": r.providers["second"].base_url, "mock_response": "no", "fallbacks": ["x"], "api_key": "k"}
    await r.openai().chat.completions.create(model="gpt-by-claude", messages=WHY, extra_body=orders)
    assert len(r.providers["anthropic"].asked) == 1 and r.providers["second"].asked == []
    assert {f"{name} was not passed on" for name in orders} <= set(r.calls()[0][0].notes)
