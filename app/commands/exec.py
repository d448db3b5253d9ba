"""`exec`: run a command, and record what it asks its models."""

import json
import subprocess
import time
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, astuple
from pathlib import Path
from shlex import quote
from typing import IO, TYPE_CHECKING, Any

from app.commands import Command, Group, proxy
from app.context import Context
from app.failure import CommandError
from app.output import counted, money, note
from store.domain.secrets import masked

if TYPE_CHECKING:
    from app.attached import Attached, Order, Summary
    from app.pointing import Plan

LOGIN_SECONDS = 5.0
"""The most that codex may take to say how it is logged in: a fifth of a second is usual."""

_MORE = """\
multitrack exec -- claude
multitrack exec --name 'the login bug' -- codex exec 'why does the login fail?'
multitrack exec -- python agent.py

The command has the terminal, and its exit code is that of this (127: not found, 126: not executable, 128 + n: ended by
signal n). It brings its own keys; none is stored. Its environment leads the SDKs of Anthropic, OpenAI and Gemini,
LiteLLM, Claude Code, gemini-cli, aider, mini-swe-agent and opencode to a recording proxy, and codex is told by an
argument. An address that your environment names already (ANTHROPIC_BASE_URL, OPENAI_BASE_URL, …) is where the proxy
then asks; --upstream names others: --upstream openai=http://localhost:11434. A tool that reads no such variable can be
given the address: multitrack exec -- sh -c 'tool --api-base "$MULTITRACK_URL_OPENAI"'

Each time makes a recording of its own: `multitrack calls last` lists it, `multitrack` shows it. It goes on until the
command has ended and its last answer is recorded, also when this process is killed."""


def _configure(parser: ArgumentParser) -> None:
    parser.usage = "multitrack exec [OPTION …] [--] COMMAND [ARGUMENT …]"
    parser.add_argument("--name", metavar="TITLE", default="", help="what the recording is called")
    proxy.add_providers(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary at the end")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the summary to a file, as JSON")
    parser.add_argument("command_line", metavar="COMMAND", nargs=REMAINDER, help="what to run, with its arguments")


def _exec(context: Context, options: Namespace) -> int:
    from app.attached import Attached
    from app.pointing import arguments, environment, plan
    from app.supervised import CommandNotRun, Supervised, found

    command: list[str] = options.command_line
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise CommandError("name the command to run: multitrack exec -- claude")
    try:
        file = found(command[0], context.environ)
        named = {name: (protocol, url) for name, protocol, url in options.upstream}
        planned = plan(context.environ, named | _chatgpt(command, file, context.environ, named))
        order = _order(context, options, command, planned)
        with _opened(options.json) as told, closing(Attached(order)) as recorder:
            environ = environment(context.environ, planned, recorder.address, recorder.run)
            began = time.time()
            running = Supervised(file, arguments(command, planned, recorder.address), environ)
            recorder.watch(running.pid)
            code = running.wait()
            # The command has ended: whatever happens from here on, its exit code stands.
            with suppress(KeyboardInterrupt, OSError):
                summary = _finish(context, options, command, recorder)
                if told is not None:
                    json.dump(masked(_facts(recorder.run, code, began, summary)), told)
                    told.write("\n")
    except CommandNotRun as error:
        note(f"multitrack: {error}.")
        return error.status
    return code


def _chatgpt(
    command: list[str], file: str, environ: Mapping[str, str], named: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """The provider that codex asks with a login to ChatGPT, where it has one and nobody named another."""
    from app.pointing import CHATGPT, is_codex

    if not is_codex(command) or "openai" in named or "chatgpt" in named or environ.get("CODEX_API_KEY"):
        return {}
    try:
        asked = [file, "login", "status"]
        told = subprocess.run(asked, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=LOGIN_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"chatgpt": ("openai", CHATGPT)} if b"ChatGPT" in told.stdout + told.stderr else {}


def _order(context: Context, options: Namespace, command: list[str], planned: "Plan") -> "Order":
    from app.attached import Order, Provider
    from app.pointing import title
    from app.recorder import titled

    keys = _keys(context, options.route) if options.route else {}
    providers = {
        name: Provider(target.url, target.protocol, keys.get(name, ""), target.source or f"--upstream {name}")
        for name, target in planned.targets.items()
    }
    called = options.name or titled(title(command, Path.cwd()), time.time())
    prices = [astuple(price) for price in proxy.prices(options.price)]
    home = context.home
    return Order(str(home.root), str(home.store), called, providers, options.route, prices, context.debug)


def _keys(context: Context, routes: list[str]) -> dict[str, str]:
    """The configured keys of providers that other models are asked of: what is translated for another provider can't
    have the key that the client brings for its own."""
    from app.credentials import found
    from backends.proxy import KNOWN
    from store.domain.route import parse

    try:
        asked = {deployment.upstream for text in routes for deployment in parse(text).tried}
    except ValueError as error:
        raise CommandError(f"--route: {error}.") from error
    return {name: found(context.environ, name, KNOWN[name].keys)[0] for name in asked & KNOWN.keys()}


@contextmanager
def _opened(path: Path | None) -> "Iterator[IO[str] | None]":
    """Where the summary goes: a file that can't be written is a mistake before the command begins, not after."""
    if path is None:
        yield None
    else:
        with path.open("w", encoding="utf-8") as file:
            yield file


def _finish(context: Context, options: Namespace, command: list[str], recorder: "Attached") -> "Summary | None":
    """What came of it, which is said, too."""
    from app.pointing import gone_around, why_nothing

    try:
        summary = recorder.end()
    except CommandError as error:
        note(f"multitrack: {error}")
        return None
    if options.quiet:
        return summary
    store = "" if context.store_path is None else f" --store {quote(str(context.store_path))}"
    look = f"`multitrack calls {recorder.run}{store}`"
    if summary is None:
        note(
            f"multitrack: the command has ended, but not all of its calls: process {recorder.pid} records them to the "
            f"end. {look} lists what there is."
        )
    elif summary.calls:
        failed = f", {counted(summary.errors, 'error')}" if summary.errors else ""
        used = f"{summary.tokens:,} tokens, {money(summary.cost, priced=summary.priced)}{failed}"
        note(
            f"multitrack: {counted(summary.calls, 'call')}, {used}. {look} lists them, `multitrack{store}` shows them."
        )
        if summary.errors and (variable := gone_around(context.environ)):
            note(f"multitrack: {variable} is set, but the recorder asks providers without that proxy.")
    else:
        note(f"multitrack: nothing was recorded: {why_nothing(command, context.environ)}")
    if summary is not None and not summary.calls and summary.refused:
        note(f"multitrack: {counted(summary.refused, 'request')} refused; {summary.log} says why.")
    return summary


def _facts(run: str, code: int, began: float, summary: "Summary | None") -> dict[str, Any]:
    """The summary as JSON: null for what isn't known, as where calls are still under way. Times are Unix seconds."""
    told = {} if summary is None else {**asdict(summary)}
    return {
        "run": run if summary is None or summary.calls else None,
        "exit": code,
        "began": began,
        "ended": time.time(),
        **{name: told.get(name) for name in ("calls", "tries", "errors", "tokens", "cost", "priced", "refused", "log")},
    }


GROUP = Group(
    "record any tool",
    (Command("exec", "Run a command, and record what it asks its models.", _exec, _configure, _MORE), proxy.COMMAND),
)
