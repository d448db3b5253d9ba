"""OpenAI's SDK, whose embeddings another provider makes."""

import json
from typing import Any

import openai
import pytest

from store import tapes
from tests.proxyrig import SUBAGENT, recorded, whole
from tests.routesrig import Rigged, failed

pytestmark = pytest.mark.asyncio(loop_scope="session")

VECTORS = [[0.25, -0.5, 1.0], [0.125, 0.75, -1.0]]


def geminis(*vectors: list[float]) -> Any:
    return whole(b"200 OK", json.dumps({"embeddings": [{"values": vector} for vector in vectors]}).encode())


def openais(*vectors: list[float]) -> Any:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return whole(
        b"200 OK",
        json.dumps({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}).encode(),
    )


@pytest.mark.parametrize("form", [None, "float", "base64"])
async def test_gemini_embeds_for_openais_sdk(r: Rigged, form: Any) -> None:
    """The SDK asks for base64 unless it is told a form, and reads it itself."""
    r.answers("gemini", geminis(*VECTORS))
    more: Any = {} if form is None else {"encoding_format": form}
    answer = await r.openai().embeddings.create(model="vectors", input=["one text", "two texts"], dimensions=3, **more)
    wanted: Any = ["AACAPgAAAL8AAIA/", "AAAAPgAAQD8AAIC/"] if form == "base64" else VECTORS
    assert [entry.embedding for entry in answer.data] == wanted and [entry.index for entry in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens > 0
    line = r.providers["gemini"].asked[0].line
    assert line.startswith(b"POST /v1beta/models/gemini-embedding-001:batchEmbedContents")
    one, two = r.asked("gemini")["requests"]
    assert (one["content"]["parts"][0]["text"], two["content"]["parts"][0]["text"]) == ("one text", "two texts")
    assert one["outputDimensionality"] == 3
    (call,), (made,) = r.calls()
    assert (call.protocol, call.usage.total, call.usd, call.complete) == ("openai", 0, 0.0, True)
    # Nobody reported what it took, so it was counted here.
    assert (made.provider, made.protocol, made.parent) == ("gemini", "gemini", call.id)
    assert 3 <= made.usage.input <= 12 and made.usage.output == 0 and made.usd is not None and made.usd > 0
    assert any("no usage" in note for note in made.notes)
    assert tapes.verify(r.store, SUBAGENT.run) == []


async def test_one_text(r: Rigged) -> None:
    r.answers("gemini", geminis(VECTORS[0]))
    answer = await r.openai().embeddings.create(model="vectors", input="one text")
    assert [entry.embedding for entry in answer.data] == [VECTORS[0]]


async def test_ollama_has_them_in_openais_form(r: Rigged) -> None:
    r.answers("ollama", openais(*VECTORS))
    answer = await r.openai().embeddings.create(model="vectors-by-ollama", input=["a", "b"])
    assert [entry.embedding for entry in answer.data] == VECTORS
    assert r.providers["ollama"].asked[0].line == b"POST /v1/embeddings HTTP/1.1"
    assert r.asked("ollama")["model"] == "nomic-embed-text"
    (made,) = r.calls()[1]
    assert (made.provider, made.usage.input) == ("ollama", 9)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [(429, "gemini-429.json", "rate_limit_exceeded"), (401, "", "invalid_api_key"), (529, "", None)],
)
async def test_a_providers_error_in_openais_words(r: Rigged, status: int, error: str, code: str | None) -> None:
    if error:
        r.answers("gemini", whole(b"%d Error" % status, recorded(error), b"content-type: application/json\r\n"))
    else:
        r.answers("gemini", failed(status, {"error": {"code": status, "message": "No.", "status": "X"}}))
    with pytest.raises(openai.APIStatusError) as caught:
        await r.openai().embeddings.create(model="vectors", input="text")
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert len(r.providers["gemini"].asked) == 1


async def test_another_one_embeds_when_one_fails(r: Rigged) -> None:
    r.answers("gemini", failed(500, {"error": {"code": 500, "message": "Oh.", "status": "INTERNAL"}}))
    r.answers("second", openais(VECTORS[0]))
    answer = await r.openai().embeddings.create(model="vectors-then", input="text")
    assert answer.data[0].embedding == VECTORS[0]
    (call,), made = r.calls()
    assert [(each.provider, each.status) for each in made] == [("gemini", 500), ("second", 200)]
    assert call.notes == (
        "gemini/gemini-embedding-001 answered with status 500",
        "openai/text-embedding-3-small@second answered for vectors-then",
    )


async def test_who_has_none_is_not_asked(r: Rigged) -> None:
    r.answers("openai", openais(VECTORS[0]))
    await r.openai().embeddings.create(model="no-vectors", input="text")
    (call,), (made,) = r.calls()
    assert made.provider == "openai" and call.notes[-2].startswith("anthropic/claude-sonnet-4-5 was not asked: ")
    with pytest.raises(openai.BadRequestError, match="can't answer this"):
        await r.openai().embeddings.create(model="gpt-by-claude", input="text")


async def test_tokens_are_another_models_own(r: Rigged) -> None:
    with pytest.raises(openai.BadRequestError, match="a text or a list of texts"):
        await r.openai().embeddings.create(model="vectors", input=[[1, 2, 3]])
