"""`multitrack exec` around real clients: the SDKs, LiteLLM (aider and mini-swe-agent use it), Claude Code, codex."""

import asyncio
import contextlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.execrig import OWN, answers, calls, line, on_disk, recordings, run, upstream
from tests.proxyrig import Asked, recorded, streamed
from tests.terminal import terminal

ANTHROPIC = """
import anthropic
said = [{"role": "user", "content": "Hi"}]
with anthropic.Anthropic(max_retries=0) as client:
    with client.messages.stream(model="claude-sonnet-4-5", max_tokens=9, messages=said) as stream:
        print(stream.get_final_text())
"""
OPENAI = """
import openai
said = [{"role": "user", "content": "Hi"}]
with openai.OpenAI(max_retries=0) as client:
    print(client.chat.completions.create(model="gpt-5", messages=said).choices[0].message.content)
    print(client.responses.create(model="gpt-5", input="Hi").output_text)
"""
GEMINI = """
from google import genai
with genai.Client() as client:
    print(client.models.generate_content(model="gemini-3-pro", contents="Hi").text)
"""
LITELLM = """
import litellm
said = [{"role": "user", "content": "Hi"}]
for model in ("anthropic/claude-sonnet-4-5", "openai/gpt-5", "gemini/gemini-3-pro"):
    print(litellm.completion(model=model, messages=said, num_retries=0).choices[0].message.content)
"""


