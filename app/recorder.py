"""A recorder for any tool: the recording proxy in the foreground, with a run of its own that has calls and no lanes."""

import asyncio
import errno
import ipaddress
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from app.calls import facts, line
from app.disk import Filling
from app.failure import CommandError, Exit
from app.output import counted, emit, money, note, say
from store.domain.ids import new_run_id
from store.domain.safe_text import safe_line
from store.home import Home

if TYPE_CHECKING:
    from backends.proxy import Address, Upstream
    from store.database import Store
    from store.domain.own_price import OwnPrice
    from store.domain.replay import Replay
    from store.domain.route import ModelRoute

STOPPED = "the proxy was stopped"
"""The error of a call that was under way when its recorder ended."""

SWITCH = 0.0005
"""Seconds between two threads' turns, as in an engine: a commit waits for the thread that prints."""

LOOK = 0.5
"""Seconds after which the thread that prints looks whether it is to end."""

PATIENCE = 2.0
"""Seconds that whoever reads the output has to take the last of it."""


@dataclass(frozen=True)
class Settings:
    """What a recorder is started with. A path that names none of the upstreams goes to the first one that speaks so.
    `keys` says for each of them where its key comes from, "" for the client's own. `routes` are models that others
    answer for; `replay` is a run that answers in the providers' place; `prices` are the operator's own."""

    host: str
    port: int
    upstreams: "Mapping[str, Upstream]"
    keys: Mapping[str, str]
    quiet: bool = False
    json: bool = False
    routes: "Sequence[ModelRoute]" = ()
    replay: "Replay | None" = None
    prices: "Sequence[OwnPrice]" = ()


def record(home: Home, settings: Settings) -> int:
    """Record until an interrupt or SIGTERM; the exit code. CommandError when it can't listen there, StoreError."""
    import uvloop

    with recording(home) as (store, run):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            told = runner.run(_serve(home, store, run, settings))
        if told:
            _sum_up(store, run, settings)
    if not told:
        # Nobody reads what is printed, though the pipe is open. Python's own end would wait for that, too.
        os._exit(Exit.FINE)
    return Exit.FINE


@contextmanager
def recording(home: Home) -> "Iterator[tuple[Store, str]]":
    """The open store, and a run's name in it that is this process's until the block is left; the run is put on record
    by `begin`. What recorders that were killed left open is closed. StoreError."""
    from store.database import open_store
    from store.lock import RunLock
    from store.settling import settle

    sys.setswitchinterval(SWITCH)
    settle()
    home.create()
    with open_store(home.store) as store, store.hold():
        _bury(home, store)
        run = _name(store)
        folder = home.folder(run).create()
        with RunLock(folder.lock) as lock:
            lock.acquire()
            try:
                with _exported(store, run):
                    yield store, run
            except CommandError:
                shutil.rmtree(folder.path, ignore_errors=True)
                raise


def _exported(store: "Store", run: str) -> "AbstractContextManager[object]":
    """Its spans to an endpoint, where the environment names one; else all that is spared, a tenth of the start."""
    if not any(name.startswith("OTEL_") for name in os.environ):
        return nullcontext()
    from backends.export import exported

    return exported(store, run, os.environ)


def base_urls(settings: Settings, address: str) -> dict[str, str]:
    """What clients are given as a base URL, by provider, each as the SDKs of that protocol want it."""
    return {
        name: f"{address}/{name}" + (upstream.version or "/v1" if upstream.protocol == "openai" else "")
        for name, upstream in settings.upstreams.items()
    }


def tools(urls: Mapping[str, str]) -> list[tuple[str, str]]:
    """How well-known tools are told of it: the tool, and what to set."""
    told = []
    if url := urls.get("anthropic"):
        told.append(("Claude Code", f"ANTHROPIC_BASE_URL={url} claude"))
        told.append(("opencode", f"provider.anthropic.options.baseURL = {url}/v1"))
    if url := urls.get("openai"):
        table = f'{{name="multitrack", base_url="{url}", env_key="OPENAI_API_KEY", wire_api="responses", '
        table += "supports_websockets=false}"
        told.append(("codex", f"codex -c model_provider=multitrack -c 'model_providers.multitrack={table}'"))
        told.append(("OpenAI's SDKs", f"OPENAI_BASE_URL={url}"))
    if url := urls.get("gemini"):
        told.append(("gemini-cli", f"GOOGLE_GEMINI_BASE_URL={url} gemini  (with an API key, not a login)"))
    bases = [f"{name}_API_BASE={urls[key]}" for name, key in _BASES if key in urls]
    if bases:
        told.append(("aider, LiteLLM", " ".join(bases)))
    return told


_BASES = (("ANTHROPIC", "anthropic"), ("OPENAI", "openai"))


def _name(store: "Store") -> str:
    """A name for the run that is recorded into."""
    from store import runs

    taken, random = {row.id for row in runs.runs(store)}, Random()  # noqa: S311 - a name, no secret
    return next(name for name in iter(lambda: new_run_id(random), "") if name not in taken)


def begin(store: "Store", run: str, title: str = "") -> None:
    """Put the run on record: once it can be recorded into."""
    from store import runs

    at = time.time()
    title = title or titled("Recording of", at)
    store.write(lambda connection: runs.create(connection, run, title, at=at))


def titled(what: str, at: float) -> str:
    """A title with the time in it."""
    return f"{what} {time.strftime('%Y-%m-%d %H:%M', time.localtime(at))}"


def _bury(home: Home, store: "Store") -> None:
    """Close the calls of recorders that were killed: a lock that nobody holds still has its holder's name in it."""
    from store import events, runs, tapes
    from store.lock import RunLock

    for row in runs.runs(store):
        path = home.folder(row.id).lock
        if path.exists() and path.stat().st_size and not events.last(store, row.id):
            with RunLock(path) as lock:
                if lock.acquire():
                    store.write(partial(tapes.orphans, run=row.id, at=time.time()))


