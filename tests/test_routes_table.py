"""How routes are written and found, how a body is renamed, and how two requests are compared: all without a process."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.proxy import Upstream
from backends.proxy.translation.bodies import renamed, renamed_inside, renamed_path
from backends.proxy.translation.environment import worker_environment
from backends.proxy.translation.losses import losses
from backends.proxy.translation.table import RouteTable
from store.domain.route import Deployment, ModelRoute, deployment, parse
from tests.jsonvalues import values

TABLE = {
    "anthropic": Upstream("https://api.anthropic.com"),
    "openai": Upstream("https://api.openai.com", protocol="openai"),
    "local": Upstream("http://127.0.0.1:8000", protocol="openai"),
    "ollama": Upstream("http://127.0.0.1:11434", protocol="ollama"),
}


def test_a_route_as_people_write_it() -> None:
    route = parse("claude-sonnet-5-5 = openai/gpt-5.1 | openai/gpt-5.1@local, ollama_chat/qwen3:8b ,retries=2")
    assert route == ModelRoute(
        "claude-sonnet-5-5",
        (Deployment("openai", "gpt-5.1", "openai"), Deployment("openai", "gpt-5.1", "local")),
        (Deployment("ollama_chat", "qwen3:8b", "ollama"),),
        2,
    )
    assert [str(each) for each in route.order("")] in (
        ["openai/gpt-5.1", "openai/gpt-5.1@local", "ollama_chat/qwen3:8b"],
        ["openai/gpt-5.1@local", "openai/gpt-5.1", "ollama_chat/qwen3:8b"],
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("openai/org/model", ("openai", "org/model", "openai")),
        ("openai/claude@20240229", ("openai", "claude@20240229", "openai")),
        ("openai/claude@20240229@local", ("openai", "claude@20240229", "local")),
    ],
)
def test_a_deployment_as_people_write_it(text: str, wanted: tuple[str, str, str]) -> None:
    found = deployment(text)
    assert (found.provider, found.model, found.upstream) == wanted
    assert deployment(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "m", "m=", "=openai/gpt", "m=gpt-5.1", "m=openai/", "m=openai/a,", "m=openai/a|", "m=openai/a b"),
        *("m=openai/a,retries=99", "m=retries=1", "m=openai/a@Local!", "m=/a"),
    ],
)
def test_a_route_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"route|deployment"):
        parse(text)


def test_each_caller_stays_with_one_deployment() -> None:
    route = parse("m=openai/a|openai/b|openai/c,openai/d")
    firsts = {who: route.order(who)[0].model for who in map(str, range(60))}
    assert set(firsts.values()) == {"a", "b", "c"}
    for who, first in firsts.items():
        order = [each.model for each in route.order(who)]
        assert (order[0], sorted(order), order[-1]) == (first, ["a", "b", "c", "d"], "d")


def test_the_route_of_this_very_name_comes_before_patterns_in_order() -> None:
    table = RouteTable([parse("claude-*=openai/a"), parse("*=openai/b"), parse("claude-x=openai/c")], TABLE)
    assert [table.find(name) and table.find(name).deployments[0].model for name in ("claude-x", "claude-y", "z")] == [  # type: ignore[union-attr] # looked at before
        "c",
        "a",
        "b",
    ]
    assert table.find("") is None


def test_a_table_that_leads_nowhere() -> None:
    with pytest.raises(ValueError, match="needs an upstream 'far'; there are anthropic, openai, local, ollama"):
        RouteTable([parse("m=openai/a@far")], TABLE)
    with pytest.raises(ValueError, match="two routes"):
        RouteTable([parse("m=openai/a"), parse("m=openai/b")], TABLE)


def test_a_renamed_body_is_otherwise_the_same_to_the_byte() -> None:
    body = b' {"a" : 1.50, "nested":{"model":"x"}, "model" :  "claude-x" , "\\u006dodel": 7, "t": "\\ud83d \xff"}\n\n'
    assert renamed(body, 'new "name"') == body.replace(b'"claude-x"', b'"new \\"name\\""').replace(
        b'odel": 7', b'odel": "new \\"name\\""'
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b"{1:2}", b'{"a":}']
)
def test_a_body_that_is_no_object_is_not_renamed(body: bytes) -> None:
    assert renamed(body, "m") == body


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v1beta/models/old:streamGenerateContent?alt=sse", "/v1beta/models/new:streamGenerateContent?alt=sse"),
        ("/v1beta/models/old%3AgenerateContent", "/v1beta/models/new%3AgenerateContent"),
        ("/openai/deployments/old/chat/completions?a=/old/", "/openai/deployments/new/chat/completions?a=/old/"),
        ("/v1beta/models/older:generateContent", "/v1beta/models/older:generateContent"),
        ("/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_a_model_is_renamed_where_a_path_names_it(path: str, wanted: str) -> None:
    assert renamed_path(path, "old", "new") == wanted


def test_a_model_is_renamed_where_requests_inside_name_it() -> None:
    body = b'{"requests":[{"model" : "models/old","content":{}},{"model":"models/older","text":"models/old"}]}'
    assert renamed_inside(body, "old", "new") == body.replace(b'"models/old",', b'"models/new",')


@given(st.dictionaries(st.text(), values, max_size=4), st.sampled_from([None, 1, "\t"]), st.text())
def test_any_object_is_renamed(value: dict[str, Any], indent: Any, model: str) -> None:
    body = json.dumps({**value, "model": "old"}, indent=indent).encode()
    assert json.loads(renamed(body, model)) == {**value, "model": model}


def test_nothing_is_lost_of_a_request_that_is_passed_on() -> None:
    body = {
        "model": "m",
        "temperature": 0.5,
        "tools": [{"name": "read"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {}}]}],
    }
    assert losses(body, body) == ()


def test_what_is_said_otherwise_is_not_lost() -> None:
    asked = {
        "model": "a",
        "max_tokens": 9,
        "stop_sequences": ["X"],
        "thinking": {"type": "enabled", "budget_tokens": 9},
        "system": [{"type": "text", "text": "be"}],
        "tools": [{"name": "read", "input_schema": {}}],
        "messages": [
            {"role": "user", "content": "a text"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "read", "input": {"p": "x y"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "the result"}]},
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "iVBOR"}}]},
        ],
    }
    sent = {
        "model": "b",
        "max_completion_tokens": 9,
        "stop": ["X"],
        "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "read", "parameters": {}}}],
        "messages": [
            {"role": "system", "content": "be"},
            {"role": "user", "content": "before: a text"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "read", "arguments": '{"p":"x y"}'}}]},
            {"role": "tool", "content": "the result"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}}]},
        ],
    }
    assert losses(asked, sent) == ()


def test_what_is_lost_is_said() -> None:
    asked = {
        "top_k": 5,
        "temperature": 0.3,
        "seed": None,
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "it is " * 30, "is_error": True}]},
        ],
    }
    assert losses(asked, {"temperature": 1, "messages": [{"content": "q"}]}) == (
        "top_k was not passed on",
        "temperature: 0.3 became 1",
        "the tool web_search was not passed on",
        "cache_control: 1 of 1 were not passed on",
        "is_error: 1 of 1 were not passed on",
        f'tool_result: a text of 180 characters was not passed on: "{("it is " * 30)[:59]}…"',
    )


@given(values, values)
def test_any_two_requests_can_be_compared(asked: Any, sent: Any) -> None:
    names = ("messages", "tools", "system", "top_k", "input", "contents")
    losses(dict.fromkeys(names, asked), dict.fromkeys(names, sent))


def test_the_workers_environment_has_no_key(tmp_path: Any) -> None:
    operator = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOME": "/home/me",
        "ANTHROPIC_API_KEY": "sk-1",
        "OPENAI_API_KEY": "sk-2",
        "HTTPS_PROXY": "http://me:secret@proxy",
        "LITELLM_MASTER_KEY": "sk-3",
        "PYTHONPATH": "/evil",
    }
    environment = worker_environment(operator, tmp_path)
    assert environment["PATH"] == "/bin" and environment["LC_ALL"] == "C" and environment["HOME"] == str(tmp_path)
    assert not {"sk-1", "sk-2", "sk-3", "http://me:secret@proxy", "/evil", "/home/me"} & set(environment.values())