@pytest.mark.parametrize(
    ("script", "paths"),
    [
        (ANTHROPIC, ["anthropic /v1/messages"]),
        (OPENAI, ["openai /v1/chat/completions", "openai /v1/responses"]),
        (GEMINI, ["gemini /models/gemini-3-pro:generateContent"]),
        (
            LITELLM,
            [
                "anthropic /v1/messages",
                "openai /v1/chat/completions",
                "gemini /models/gemini-3-pro:generateContent",
            ],
        ),
    ],
    ids=["anthropic", "openai", "gemini", "litellm"],
)
async def test_a_script_with_an_sdk(tmp_path: Path, script: str, paths: list[str]) -> None:
    keys = {name: f"{OWN}-{name}" for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")}
    (tmp_path / "ask.py").write_text(script)
    async with upstream() as (provider, options):
        code, out, said = await run(
            tmp_path / "home", options, sys.executable, str(tmp_path / "ask.py"), environ=keys | _NO_PHONING
        )
    assert (code, out.count(b"\n") >= len(paths)) == (0, True), said
    made = calls(tmp_path / "home")
    # Which version of Gemini's protocol it asks for is the SDK's.
    told = [f"{call.provider} {call.path.partition('?')[0]}" for call in made]
    assert [re.sub(r"^gemini /v1\w*", "gemini ", path) for path in told] == paths
    assert all(call.complete and call.usage.output for call in made)
    assert all(OWN.encode() in asked.head for asked in provider.asked)
    assert OWN.encode() not in on_disk(tmp_path / "home")
    (row,) = recordings(tmp_path / "home")
    assert row.title.startswith("ask.py in ")


_NO_PHONING = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for npm's packages, which are large: gone at the end."""
    folder = tmp_path_factory.mktemp("npm")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def tool(installed: Path, package: str, name: str) -> str:
    """The program of an npm package; skips where it can't be had."""
    program = installed / "node_modules" / ".bin" / name
    if not program.exists():
        if shutil.which("npm") is None:
            pytest.skip(f"{package} needs npm, and there is none here")
        order = ("npm", "install", "--prefix", str(installed), "--no-audit", "--no-fund", package)
        pipe = asyncio.subprocess.PIPE
        npm = await asyncio.create_subprocess_exec(*order, stdout=pipe, stderr=pipe)
        try:
            _, err = await asyncio.wait_for(npm.communicate(), 180)
        except TimeoutError:
            pytest.skip(f"npm did not install {package} in time")
        finally:
            with contextlib.suppress(ProcessLookupError):
                npm.kill()
        if npm.returncode or not program.exists():
            pytest.skip(f"npm did not install {package}: {err.decode()[-200:]}")
    return str(program)


def alone(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and nothing told to anybody."""
    (tmp_path / "me").mkdir()
    return {"HOME": str(tmp_path / "me"), "DISABLE_TELEMETRY": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}


async def acting(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Uses a tool first, then says something; both as recorded."""
    if asked.line.startswith(b"POST /v1/messages?") and b"tool_result" not in asked.body:
        await streamed(recorded("tools.sse"))(asked, writer)
    else:
        await answers(asked, writer)


async def test_claude_code(tmp_path: Path, installed: Path) -> None:
    claude = await tool(installed, "@anthropic-ai/claude-code", "claude")
    environ = alone(tmp_path) | {"ANTHROPIC_API_KEY": OWN}
    async with upstream(acting) as (provider, options):
        code, out, said = await run(tmp_path / "home", options, claude, "-p", "why?", environ=environ)
    assert (code, b"The retry in `reserve()`" in out) == (0, True), said
    assert "error" not in said, "a probe that finds nothing is no call of a model"
    asks = [call for call in calls(tmp_path / "home") if call.model]
    assert [(call.status, call.complete) for call in asks] == [(200, True)] * 2
    assert len({call.thread for call in asks}) == 1 and asks[0].thread
    assert asks[0].answer is not None and asks[1].answer != asks[0].answer, "the second goes on where the first ended"
    assert {dict(asked.headers)[b"x-api-key"] for asked in provider.asked if asked.body} == {OWN.encode()}
    assert OWN.encode() not in on_disk(tmp_path / "home")
    (row,) = recordings(tmp_path / "home")
    assert row.title.startswith("claude in ")


async def test_claude_code_in_a_terminal(tmp_path: Path, installed: Path) -> None:
    """Its screen, its keys, its way to step aside and to end: all as without us."""
    claude = await tool(installed, "@anthropic-ai/claude-code", "claude")
    environ = alone(tmp_path) | {"ANTHROPIC_API_KEY": OWN}
    # As after its first start, which asks for a theme, and looks whether Anthropic can be reached.
    known: dict[str, Any] = {"hasCompletedOnboarding": True, "theme": "dark"}
    known["customApiKeyResponses"] = {"approved": [OWN[-20:]], "rejected": []}
    known["projects"] = {str(Path.cwd()): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}}
    (tmp_path / "me" / ".claude.json").write_text(json.dumps(known))
    (tmp_path / "rc").write_text("PS1='$? ready> '\n")

    def drive(options: list[str]) -> None:
        with terminal(["bash", "--rcfile", str(tmp_path / "rc"), "-i"], environ, 120, 45) as screen:
            screen.shows("ready>")
            screen.type(f"clear; {shlex.join(line(tmp_path / 'home', *options))} -- {claude}", "Enter")
            screen.shows("Claude Code v", "? for shortcuts")
            screen.type("why", "Enter")
            screen.shows("Let me read both files", "look at the callers", "? for shortcuts")
            screen.type("C-z")
            screen.shows("has been suspended", "Stopped", "ready>")
            screen.type("clear; fg", "Enter")
            screen.shows("look at the callers", "? for shortcuts")
            screen.type("C-c")
            screen.shows("Press Ctrl-C again to exit")
            screen.type("C-c")
            screen.shows("multitrack: ", " calls, ", "0 ready>")

    async with upstream(acting) as (_, options):
        await asyncio.to_thread(drive, options)
    asks = [call for call in calls(tmp_path / "home") if call.model]
    assert len(asks) >= 2 and all(call.complete for call in asks)
    assert OWN.encode() not in on_disk(tmp_path / "home")


@pytest.mark.parametrize("login", ["key", "chatgpt"])
async def test_codex(tmp_path: Path, installed: Path, login: str) -> None:
    codex = await tool(installed, "@openai/codex", "codex")
    environ = alone(tmp_path) | {"CODEX_API_KEY": OWN}
    async with upstream() as (provider, options):
        if login == "chatgpt":
            # As where it is logged in so: the address is then another.
            options = [*options, f"--upstream=chatgpt={provider.base_url}/backend-api/codex"]
        order = (codex, "exec", "--skip-git-repo-check", "-C", str(tmp_path), "hi")
        code, out, said = await run(tmp_path / "home", options, *order, environ=environ)
    assert (code, b"How can I assist you" in out) == (0, True), said
    (call,) = [call for call in calls(tmp_path / "home") if call.model]
    provided = {"key": ("openai", "/v1/responses"), "chatgpt": ("chatgpt", "/responses")}
    assert (call.provider, call.path, call.status, call.complete) == (*provided[login], 200, True)
    assert call.usage.output and call.thread
    assert "multitrack: nothing was recorded" not in said and ", 0 tokens" not in said
    assert OWN.encode() not in on_disk(tmp_path / "home")
