"""The recording proxy as an ASGI app: who is calling, whether they may, and the calls that are under way."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from backends.proxy import routes
from backends.proxy.admission import Admission, Admit, BeforeTurn, Caller
from backends.proxy.answering import Answerer, Forward, Provider
from backends.proxy.budget import Admitted
from backends.proxy.headers import Headers, get, kept
from backends.proxy.identity import address, kept_query, thread, without_keys
from backends.proxy.incoming import (
    Asked,
    HungUpError,
    Receive,
    RefusedError,
    Scope,
    Share,
    check,
    read_asked,
    read_body,
)
from backends.proxy.prices import Prices
from backends.proxy.protocol import Live
from backends.proxy.recorder import Recording
from backends.proxy.relay import HUNG_UP, Exchange, Send, answer
from backends.proxy.replay import Tape, requested
from backends.proxy.room import Room
from backends.proxy.routes import Route, Upstream
from backends.proxy.translation.attempts import Attempt, Watched
from backends.proxy.translation.routed import Over, RoutedReader
from backends.proxy.translation.routing import Found, Routing
from backends.proxy.upstream import Client, Timeouts
from store.database import Store
from store.domain.ids import SubagentId
from store.domain.route import ModelRoute
from store.domain.secrets import shown_line
from store.scribe import Scribe
from store.tail import TailWriter
from store.tapes import CallStart, new_call_id

log = logging.getLogger("multitrack.proxy")

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class _Request:
    """A request that may go out."""

    caller: Caller
    route: Route
    method: str
    query: str
    headers: Headers
    body: bytes
    asked: Asked
    admitted: Admitted | None
    attempt: Attempt | None = None
    """The try of a routed call that it is."""
    found: Found | None = None
    """The route that it has."""


class Proxy:
    """Forwards, records, and knows what is under way. It takes calls while it is served."""

    def __init__(
        self,
        store: Store,
        *,
        upstreams: Mapping[str, Upstream],
        tail: TailWriter | None = None,
        clock: Callable[[], float] = time.time,
        prices: Prices | None = None,
        admit: Admit | None = None,
        before_turn: BeforeTurn | None = None,
        timeouts: Timeouts | None = None,
        open_to: str | None = None,
        tape: Tape | None = None,
        model_routes: Iterable[ModelRoute] = (),
        scribe: Scribe | None = None,
    ) -> None:
        """`upstreams` by name; a path that names none of them goes to the first. `tail` gets the streaming text.
        `before_turn` is awaited before a subagent's model call goes out. `open_to` is a run that also takes the calls
        of clients without a virtual key: a bare recording. `tape` answers in the providers' place. `model_routes` name
        who else answers for a model. ValueError for a route that leads to no upstream. A `scribe` records calls in a
        process of its own, and is its owner's to close."""
        if not upstreams:
            raise ValueError("a proxy needs an upstream")
        self._hosts: list[str] = []
        self._names = LOOPBACK
        self._bodies: dict[Hashable, int] = {}
        self._store = store
        self._random = Random()  # noqa: S311 - for ids: no secrets
        self._upstreams = dict(upstreams)
        self._tail = tail
        self._clock = clock
        self._prices = prices or Prices.default()
        self.admission = Admission(store, self._prices, clock, admit=admit, open_to=open_to, before_turn=before_turn)
        self._timeouts = timeouts or Timeouts()
        self._room = Room()
        self._scribe = scribe
        self._tape = tape
        self.routing = Routing(model_routes, self._upstreams, self._timeouts.silence, store)
        self._client: Client | None = None
        self._live: dict[SubagentId | None, set[Exchange]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, host: str) -> None:
        """Take calls that name this host, beside loopback's names."""
        self._hosts.append(host)
        self._names = LOOPBACK.union(self._hosts)

    async def shut(self, host: str) -> None:
        """It is not served there any more; nowhere else either: it closes."""
        if host in self._hosts:
            self._hosts.remove(host)
            self._names = LOOPBACK.union(self._hosts)
        if not self._hosts:
            await self.close()

    @property
    def under_way(self) -> int:
        """How many calls have begun, and are not recorded to their end."""
        return len(self._tasks)

    def cut(self, subagent: SubagentId, reason: str = "the subagent was killed") -> None:
        """End a subagent's open calls at once. What came of them is recorded, with the reason."""
        for exchange in tuple(self._live.get(subagent, ())):
            exchange.stop(reason)
        self.admission.end(subagent)

    async def close(self, reason: str = "the engine stopped") -> None:
        """Take no more calls, end those that are open, wait until they are recorded, and let go of the providers."""
        self._hosts.clear()
        for exchange in [exchange for under_way in self._live.values() for exchange in under_way]:
            exchange.stop(reason)
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._client is not None:
            await self._client.close()
            self._client = None
        await self.routing.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        share = Share(self._bodies)
        try:
            await self._take(scope, receive, send, share)
        finally:
            share.give_back()

    async def _take(self, scope: Scope, receive: Receive, send: Send, share: Share) -> None:
        """Pass a request on, or refuse it."""
        headers: Headers = scope["headers"]
        query = scope["query_string"].decode("latin-1")
        addressed = address(scope["raw_path"].decode("ascii"), headers, query)
        route = routes.find(self._upstreams, addressed.path)
        attempt, found = self.routing.attempts.find(headers), None
        try:
            if not self._hosts:
                raise RefusedError(503, "the recording proxy is closing")
            check(scope, addressed.path, self._names)
            caller = self.admission.caller(addressed) if attempt is None else attempt.called(route.provider)
            share.client = caller.subagent
            body = await read_body(headers, receive, share)
            asked = read_asked(headers, body)
            if attempt is None and (found := self.routing.find(addressed.path, asked, scope["server"])) is not None:
                route = found.route
            elif attempt is None and route.guessed and route.upstream.own_key and addressed.secret:
                # A client's own key is for one provider alone.
                names = ", ".join(f"/{name}" for name in self._upstreams)
                raise RefusedError(404, f"whose this path is, nothing tells: put its provider in front of it ({names})")
            model, stream = route.protocol.asked(route.path, asked.model, asked.stream)
            asked = replace(asked, model=model, stream=stream)
            peer = scope["client"][0] if scope["client"] else ""
            admitted = None
            if attempt is None:
                admitted = await self.admission.ask(caller, asked, route, scope["method"], peer=peer, headers=headers)
        except HungUpError:
            return
        except RefusedError as refused:
            log.warning("refused %s %s: %s", scope["method"], shown_line(addressed.path, 200), refused)
            await self._refuse(refused, route, headers, send)
            return
        request = _Request(caller, route, scope["method"], query, headers, body, asked, admitted, attempt, found)
        hang_up = scope["extensions"]["multitrack.hang_up"]["hang_up"]
        try:
            await self._follow(caller.subagent, self._exchange(request, send, hang_up), receive)
        finally:
            if admitted is not None:
                admitted.release()

    async def _refuse(self, refused: RefusedError, route: Route, headers: Headers, send: Send) -> None:
        more = []
        if refused.retry_after is not None:
            more.append((b"retry-after", b"%d" % math.ceil(refused.retry_after)))
        elif refused.status < 500:
            more.append((b"x-should-retry", b"false"))
        if refused.status == 408 or get(headers, b"expect"):
            # Whether its body still comes is the client's to decide: only a new connection is sure to begin anew.
            more.append((b"connection", b"close"))
        await answer(send, refused.status, route.protocol.error(refused.status, str(refused), refused.kind), more)

    def _exchange(self, request: _Request, send: Send, hang_up: Callable[[], None]) -> Exchange:
        """A call, recorded from now on."""
        route, attempt, subagent = request.route, request.attempt, request.caller.subagent
        at = self._clock()
        start = CallStart(
            id=new_call_id(at, self._random.randbytes(8)),
            at=at,
            run=request.caller.run,
            subagent=subagent,
            provider=route.provider,
            method=request.method,
            path=route.path + (f"?{kept_query(request.query)}" if request.query else ""),
            model=request.asked.model,
            stream=request.asked.stream,
            headers=kept(request.headers),
            thread=thread(request.headers),
            body=request.asked.plain,
            protocol=route.protocol.endpoint(request.method, route.path),
            conversation=route.protocol.conversation(request.method, route.path),
            parent=None if attempt is None else attempt.call,
        )
        reader = route.protocol.reader(request.method, route.path, self._live_text(subagent, start.id, attempt))
        over: Over | None = None if request.admitted is None else request.admitted.end
        routed = None
        if request.found is not None and request.found.plan is not None:
            routed = self.routing.routed(request.found, self._connections(), start, request.caller)
            reader, over = RoutedReader(reader, routed), routed.over(over)
        if attempt is not None:
            answerer: Answerer = Watched(attempt, self._provider())
            over = attempt.ended
        else:
            answerer = self._answerer(start, self._provider if routed is None else routed.live)
        if answerer.source:
            start = start._replace(source=answerer.source)
        exchange = Exchange(
            Forward(
                route.protocol,
                route.url(without_keys(request.query, own_key=route.upstream.own_key)),
                route.upstream.api_key,
                request.method,
                request.headers,
                request.body,
                own_key=route.upstream.own_key and (attempt is None or attempt.own_key),
            ),
            Recording(
                self._store.writer,
                start,
                request.asked.parsed,
                clock=self._clock,
                prices=self._prices,
                scribe=self._scribe,
                room=self._room,
                over=over,
            ),
            reader,
            answerer=answerer,
            send=send,
            hang_up=hang_up,
        )
        if attempt is not None:
            attempt.began(exchange, request.asked.plain)
        return exchange

    def _answerer(self, start: CallStart, live: Callable[[Sequence[str]], Answerer]) -> Answerer:
        """Who answers a request: a tape, or what `live` gives, with notes for the record."""
        if self._tape is None:
            return live(())
        request = requested(start.method, start.path, start.body)
        return self._tape.answerer(request, start.subagent, start.thread, live)

    def _provider(self, notes: Sequence[str] = ()) -> Provider:
        return Provider(self._connections(), notes=notes)

    def _connections(self) -> Client:
        if self._client is None:
            self._client = Client(self._timeouts)
        return self._client

    async def _follow(self, subagent: SubagentId | None, exchange: Exchange, receive: Receive) -> None:
        """Run a call to its end, which comes early when its client hangs up."""
        live = self._live.setdefault(subagent, set())
        live.add(exchange)
        task = exchange.start()
        self._tasks.add(task)
        try:
            while not task.done():
                # Also what a server says once the answer has gone out.
                if (await receive())["type"] == "http.disconnect":
                    exchange.stop(HUNG_UP)
                    break
        finally:
            exchange.stop("the proxy was stopped")
            await asyncio.wait({task})
            self._tasks.discard(task)
            live.discard(exchange)
            if not live:
                self._live.pop(subagent, None)
                if self._tail is not None and subagent is not None:
                    self._tail.clear(subagent)
        task.result()

    def _live_text(self, subagent: SubagentId | None, call: str, attempt: Attempt | None) -> Live:
        tail = self._tail
        # What a try says is shown as the client gets it.
        if tail is None or subagent is None or attempt is not None:
            return lambda kind, text: None
        return lambda kind, text: tail.put(subagent, call, kind, text)
