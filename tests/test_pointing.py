"""Which variable leads a client where, and what a tool is told on its command line."""

import json
from pathlib import PurePath

import pytest

from app.pointing import CHATGPT, KNOWN, Plan, arguments, environment, plan, title, why_nothing

BASE = "http://127.0.0.1:4100"


def led(environ: dict[str, str], named: dict[str, tuple[str, str]] | None = None) -> tuple[Plan, dict[str, str]]:
    """The plan, and what the command's environment has beside the caller's."""
    made = plan(environ, named or {})
    told = environment(environ, made, BASE, "7k3ab")
    return made, {name: value for name, value in told.items() if environ.get(name) != value}


def test_clients_that_were_led_nowhere_are_led_here_and_on_to_their_provider() -> None:
    made, told = led({})
    assert {name: target.url for name, target in made.targets.items()} == {
        name: place.base_url for name, place in KNOWN.items()
    }
    assert told == {
        "ANTHROPIC_BASE_URL": f"{BASE}/anthropic",
        "ANTHROPIC_API_BASE": f"{BASE}/anthropic",
        "ANTHROPIC_API_URL": f"{BASE}/anthropic",
        "OPENAI_BASE_URL": f"{BASE}/openai/v1",
        "OPENAI_API_BASE": f"{BASE}/openai/v1",
        "GOOGLE_GEMINI_BASE_URL": f"{BASE}/gemini",
        "GEMINI_API_BASE": f"{BASE}/gemini/v1beta",
        "OLLAMA_API_BASE": f"{BASE}/ollama",
        "OPENROUTER_API_BASE": f"{BASE}/openrouter/v1",
        "MULTITRACK_URL_ANTHROPIC": f"{BASE}/anthropic",
        "MULTITRACK_URL_OPENAI": f"{BASE}/openai/v1",
        "MULTITRACK_URL_GEMINI": f"{BASE}/gemini",
        "MULTITRACK_URL_OLLAMA": f"{BASE}/ollama",
        "MULTITRACK_URL_OPENROUTER": f"{BASE}/openrouter/v1",
        "MULTITRACK_RUN": "7k3ab",
        "ENABLE_TOOL_SEARCH": "true",
    }


def test_the_addresses_are_those_that_the_recorder_asks_by_default() -> None:
    from backends.proxy import KNOWN as ASKED

    for name, known in ASKED.items():
        assert (KNOWN[name].base_url, KNOWN[name].protocol) == (known.base_url, known.protocol)


@pytest.mark.parametrize(
    ("variable", "value", "name", "url", "leads"),
    [
        ("ANTHROPIC_BASE_URL", "https://gw.example/", "anthropic", "https://gw.example", "/anthropic"),
        ("ANTHROPIC_BASE_URL", "https://gw.example/v1", "anthropic", "https://gw.example", "/anthropic/v1"),
        ("ANTHROPIC_API_BASE", "https://gw/v1/messages", "anthropic", "https://gw", "/anthropic/v1/messages"),
        ("OPENAI_BASE_URL", "http://localhost:8000/v1/", "openai", "http://localhost:8000", "/openai/v1"),
        ("OPENAI_API_BASE", "https://gw.example/openai", "openai", "https://gw.example/openai", "/openai"),
        ("GOOGLE_GEMINI_BASE_URL", "https://gw.example/g", "gemini", "https://gw.example/g", "/gemini"),
        ("AZURE_OPENAI_ENDPOINT", "https://me.openai.azure.com/", "azure", "https://me.openai.azure.com", "/azure"),
        (
            "DEEPSEEK_API_BASE",
            "https://api.deepseek.com/beta",
            "deepseek",
            "https://api.deepseek.com/beta",
            "/deepseek",
        ),
        ("MISTRAL_API_BASE", "https://api.mistral.ai/v1", "mistral", "https://api.mistral.ai", "/mistral/v1"),
    ],
)
def test_an_address_that_is_set_is_followed(variable: str, value: str, name: str, url: str, leads: str) -> None:
    made, told = led({variable: value})
    assert (made.targets[name].url, made.targets[name].source) == (url, f"${variable}")
    assert told[variable] == BASE + leads
    # What the client puts behind it is what it put behind its own address.
    assert url + leads.removeprefix(f"/{name}") == value.rstrip("/")


def test_its_sisters_lead_where_it_does_and_two_addresses_are_not_mixed() -> None:
    made, told = led({"OPENAI_API_BASE": "https://a.example/v1"})
    assert made.targets["openai"].url == "https://a.example"
    assert told["OPENAI_BASE_URL"] == f"{BASE}/openai/v1"
    made, told = led({"OPENAI_BASE_URL": "https://a.example/v1", "OPENAI_API_BASE": "https://b.example/v1"})
    assert (made.targets["openai"].url, made.targets["openai-2"].url) == ("https://a.example", "https://b.example")
    assert (told["OPENAI_BASE_URL"], told["OPENAI_API_BASE"]) == (f"{BASE}/openai/v1", f"{BASE}/openai-2/v1")
    made, _ = led({"OPENAI_BASE_URL": "https://a.example/v1", "OPENAI_API_BASE": "https://a.example/v1"})
    assert "openai-2" not in made.targets


