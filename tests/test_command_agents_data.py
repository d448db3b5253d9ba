"""What is declared of command-line agents, how their end is read, and what is kept of their output."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from backends.agents.commands.declaration import Declaration, dockerfile, provider_of
from backends.agents.commands.ending import HUNG_UP, Seen, last_words, outcome
from backends.agents.commands.known import KNOWN, OWN_ENVIRONMENT, declared
from backends.agents.commands.printing import END, LINES, TOLD, Printed
from backends.agents.hiring import installed, spoken
from store.domain.states import Ending
from store.domain.strategy import Strategy
from store.domain.task import Check, Task


@pytest.mark.parametrize("agent", KNOWN.values(), ids=KNOWN)
def test_declarations_are_whole(agent: Declaration) -> None:
    variables = agent.variables("m-1", "http://127.0.0.1:4141", "mt-key")
    assert variables["MULTITRACK_URL"] == "http://127.0.0.1:4141" and variables["MULTITRACK_KEY"] == "mt-key"
    assert variables["MULTITRACK_MODEL"].endswith("m-1")
    for text in (agent.script(), agent.script(again=True), *agent.environment):
        assert "{" not in text.replace("{name=", "").replace("{x", "")
        assert not text or subprocess.run(["sh", "-n", "-c", text], check=False).returncode == 0
    said = " ".join([agent.script(), *variables.values()])
    assert "$MULTITRACK_PROMPT" in said and "$MULTITRACK_MODEL" in said
    assert "http://127.0.0.1:4141" in said or "$MULTITRACK_URL" in said
    text = dockerfile(agent, "debian:12")
    assert text.startswith("ARG BASE=debian:12\nFROM $BASE\nUSER root\nRUN ") and "ARG VERSION=" in text


def test_placeholders_are_variables_whatever_is_in_them(tmp_path: Path) -> None:
    own = declared("printf '%s|' {goal} {model} \"$HOME\" ${model} {unknown} {")
    assert own.script() == ('printf \'%s|\' "$MULTITRACK_GOAL" "$MULTITRACK_MODEL" "$HOME" ${model} {unknown} {')
    environ = {"MULTITRACK_GOAL": "a 'b' \"c\" $(id) `id`\n", "MULTITRACK_MODEL": "m", "HOME": "/h"}
    done = subprocess.run(["sh", "-c", own.script()], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "a 'b' \"c\" $(id) `id`\n|m|/h|{unknown}|{|"
    assert own.environment == OWN_ENVIRONMENT and not own.quiet and not own.install


@pytest.mark.parametrize(
    ("model", "provider", "named"),
    [
        ("claude-sonnet-5-5", "anthropic", "anthropic/claude-sonnet-5-5"),
        ("anthropic/claude-x", "anthropic", "anthropic/claude-x"),
        ("gpt-5.1", "openai", "openai/gpt-5.1"),
        ("openai/gpt-5.1", "openai", "openai/gpt-5.1"),
        ("o4-mini", "openai", "openai/o4-mini"),
        ("gemini-3-pro", "gemini", "gemini/gemini-3-pro"),
        ("some-model", "anthropic", "anthropic/some-model"),
    ],
)
def test_which_provider_a_model_is_asked_of(model: str, provider: str, named: str) -> None:
    assert provider_of(model) == provider
    assert KNOWN["mini-swe-agent"].variables(model, "u", "k")["MULTITRACK_MODEL"] == named
    assert KNOWN["claude-code"].provider_of(model) == "anthropic"
    assert KNOWN["codex"].provider_of(model) == "openai"
    assert KNOWN["codex"].variables(model, "u", "k")["MULTITRACK_MODEL"] == named.partition("/")[2]


def test_what_a_task_needs_for_its_agent() -> None:
    task = Task("g", "/r", Check("true"), model="claude-x")
    assert spoken(task) == {"anthropic"} and installed("builtin") == ()
    task = replace(task, agent="opencode", strategies=(Strategy("a", "b", model="gpt-5"), Strategy("c", "d")))
    assert spoken(task) == {"anthropic", "openai"}
    assert spoken(replace(task, agent="codex")) == {"openai"}
    assert installed("codex") and installed("./own {prompt}") == ()


WHOLE = Seen(3, 3)


@pytest.mark.parametrize(
    ("code", "printed", "seen", "limit", "ending", "says"),
    [
        (0, "a\n\nDone.\n", WHOLE, None, Ending.SUBMITTED, "a · Done."),
        (0, "Done.", replace(WHOLE, calls=4, error=HUNG_UP), None, Ending.SUBMITTED, "Done."),
        (1, "no", WHOLE, None, Ending.SILENT, "it gave up with exit code 1: no"),
        (1, "x", WHOLE, Ending.TURNS, Ending.TURNS, "x"),
        (137, "", WHOLE, None, Ending.CRASHED, "killed by signal 9, which happens when it runs out of memory"),
        (143, "", WHOLE, None, Ending.CRASHED, "killed by signal 15"),
        (127, "sh: claude: not found", Seen(), None, Ending.NEVER_STARTED, "isn't there in the sandbox"),
        (126, "", Seen(), None, Ending.NEVER_STARTED, "can't be run in the sandbox"),
        (1, "bad config", Seen(), None, Ending.NEVER_STARTED, "exit code 1 without a model call: bad config"),
        (1, "Invalid API key · Please run /login", Seen(), None, Ending.LOGIN_LOST, "/login"),
        (1, "429 Too Many Requests", Seen(), None, Ending.RATE_LIMITED, "429"),
        (1, "x", Seen(2, 1, 401, "authentication_error: no"), None, Ending.LOGIN_LOST, "HTTP 401 authentication_error"),
        (0, "x", Seen(2, 1, 429, "rate_limit_error: slow"), None, Ending.RATE_LIMITED, "HTTP 429 rate_limit_error"),
        (0, "x", Seen(2, 1, 429, "insufficient_quota: pay"), None, Ending.LOGIN_LOST, "insufficient_quota"),
        (1, "x", Seen(2, 1, 403, "permission_error: no"), None, Ending.LOGIN_LOST, "permission_error"),
        (1, "x", Seen(2, 1, 400, "invalid_request_error: prompt is too long"), None, Ending.TOKENS, "too long"),
        (1, "x", Seen(2, 1, 500, "api_error: oops"), None, Ending.PROVIDER, "HTTP 500 api_error: oops"),
        (1, "x", Seen(1, 0, None, "the provider could not be reached"), None, Ending.PROVIDER, "could not be reached"),
        (1, "x", Seen(2, 1, 200, "the provider's answer broke off"), None, Ending.PROVIDER, "it was cut off: the prov"),
        (1, "x", Seen(2, 1, 200, HUNG_UP), None, Ending.PROVIDER, "it was cut off: the client hung up: x"),
    ],
)
def test_how_it_ended(code: int, printed: str, seen: Seen, limit: Ending | None, ending: Ending, says: str) -> None:
    found = outcome(code, printed, seen, limit)
    assert found.ending is ending and says in found.detail


def test_last_words_are_safe_and_short() -> None:
    assert last_words("one\n  two\n\nthree\nfour\nfive\n") == "two · three · four · five"
    assert len(last_words("x" * 100_000)) == 400
    assert "\x1b" not in last_words("\x1b]0;title\x07")


def test_output_is_kept_in_bounds_and_told_once() -> None:
    printed = Printed()
    printed.add(b"\x1b[1mone\x1b[0m\ntw")
    assert printed.news() == (("one",), 0)
    printed.add("o é\n  \n 10%\r 50%\r100%\n".encode())
    assert printed.news() == (("two é", "100%"), 0)
    assert printed.news() == ((), 0)
    printed.add(b"rest")
    assert printed.end.endswith("100%\nrest")
    for number in range(LINES + 5):
        printed.add(b"%d\n" % number)
    lines, left_out = printed.news()
    assert (len(lines), left_out, lines[-1]) == (LINES, 5, str(LINES + 4))
    for _ in range(TOLD):
        printed.add(b"more\n" * 3)
        printed.news()
    assert printed.news() == ((), 0)
    printed.add(b"y" * 1_000_000)
    assert len(printed.end) <= 5 * END + 10
