"""`proxy`: the recording proxy alone, for any tool, in the foreground."""

import ipaddress
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from app.commands import Command, whole
from app.context import Context, find_run
from app.failure import CommandError
from app.output import note

if TYPE_CHECKING:
    from backends.proxy import Upstream
    from store.domain.own_price import OwnPrice
    from store.domain.replay import Replay
    from store.domain.route import ModelRoute

PORT = 4141
"""Where it listens unless told otherwise: a tool's configuration can then stay as it is."""

_MORE = """\
A provider is reached under its name: /anthropic, /openai/v1, /gemini. Its key is the one in the environment
(ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY) or of `multitrack login`; where there is none, the client's own goes
through, and is not stored. --upstream names other addresses for them, or other providers, which are taken to speak
OpenAI's protocol unless it is said: --upstream ollama=http://localhost:11434
--upstream gateway:anthropic=https://llm.example.org/anthropic

--route lets another model answer, translated where it speaks another protocol:
--route claude-sonnet-4-5=openai/gpt-5.1  or, with a fallback,  --route 'gpt-*=anthropic/claude-sonnet-4-5,openai/gpt-5'

It ends with Ctrl-C or SIGTERM; calls that are then under way are recorded as far as they came."""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--port", metavar="N", type=whole(0, 65_535), default=PORT, help=f"0 for any free one ({PORT})")
    parser.add_argument("--host", metavar="ADDR", type=_address, default="127.0.0.1", help="one address (127.0.0.1)")
    add_providers(parser)
    parser.add_argument("--replay", metavar="RUN", help="answer from that run's tape, and ask no provider")
    parser.add_argument("--auto", action="store_true", help="with --replay: ask the provider what is not on the tape")
    parser.add_argument("--soft", action="store_true", help="with --replay: let a call answer that is only built alike")
    parser.add_argument("--pace", action="store_true", help="with --replay: answer at the recorded pace")
    parser.add_argument("--quiet", action="store_true", help="no line for each call")
    parser.add_argument("--json", action="store_true", help="print each call as a line of JSON")


def add_providers(parser: ArgumentParser) -> None:
    """The options that say whom a recording proxy asks."""
    parser.add_argument(
        "--upstream",
        metavar="PROVIDER=URL",
        action="append",
        default=[],
        type=_upstream,
        help="where a provider is; may be given several times",
    )
    parser.add_argument(
        "--route",
        metavar="MODEL=TARGET",
        action="append",
        default=[],
        help="let another model answer for a name: PROVIDER/MODEL; may be given several times",
    )
    parser.add_argument(
        "--price",
        metavar="MODEL=USD",
        action="append",
        default=[],
        help="what a model costs: INPUT,OUTPUT[,CACHE_READ[,CACHE_WRITE]], per million tokens; may be repeated",
    )


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]"))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no IP address") from error
    if address.is_unspecified:
        raise ArgumentTypeError(f"{text} would listen on every interface: name the one address that clients reach")
    return str(address)


def _upstream(text: str) -> tuple[str, str, str]:
    """Name, protocol ("" where it is not said) and URL."""
    name, equals, url = text.partition("=")
    name, _, protocol = name.partition(":")
    if not equals or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name == "k":
        raise ArgumentTypeError(f"{text!r} is no PROVIDER=URL, such as openai=http://localhost:11434")
    return name, protocol, url


def _proxy(context: Context, options: Namespace) -> int:
    from app.recorder import Settings, record

    loopback = ipaddress.ip_address(options.host).is_loopback
    if not loopback:
        note(
            f"Other machines can reach {options.host}, by plain HTTP: whoever listens on the way reads keys and "
            "conversations. Clients bring their own keys; one without any is refused, and so is another name as Host."
        )
    upstreams, keys = _upstreams(context, options.upstream, loopback)
    settings = Settings(
        options.host,
        options.port,
        upstreams,
        keys,
        quiet=options.quiet,
        json=options.json,
        routes=[_route(text) for text in options.route],
        replay=_replay(context, options),
        prices=prices(options.price),
    )
    return record(context.home, settings)


def _route(text: str) -> "ModelRoute":
    from store.domain.route import parse

    try:
        return parse(text)
    except ValueError as error:
        raise CommandError(f"--route: {error}.") from error


def prices(texts: list[str]) -> "list[OwnPrice]":
    """What models cost, as `--price` says it. CommandError."""
    from store.domain.own_price import parse

    try:
        return [parse(text) for text in texts]
    except ValueError as error:
        raise CommandError(f"--price: {error}.") from error


def _replay(context: Context, options: Namespace) -> "Replay | None":
    from store.domain.replay import OnMismatch, Replay

    if options.replay is None:
        if wrong := next((name for name in ("auto", "soft", "pace") if getattr(options, name)), None):
            raise CommandError(f"--{wrong} says how a tape answers: name its run with --replay.")
        return None
    with context.store() as store:
        run = find_run(store, options.replay).id
    return Replay(run, OnMismatch.LIVE if options.auto else OnMismatch.STOP, options.soft, options.pace)


def _upstreams(
    context: Context, named: list[tuple[str, str, str]], loopback: bool
) -> "tuple[dict[str, Upstream], dict[str, str]]":
    """The table of providers, those that were named first, and where the key of each comes from, "" for none."""
    from app.credentials import found
    from backends.proxy import KNOWN, Upstream

    wanted = {name: (protocol, url) for name, protocol, url in named}
    wanted |= {name: ("", "") for name in KNOWN if name not in wanted}
    upstreams: dict[str, Upstream] = {}
    keys: dict[str, str] = {}
    for name, (protocol, url) in wanted.items():
        known = KNOWN.get(name)
        key, source = found(context.environ, name, known.keys) if known else ("", "")
        if key and not loopback:
            note(f"The key of {name} is not used: {source} is for clients on this machine alone.")
            key = source = ""
        speaks = protocol or (known.protocol if known else "openai")
        try:
            upstreams[name] = Upstream(url or (known.base_url if known else ""), key or None, speaks, own_key=not key)
        except ValueError as error:
            raise CommandError(f"--upstream {name}: {error}.") from error
        keys[name] = source
    return upstreams, keys


COMMAND = Command("proxy", "Record what any tool asks its models, without a run.", _proxy, _configure, _MORE)
