"""What is understood of answers of Gemini's protocol."""

import json
from typing import Any

import pytest

from backends.proxy.gemini import Gemini
from backends.proxy.listening import Listener
from backends.proxy.prices import Extras
from backends.proxy.protocol import Answer
from store.domain.limits import Usage
from tests.conformance import GENERATE, JSON, STREAM, STREAMED
from tests.proxyrig import recorded

THOUGHTS = [
    {"text": "**Reading**\n\nFirst the stock.", "thought": True},
    {"text": "I'll read both 🙂"},
    {
        "functionCall": {
            "name": "read",
            "args": {"path": "shop/stock.py", "lines": [1, 80], "big": 123456789012345678901234567890, "ratio": 1.0},
        },
        "thoughtSignature": "c2lnbmF0dXJl",
    },
    {"functionCall": {"name": "status", "args": {}}},
]


def heard(body: bytes, path: str = STREAMED, *, streamed: bool = True) -> tuple[Answer, list[tuple[str, str]]]:
    live: list[tuple[str, str]] = []
    reader = Gemini().reader("POST", path, lambda kind, text: live.append((kind, text)))
    listener = Listener(STREAM if streamed else JSON, reader)
    listener.take(body)
    return listener.finish(body), live


def events(*values: Any) -> bytes:
    return b"".join(b"data: %s\r\n\r\n" % json.dumps(value).encode() for value in values)


def candidate(*parts: dict[str, Any], reason: str = "", index: int = 0) -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    return {"candidates": [{**said, "finishReason": reason} if reason else said]}


def test_thoughts_calls_and_texts_of_many_chunks_are_one_content() -> None:
    answer, live = heard(recorded("gemini-thoughts.sse"))
    assert answer.messages == ({"role": "model", "parts": THOUGHTS},)
    assert (answer.stop_reason, answer.whole, answer.model) == ("STOP", True, "gemini-2.5-pro")
    assert answer.usage == Usage(input=512, output=160, cache_read=1536, reasoning=64)
    assert answer.extras == Extras(searches=2)
    assert [kind for kind, _ in live] == ["reasoning"] * 2 + ["text"] * 2 + ["tool"] * 4
    assert live[4] == ("tool", "read")


@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_the_same_as_an_array(step: int) -> None:
    body = recorded("gemini-array.json")
    assert heard(body, streamed=False)[0] == heard(recorded("gemini-thoughts.sse"))[0]


def test_an_array_that_breaks_off_is_read_as_far_as_it_came() -> None:
    body = recorded("gemini-array.json")
    answer, _ = heard(body[: body.index(b'"status"')], streamed=False)
    assert answer.messages == ({"role": "model", "parts": THOUGHTS[:2]},)
    assert not answer.whole
    assert heard(b"<html>", streamed=False)[0].error == "a piece of the answer is no JSON object"


def test_a_whole_answer_stays_as_it_came() -> None:
    answer, _ = heard(recorded("gemini.json"), GENERATE, streamed=False)
    assert answer.messages == (json.loads(recorded("gemini.json"))["candidates"][0]["content"],)


def test_a_signature_keeps_its_part() -> None:
    body = events(
        candidate({"text": "a"}),
        candidate({"text": "b", "thoughtSignature": "s"}),
        candidate({"text": "c"}),
        candidate({"text": ""}, reason="STOP"),
    )
    (said,) = heard(body)[0].messages
    assert said["parts"] == [{"text": "a"}, {"text": "b", "thoughtSignature": "s"}, {"text": "c"}]


def test_of_several_candidates_the_first_is_the_message() -> None:
    body = events(
        candidate({"text": "a"}),
        candidate({"text": "other"}, reason="STOP", index=1),
        candidate({"text": "b"}, reason="MAX_TOKENS"),
    )
    answer, _ = heard(body)
    assert answer.messages == ({"role": "model", "parts": [{"text": "ab"}]},)
    assert (answer.stop_reason, len(answer.strange), len(answer.notes)) == ("MAX_TOKENS", 1, 1)


def test_where_every_chunk_says_stop_each_waits_for_the_next() -> None:
    """As the first models did."""
    pieces = [candidate({"text": text}, reason="STOP") for text in ("a", "b", "c")]
    reader = Gemini().reader("POST", STREAMED, lambda kind, text: None)
    listener, came, event = Listener(STREAM, reader), 0, b""
    for piece in pieces:
        event = events(piece)
        assert listener.take(event) == came
        came += len(event)
    # What follows without content doesn't let it go.
    assert listener.take(events({"usageMetadata": {"promptTokenCount": 3}})) == came - len(event)
    answer = listener.finish(b"")
    assert (answer.messages[0]["parts"], answer.usage, answer.whole) == ([{"text": "abc"}], Usage(3), True)


def test_a_blocked_prompt_has_no_message() -> None:
    answer, _ = heard(recorded("gemini-blocked.sse"))
    assert (answer.messages, answer.stop_reason, answer.whole) == ((), "PROHIBITED_CONTENT", True)


def test_as_code_assist_wraps_it() -> None:
    body = events(*[{"response": value, "traceId": "t"} for value in (candidate({"text": "a"}, reason="STOP"),)])
    assert heard(body)[0].messages == ({"role": "model", "parts": [{"text": "a"}]},)


def test_sound_and_pictures_are_counted_apart() -> None:
    usage = {
        "promptTokenCount": 300,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 44}, {"modality": "AUDIO", "tokenCount": 256}],
        "candidatesTokenCount": 1300,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        "toolUsePromptTokenCount": 50,
    }
    answer, _ = heard(events({**candidate({"text": "a"}, reason="STOP"), "usageMetadata": usage}))
    assert answer.usage == Usage(350, 1300)
    assert answer.extras == Extras(audio_input=256, image_output=1290)


@pytest.mark.parametrize(
    ("path", "asked", "conversation"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent", ("gemini-2.5-pro", False), "contents"),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", ("gemini-2.5-pro", True), "contents"),
        ("/v1beta/models/gemini-2.5-pro%3AstreamGenerateContent", ("gemini-2.5-pro", True), "contents"),
        ("/v1beta/models/gemini-2.5-pro:countTokens", ("gemini-2.5-pro", False), ""),
        ("/v1beta/models/gemini-embedding-001:embedContent", ("gemini-embedding-001", False), ""),
        ("/v1/projects/p/locations/l/publishers/google/models/g:generateContent", ("g", False), "contents"),
        ("/v1beta/tunedModels/mine:generateContent", ("mine", False), "contents"),
        ("/v1beta/cachedContents", ("gemini-2.5-pro", False), ""),
        ("/v1beta/models", ("gemini-2.5-pro", False), ""),
    ],
)
def test_the_path_names_the_model_and_whether_it_streams(path: str, asked: tuple[str, bool], conversation: str) -> None:
    protocol = Gemini()
    assert protocol.asked(path, "models/gemini-2.5-pro", False) == asked
    assert protocol.conversation("POST", path) == conversation
    assert protocol.is_call("POST", path) is bool(conversation)


def test_our_errors_in_its_form() -> None:
    said = json.loads(Gemini().error(429, "no"))
    assert said == {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}
    assert json.loads(Gemini().error(418, "no"))["error"]["status"] == "FAILED_PRECONDITION"
