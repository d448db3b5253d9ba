"""A whole run with an agent that is a program: the real harness, the real proxy, and a provider that plays a script."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.agents.commands.agent import CommandAgent
from backends.agents.commands.declaration import Declaration
from backends.proxy import Prices, Proxy, serve
from backends.proxy import Upstream as To
from backends.sandboxes.docker import DockerSandboxes, Host
from store import tapes
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.docker import DockerSettings
from store.domain.events import Event, Payload
from store.domain.ids import SubagentId
from store.domain.tape import Call
from tests.harnessrig import Rig, rig
from tests.upstreams import Script, Upstream

PATIENCE = 300.0
"""Seconds: some agents take many to start on a loaded machine."""
MODEL = "claude-sonnet-4-5"
PRICES = Prices({MODEL: {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6}})

PROGRAM = '''
"""An agent in a file: asks, runs what it is asked to, until it is asked for nothing."""
import json, os, subprocess, sys, urllib.error, urllib.request, uuid

URL = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
SESSION = str(uuid.uuid4())


def ask(messages, thread):
    body = {"model": os.environ["MULTITRACK_MODEL"], "max_tokens": 64, "messages": messages,
            "tools": [{"name": "Bash", "input_schema": {"type": "object"}},
                      {"name": "Agent", "input_schema": {"type": "object"}}]}
    headers = {"content-type": "application/json", "x-api-key": os.environ["ANTHROPIC_API_KEY"],
               "x-claude-code-session-id": SESSION}
    if thread:
        headers["x-claude-code-agent-id"] = thread
    request = urllib.request.Request(URL, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["content"]
    except urllib.error.HTTPError as error:
        sys.exit(f"API Error: {error.code} {error.read().decode()}")


def work(told, thread=""):
    messages = [{"role": "user", "content": told}]
    while True:
        content = ask(messages, thread)
        messages.append({"role": "assistant", "content": content})
        results = []
        for block in content:
            if block["type"] == "tool_use":
                given = block["input"]
                if block["name"] == "Agent":
                    said, wrong = work(given["prompt"], "a" + uuid.uuid4().hex[:16]), False
                else:
                    done = subprocess.run(given["command"], shell=True, capture_output=True, text=True)
                    wrong = done.returncode != 0
                    said = (f"Exit code {done.returncode}\\\\n" if wrong else "") + done.stdout + done.stderr
                results.append({"type": "tool_result", "tool_use_id": block["id"], "content": said, "is_error": wrong})
        if not results:
            return "".join(block["text"] for block in content if block["type"] == "text")
        messages.append({"role": "user", "content": results})


print("\\x1b[1mready\\x1b[0m", flush=True)
print(work(open(sys.argv[1]).read()))
'''.replace("\\\\n", "\\n")


@dataclass
class Studio:
    """Everything up."""

    rig: Rig
    agent: CommandAgent
    upstream: Upstream
    base_url: str
    proxy: Proxy

    @property
    def subagent(self) -> SubagentId:
        return SubagentId(self.rig.run, 1, 1)

    def calls(self) -> list[Call]:
        return tapes.calls(self.rig.store, run=self.rig.run)

    def said(self, call: Call) -> list[Block]:
        return [block for message in tapes.answers(self.rig.store, call) for block in blocks(message.message)]

    def uses(self, call: Call) -> list[str]:
        return [block.name for block in self.said(call) if block.kind is BlockKind.TOOL_CALL]

    def events(self, *kinds: type[Payload]) -> list[Event]:
        return [event for event in self.rig.events(*kinds) if event.subagent is not None]

    async def finish(self) -> None:
        self.rig.agent = self.agent
        await asyncio.wait_for(self.rig.engine(base_url=self.base_url, cut=self.proxy.cut), PATIENCE)


@asynccontextmanager
async def studio(
    path: Path, declaration: Declaration, script: Script, docker: DockerSettings | None = None, **changes: object
) -> AsyncIterator[Studio]:
    """A run of one lane that works with the agent, in a container of these settings or in a local sandbox. `changes`
    are the task's."""
    upstream = Upstream(script)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(upstream.serving())
        made = await stack.enter_async_context(rig(path, **{"model": MODEL, **changes}))  # type: ignore[arg-type]
        if docker is not None:
            folder = made.home.folder(made.run)
            host = Host("", os.environ)
            stack.callback(host.close)
            sandboxes = DockerSandboxes(made.run, folder.sandboxes, folder.mirror, docker, os.environ, host=host)
            stack.push_async_callback(sandboxes.remove)
            # An image that isn't there yet takes longer than a test waits for a run.
            await sandboxes.prepare(print)
            rigged: Any = made
            rigged.sandboxes = lambda: sandboxes
        agent = CommandAgent(declaration, made.store)
        upstreams = {"anthropic": To(upstream.base_url, "real"), "openai": To(upstream.base_url, "real", "openai")}
        proxy = Proxy(made.store, upstreams=upstreams, prices=PRICES, before_turn=agent.before_turn)
        async with serve(proxy) as address:
            yield Studio(made, agent, upstream, address.base_url, proxy)
