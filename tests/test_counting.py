"""Tokens that are counted here agree with LiteLLM's counter where that is exact, and are near it elsewhere."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from backends.proxy import counting
from store.domain.limits import Usage

TEXT = "The retry in `reserve()` is not idempotent: naïve, but common 🙂.\n\ndef reserve(self):\n    return None\n"
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "You repair code."},
    *({"role": ("user", "assistant")[turn % 2], "content": TEXT * (1 + turn % 4)} for turn in range(40)),
]
TOOL_TURN: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "Read a.py."}]},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": TEXT},
]

ASK_LITELLM = """
import json, sys
import litellm
asked = json.load(sys.stdin)
json.dump([litellm.token_counter(model=model, messages=messages) for model, messages in asked], sys.stdout)
"""


def body(messages: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def test_counts_agree_with_litellm() -> None:
    cases = [(model, messages) for model in ("gpt-4o", "gpt-5", "gpt-4") for messages in (CONVERSATION, TOOL_TURN)]
    cases.append(("claude-sonnet-4-5", CONVERSATION))
    done = subprocess.run(
        [sys.executable, "-c", ASK_LITELLM],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    for (model, messages), theirs in zip(cases, json.loads(done.stdout), strict=True):
        ours = counting.count(model, body(messages), "messages", []).input
        # Of a model with an encoding of its own it is an estimate.
        assert ours == pytest.approx(theirs, rel=0.25 if model.startswith("claude") else 0.01, abs=4), model


def test_what_is_counted() -> None:
    def count(asked: Any, conversation: str = "messages", answer: Any = ()) -> Usage:
        return counting.count("gpt-5", json.dumps(asked).encode(), conversation, answer)

    said = count({"messages": [{"content": "one two three"}]})
    assert said == count({"messages": [{"content": "one two three"}], "temperature": 1, "user": "somebody"})
    assert said.input == 3 + 2 * counting.PER_MESSAGE
    assert count({"input": "one two three"}, "input") == said
    assert count({"contents": [{"parts": [{"text": "one two three"}]}]}, "contents") == said
    with_more = count({"messages": [{"content": "one two three"}], "tools": [{"name": "read"}], "system": "two words"})
    assert with_more.input == said.input + 3
    # What is to be embedded is no conversation.
    texts = ["one two three", "one two three"]
    assert count({"input": texts}, "") == Usage(6)
    assert count({"content": {"parts": [{"text": texts[0]}]}}, "") == Usage(3)
    assert count({"requests": [{"content": {"parts": [{"text": text}]}} for text in texts]}, "") == Usage(6)
    # A picture has no text.
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}
    pictures = count({"messages": [{"content": ["one two three", {**picture, "type": ""}]}]})
    assert pictures.input == said.input
    assert count({}, answer=[{"content": "one two three"}, {"content": "four"}]).output == 4


@pytest.mark.parametrize("asked", [b"", b"no JSON", b"[]", b'{"messages": 7}', b'{"messages": [null, "\\ud83d"]}'])
def test_whatever_is_asked_is_counted(asked: bytes) -> None:
    assert counting.count("m", asked, "messages", [{"content": "half: \ud83d"}]).input >= counting.PER_MESSAGE


def test_a_message_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = counting.count("gpt-5", body(CONVERSATION), "messages", [])
    monkeypatch.setattr(counting, "_encoding", None)
    assert counting.count("gpt-5", body(CONVERSATION), "messages", []) == expected


def test_counting_leaves_the_environment_alone_and_fetches_nothing() -> None:
    script = (
        "import os, socket; socket.socket = None; before = dict(os.environ);"
        "from backends.proxy import counting;"
        "counting.count('gpt-5', b'{}', 'messages', [{'content': 'a'}]); print(dict(os.environ) == before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