def test_what_the_operator_names_comes_first() -> None:
    environ = {"OPENAI_BASE_URL": "https://a.example/v1"}
    made, told = led(environ, {"openai": ("", "http://localhost:8000"), "my-own": ("anthropic", "http://x")})
    assert next(iter(made.targets)) == "openai", "what no path tells goes to the first"
    assert (made.targets["openai"].url, made.targets["my-own"].protocol) == ("http://localhost:8000", "anthropic")
    assert told["OPENAI_BASE_URL"] == f"{BASE}/openai/v1"
    assert (told["MY_OWN_API_BASE"], told["MULTITRACK_URL_MY_OWN"]) == (f"{BASE}/my-own", f"{BASE}/my-own")
    _, told = led({}, {"deepseek": ("", "https://api.deepseek.com")})
    assert told["DEEPSEEK_API_BASE"] == f"{BASE}/deepseek/v1"


def test_claude_code_is_not_told_to_search_for_tools_where_the_provider_is_another() -> None:
    assert "ENABLE_TOOL_SEARCH" not in led({"ANTHROPIC_BASE_URL": "https://gw.example"})[1]
    assert "ENABLE_TOOL_SEARCH" not in led({"ENABLE_TOOL_SEARCH": "false"})[1]


@pytest.mark.parametrize(
    ("environ", "kept"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p"}, "127.0.0.1,localhost"),
        ({"all_proxy": "socks5://p", "no_proxy": "example.org, 127.0.0.1"}, "example.org,127.0.0.1,localhost"),
        ({"http_proxy": "http://p", "NO_PROXY": "*"}, None),
    ],
)
def test_loopback_is_not_asked_of_a_proxy_of_the_network(environ: dict[str, str], kept: str | None) -> None:
    _, told = led(environ)
    assert (told.get("no_proxy"), told.get("NO_PROXY")) == (kept, kept)


def test_opencode_is_told_what_it_reads_from_no_variable() -> None:
    assert "OPENCODE_CONFIG_CONTENT" not in led({"ANTHROPIC_API_KEY": "k"})[1]
    given = json.dumps({"theme": "x", "provider": {"google": {"models": {}}}})
    _, told = led({"GEMINI_API_KEY": "k", "OPENCODE_CONFIG_CONTENT": given})
    assert json.loads(told["OPENCODE_CONFIG_CONTENT"]) == {
        "theme": "x",
        "provider": {"google": {"models": {}, "options": {"baseURL": f"{BASE}/gemini/v1beta"}}},
    }
    for strange in ("{ // a comment\n}", "[]", '{"provider": 1}', '{"provider": {"google": 1}}'):
        assert "OPENCODE_CONFIG_CONTENT" not in led({"GEMINI_API_KEY": "k", "OPENCODE_CONFIG_CONTENT": strange})[1]


def test_codex_is_told_by_an_argument() -> None:
    made = plan({}, {})
    told = ["-c", f'openai_base_url="{BASE}/openai/v1"']
    assert arguments(["/bin/codex", "exec", "hi"], made, BASE) == ["/bin/codex", *told, "exec", "hi"]
    assert arguments(["codex"], plan({}, {"chatgpt": ("openai", CHATGPT)}), BASE)[2] == (
        f'openai_base_url="{BASE}/chatgpt"'
    )
    for own in (["codex", "-c", "model_provider=mine"], ["codex", "--oss"], ["claude", "-p", "codex"]):
        assert arguments(own, made, BASE) == own


@pytest.mark.parametrize(
    ("command", "called"),
    [
        (["/usr/bin/claude", "-p", "the key is sk-ant-0"], "claude in shop,"),
        (["python3.11", "-u", "src/agent.py", "--key", "x"], "agent.py in shop,"),
        (["python", "-c", "import x"], "python in shop,"),
        (["python", "-m", "agent"], "python in shop,"),
        (["node", "dist/main.mjs"], "main.mjs in shop,"),
        (["./run.sh", "fix.py"], "run.sh in shop,"),
    ],
)
def test_a_recording_is_called_after_its_program(command: list[str], called: str) -> None:
    assert title(command, PurePath("/home/me/shop")) == called


def test_why_nothing_was_recorded_depends_on_the_tool() -> None:
    assert "CLAUDE_CODE_USE_BEDROCK is set" in why_nothing(["claude"], {"CLAUDE_CODE_USE_BEDROCK": "1"})
    assert "settings files" in why_nothing(["/bin/claude"], {"CLAUDE_CODE_USE_BEDROCK": "0"})
    assert "model_provider" in why_nothing(["codex"], {})
    assert "GEMINI_API_KEY" in why_nothing(["gemini"], {})
    assert "baseURL" in why_nothing(["opencode"], {})
    assert "can't be recorded so" in why_nothing(["cursor-agent"], {})
    assert "either make asked no model" in why_nothing(["make"], {})