async def _serve(home: Home, store: "Store", run: str, settings: Settings) -> bool:
    """Record until it is told to end; whether all that there was to print has been printed."""
    from backends.proxy import Prices, Proxy, Tape, serve
    from store.domain.own_price import by_model
    from store.scribe import Scribe

    signalled, loop = asyncio.Event(), asyncio.get_running_loop()
    ends = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # Without nohup it ends with its terminal.
        ends.add(signal.SIGHUP)
    for number in ends:
        loop.add_signal_handler(number, signalled.set)
    tape = None if settings.replay is None else Tape(store, settings.replay, into=run)
    scribe = Scribe(store.path, durability=store.durability, journal=True)
    try:
        proxy = Proxy(
            store,
            upstreams=settings.upstreams,
            prices=Prices.default().with_own(by_model(settings.prices)),
            open_to=run,
            tape=tape,
            model_routes=settings.routes,
            scribe=scribe,
        )
    except ValueError as error:
        raise CommandError(f"--route: {error}.") from error
    proxy.admission.keyless = ipaddress.ip_address(settings.host).is_loopback
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(home, store, run, over, settings), name="teller", daemon=True)
    listening = False
    try:
        async with serve(proxy, host=settings.host, port=settings.port) as address:
            listening = True
            begin(store, run)
            # Whoever read the output went away: recording goes on.
            with suppress(BrokenPipeError):
                _announce(home, run, settings, address)
            teller.start()
            await signalled.wait()
            await proxy.close(STOPPED)
    except OSError as error:
        if listening:
            raise
        raise _cannot_listen(settings, error) from error
    finally:
        await scribe.close()
    over.set()
    await asyncio.to_thread(teller.join, PATIENCE)
    return not teller.is_alive()


def _tell(home: Home, store: "Store", run: str, over: threading.Event, settings: Settings) -> None:
    """Print each call as it ends, and a word when the disk fills, in a thread of its own, until it is over and all are
    told."""
    from store.ended import EndedCalls
    from store.errors import StoreError

    ended, disk = EndedCalls(store, run, past=True), Filling(home)
    while True:
        last = over.is_set()
        try:
            if (word := disk.news(time.monotonic())) is not None:
                note(f"multitrack: {word}.")
            if settings.quiet:
                if last or over.wait(Filling.EVERY):
                    return
                continue
            for call in ended.wait(0 if last else LOOK):
                emit({"kind": "call", **facts(call)}) if settings.json else say(line(call))
            sys.stdout.flush()
        except StoreError as error:
            # The proxy tells its clients; when it is over, here too.
            note(f"multitrack: {error}")
            over.wait(10.0)
        except OSError:
            # Whoever read the output went away: recording goes on.
            return
        if last:
            return


def _announce(home: Home, run: str, settings: Settings, address: "Address") -> None:
    urls = base_urls(settings, address.base_url)
    if settings.json:
        emit({"kind": "listening", "run": run, "store": str(home.store), "url": address.base_url, "base_urls": urls})
        sys.stdout.flush()
        return
    say(f"Recording into run {run} of {home.store}. Ctrl-C ends it.\n")
    width = max(map(len, urls))
    for name, url in urls.items():
        asks = safe_line(settings.upstreams[name].base_url)
        say(f"  {name:<{width}}  {url}  →  {asks}, with {settings.keys.get(name) or 'the client’s own key'}")
    for route in settings.routes:
        say(f"  {safe_line(route.model)}  →  {', '.join(map(str, (*route.deployments, *route.fallbacks)))}")
    if settings.replay is not None:
        say(f"\nThe tape of run {settings.replay.run} answers; {_OTHERWISE[settings.replay.on_mismatch]}")
    if any(settings.keys.values()):
        say("\nWhoever can reach this address uses these keys; unset them, and each client needs its own.")
    say("")
    for tool, what in tools(urls):
        say(f"  {tool:<14}  {what}")
    say("")
    sys.stdout.flush()


_OTHERWISE = {
    "stop": "what is not on it is answered with an error, and no provider is asked.",
    "live": "what is not on it is asked of the provider.",
}


def _sum_up(store: "Store", run: str, settings: Settings) -> None:
    from store import tapes

    (count, tries), spend = tapes.count(store, run), tapes.spend(store, run)
    if settings.json:
        told = {"kind": "ended", "run": run, "calls": count, "tries": tries, "tokens": spend.usage.total}
        emit({**told, "cost": spend.usd, "priced": spend.priced})
        return
    if sys.stdout.isatty():
        # Behind what a terminal shows of Ctrl-C.
        say()
    made = f"{counted(count, 'call')}" + (f" ({counted(tries, 'try', 'tries')} by routes)" if tries else "")
    used = f"{spend.usage.total:,} tokens, {money(spend.usd, priced=spend.priced)}"
    say(f"Run {run}: {made}, {used}." + (f" `multitrack calls {run}` lists them." if count else ""))


def _cannot_listen(settings: Settings, error: OSError) -> CommandError:
    where = f"{settings.host} port {settings.port}"
    match error.errno:
        case errno.EADDRINUSE:
            said = f"{where} is in use: end what listens there, or name another with --port (0 takes a free one)"
        case errno.EADDRNOTAVAIL:
            said = f"{settings.host} is no address of this machine: name one with --host"
        case errno.EACCES:
            said = f"{where} may not be listened on: name one above 1023 with --port"
        case _:
            said = f"{where} can't be listened on: {error.strerror or error}"
    return CommandError(f"{said}.", Exit.ENVIRONMENT)
