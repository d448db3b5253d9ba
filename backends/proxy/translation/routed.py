"""A call that has a route: tried with one deployment after the other, until one answers. Every try is a call on the
tape, made for the client's; the client's own has no tokens and no cost, for those are the tries'."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import aiohttp

from backends.proxy.admission import Caller
from backends.proxy.answering import Answering, Forward
from backends.proxy.headers import ATTEMPT, get, to_upstream
from backends.proxy.prices import Extras
from backends.proxy.protocol import Answer, AnswerReader, ProviderProtocol, loads_quickly
from backends.proxy.relay import HUNG_UP
from backends.proxy.routes import Upstream
from backends.proxy.sse import Event
from backends.proxy.translation.answers import InArray, Passed, Told, Translated, real_status, refusal
from backends.proxy.translation.attempts import Attempt, Attempts
from backends.proxy.translation.bodies import renamed, renamed_inside, renamed_path, with_earlier
from backends.proxy.translation.losses import losses
from backends.proxy.translation.process import Worker
from backends.proxy.translation.untranslatable import UntranslatableError
from backends.proxy.upstream import Answering as Received
from backends.proxy.upstream import Client, UpstreamError
from backends.proxy.values import members
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.route import Deployment, ModelRoute
from store.domain.secrets import shown_line
from store.errors import StoreError
from store.tapes import CallEnd, CallStart

if TYPE_CHECKING:
    from store.database import Store
    from store.earlier import Earlier

log = logging.getLogger("multitrack.proxy")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds before the same deployment is tried again: twice as long each time, or what it asks for. A provider that
wants a longer one is not waited for."""

_WORTH_A_WORD = 0.5
"""Seconds from which on a wait for the worker is noted."""

_THE_REQUESTS_FAULT = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422})
"""Nobody else would answer it better."""

_THE_DEPLOYMENTS_FAULT = frozenset({401, 402, 403, 404})
"""It will say the same again; another may not."""

COUNTS = frozenset({"anthropic-count", "gemini-count"})
"""Our names for what counts a request's tokens."""

EMBEDDINGS = "openai-embeddings"
"""Our name for OpenAI's embeddings."""

TRANSLATED = frozenset({"anthropic", "openai-chat", "openai-responses", "gemini", EMBEDDINGS, *COUNTS})
"""Endpoints whose requests can be translated."""

_BETAS = frozenset({"anthropic-beta", "openai-beta"})
"""Headers that ask for more than the protocol has."""

_BASES = {"openai": "/v1", "gemini": "/v1beta"}
"""What LiteLLM takes to be a part of a base URL, by protocol."""


Over = Callable[[CallEnd], None]
"""Told how a call ended."""


@dataclass(frozen=True)
class Reach:
    """What a routed call is answered with."""

    address: str
    """The proxy's own."""
    upstreams: Mapping[str, Upstream]
    client: Client
    worker: Worker
    attempts: Attempts
    store: "Store"


class Routed:
    """Answers one call by its route."""

    source = "route"
    """It has neither tokens nor cost of its own."""

    def __init__(
        self, reach: Reach, route: ModelRoute, start: CallStart, caller: Caller, endpoint: str, *, home: str
    ) -> None:
        """`endpoint` is that of the client's protocol. `home` is the upstream that the call would go to without a
        route: the key that a client brings for it goes nowhere else."""
        self._reach = reach
        self._route = route
        self._start = start
        self._caller = caller
        self._endpoint = endpoint
        self._home = home
        self._tries: list[Attempt] = []
        self._said: list[str] = []
        self._translated_by: Attempt | None = None
        """The last try that was translated."""
        self._losing: asyncio.Task[list[str]] | None = None
        self._named: str | None = None
        """The earlier answer that the request goes on from, where the provider keeps what was said before."""
        self._earlier: Earlier | None = None
        self._whole = start.body
        """The request with what was said before, where that is known."""

    def live(self, notes: Sequence[str] = ()) -> "Routed":
        """Itself, with notes for the record."""
        self._said.extend(notes)
        return self

    def over(self, told: Over | None) -> Over | None:
        """Tells how the call ended, with all that its tries have used."""
        return None if told is None else lambda end: told(self._total(end))

    @property
    def notes(self) -> Sequence[str]:
        """Who was asked, and what the translation did not carry."""
        losing = self._losing
        lost = losing.result() if losing is not None and losing.done() else self._lost()
        return [*self._said, *lost]

    async def ask(self, forward: Forward) -> Answering:
        """Try until one answers; the last one's error when none does."""
        await self._look_back()
        order = self._route.order(str(self._caller.subagent or self._caller.run))
        for place, deployment in enumerate(order):
            last_resort = place == len(order) - 1
            for again in range(1 + self._route.retries):
                answering = await self._try(deployment, forward)
                status = await self._real_status(answering)
                if status < 400:
                    self._said.append(
                        f"counted by LiteLLM as for {deployment}, not reported by a provider"
                        if self._endpoint in COUNTS and not self._tries[-1].sent
                        else f"{deployment} answered for {self._start.model}"
                    )
                    return answering
                refused = answering.reason if isinstance(answering, Told) else ""
                pause = _pause(answering, again)
                final = again == self._route.retries or status in _THE_DEPLOYMENTS_FAULT or pause > LONGEST_PAUSE
                final = final or bool(refused)
                said = f"was not asked: {refused}" if refused else f"answered with status {status}"
                self._said.append(f"{deployment} {said}")
                if (status in _THE_REQUESTS_FAULT and not refused) or (final and last_resort):
                    return answering
                answering.close()
                if final:
                    break
                await asyncio.sleep(pause)
        raise AssertionError("a route has a deployment")

    def answer(self, answer: Answer) -> Answer:
        """What the record keeps of the client's side, from what was read of it."""
        return replace(answer, usage=Usage(), extras=Extras()) if self._tries else answer

    def _total(self, end: CallEnd) -> CallEnd:
        ends = [tried for attempt in self._tries for tried in attempt.ends if tried.usage.total]
        if not ends:
            return end
        usage = sum((tried.usage for tried in ends), Usage())
        unpriced = any(tried.usd is None for tried in ends)
        return end._replace(usage=usage, usd=None if unpriced else sum(tried.usd or 0.0 for tried in ends))

    async def _try(self, deployment: Deployment, forward: Forward) -> Answering:
        """One try; an error is an answer too."""
        reach, attempt = self._reach, Attempt(self._start.id, self._caller, deployment)
        self._tries.append(attempt)
        reach.attempts.begin(attempt)
        answering: Answering | None = None
        try:
            if speaks(deployment, reach.upstreams, forward.protocol.name, self._endpoint):
                answering = await self._direct(attempt, forward)
            else:
                answering = await self._translated(attempt, forward.protocol)
        except UntranslatableError as error:
            said = f"The recording proxy: {deployment} can't answer this: {error}."
            answering = Told(400, (), forward.protocol.error(400, said), str(error))
        except UpstreamError as error:
            answering = Told(error.status, (), forward.protocol.error(error.status, f"The recording proxy: {error}."))
        finally:
            if answering is None or isinstance(answering, Told):
                reach.attempts.over(attempt)
                attempt.stop(HUNG_UP)
        return answering

    async def _direct(self, attempt: Attempt, forward: Forward) -> Answering:
        """The client's own protocol: its bytes, under the deployment's name."""
        deployment, target, body = attempt.deployment, self._start.path, forward.body
        upstream = self._reach.upstreams[deployment.upstream]
        attempt.own_key = upstream.own_key and deployment.upstream == self._home
        headers = to_upstream(forward.headers, own_key=attempt.own_key)
        goes_on = self._earlier is None or self._earlier.provider == deployment.upstream
        if not goes_on or self._start.model != deployment.model:
            old, new = self._start.model, deployment.model
            target = renamed_path(target, old, new)
            body = self._start.body if goes_on else self._whole
            body = renamed_inside(body, old, new) if forward.protocol.name == "gemini" else renamed(body, new)
            headers = [(name, value) for name, value in headers if name.lower() != b"content-encoding"]
        if not goes_on:
            self._told_earlier()
        headers.append((ATTEMPT, attempt.secret.encode()))
        url = f"{self._reach.address}/{deployment.upstream}{target}"
        return Passed(await self._reach.client.ask(forward.method, url, headers, body), attempt, self._reach.attempts)

    async def _translated(self, attempt: Attempt, protocol: ProviderProtocol) -> Answering:
        deployment = attempt.deployment
        if self._endpoint not in TRANSLATED:
            raise UntranslatableError(
                "only turns of a conversation, counts of their tokens and embeddings are translated"
            )
        if self._named is not None and self._earlier is None:
            raise UntranslatableError(
                "previous_response_id names an answer that is not whole on this tape: send the conversation as input"
            )
        self._translated_by = attempt
        base = _BASES.get(spoken(deployment, self._reach.upstreams), "")
        order = {
            "endpoint": self._endpoint,
            "deployment": deployment.name,
            "base": f"{self._reach.address}/{deployment.upstream}{base}",
            "secret": attempt.secret,
            "stream": self._start.stream,
        }
        try:
            if (waited := await self._reach.worker.up()) >= _WORTH_A_WORD:
                self._said.append(f"LiteLLM's worker had to start first, which took {waited:.1f} s")
            work = "/count" if self._endpoint in COUNTS else "/translate"
            response = await self._reach.worker.post(work, self._whole, {"x-translate": json.dumps(order)})
            if response.status == 200:
                self._told_earlier()
                self._losing = losing = asyncio.create_task(asyncio.to_thread(self._lost))
                received, attempts = Received(response), self._reach.attempts
                translated = Translated(received, attempt, attempts, protocol, self._endpoint, losing)
                in_events = not self._start.stream or protocol.name != "gemini" or "alt=sse" in self._start.path
                return translated if in_events else InArray(translated)
            reason = (await response.read()).decode("utf-8", "replace")
        except (aiohttp.ClientError, OSError) as error:
            await attempt.settle()
            raise UpstreamError(f"the worker that translates is gone: {str(error) or type(error).__name__}") from error
        await attempt.settle()
        end, problem = attempt.end, attempt.problem
        if problem is not None:
            return refusal(protocol, problem.status, None, f"The recording proxy: {problem}.")
        if end is not None and end.status is not None and end.status >= 400:
            return refusal(protocol, real_status(end.status, end.response), end, end.error)
        if response.status == 422 and not attempt.sent:
            raise UntranslatableError(reason)
        log.warning("a call was not translated for %s: %s", deployment, shown_line(reason, 300))
        said = protocol.error(502, f"The recording proxy: LiteLLM failed at this call: {reason}")
        if attempt.sent:
            return Told(502, (), said)
        # It would fail again.
        return Told(502, [(b"x-should-retry", b"false")], said, f"LiteLLM failed at it: {shown_line(reason, 200)}")

    async def _real_status(self, answering: Answering) -> int:
        """By which it is decided who is asked next."""
        if not isinstance(answering, Passed) or answering.status != 400:
            return answering.status
        try:
            return real_status(400, await answering.body())
        except UpstreamError as error:
            return error.status

    async def _look_back(self) -> None:
        """Find out what was said before a request that leaves it to its provider: a deployment may be another one."""
        if self._endpoint != "openai-responses":
            return
        named = members(_value(self._start.body)).get("previous_response_id")
        if not isinstance(named, str):
            return
        self._named = named
        of = self._caller.subagent or self._caller.run
        try:
            found = await asyncio.to_thread(_whole_request, self._reach.store, of, named, self._start.body)
        except (StoreError, KeyError, ValueError) as error:
            log.error("what was said before a call can't be read: %s", error)
            return
        if found is not None:
            self._earlier, self._whole = found

    def _told_earlier(self) -> None:
        """Say for the record that what was said before went out in place of its name."""
        if (earlier := self._earlier) is not None:
            less = f", less its {', '.join(earlier.left_out)}" if earlier.left_out else ""
            items, calls = len(earlier.items), earlier.calls
            found = f"{items} items out of {calls} calls of this tape{less}"
            self._said.append(f"previous_response_id became what was said there: {found}")

    def _lost(self) -> list[str]:
        """What the last try's translation did not carry."""
        translated = self._translated_by
        if translated is None or translated is not self._tries[-1] or not translated.sent:
            return []
        asked, sent = members(_value(self._whole)), members(_value(translated.sent[-1]))
        lost = [f"{name} was not passed on: {value}" for name, value in self._start.headers if name.lower() in _BETAS]
        return [*losses(asked, sent), *lost]


def _whole_request(store: "Store", of: SubagentId | str, named: str, body: bytes) -> "tuple[Earlier, bytes] | None":
    from store.earlier import said_before

    earlier = said_before(store, of, named)
    return None if earlier is None else (earlier, with_earlier(body, earlier.items))


def speaks(deployment: Deployment, upstreams: Mapping[str, Upstream], protocol: str, endpoint: str) -> bool:
    """The deployment takes such a request as it is. Responses are OpenAI's own: of those who speak its protocol, few
    have them."""
    if endpoint == EMBEDDINGS and upstreams[deployment.upstream].protocol == "ollama":
        # Its servers have these in OpenAI's form, too.
        return protocol == "openai"
    if spoken(deployment, upstreams) != protocol:
        return False
    return endpoint != "openai-responses" or deployment.provider == "openai"


def spoken(deployment: Deployment, upstreams: Mapping[str, Upstream]) -> str:
    """The protocol that a deployment is asked in. Ollama's servers have two."""
    protocol = upstreams[deployment.upstream].protocol
    return "openai" if protocol == "ollama" and not deployment.provider.startswith("ollama") else protocol


def _pause(answering: Answering, again: int) -> float:
    """Seconds to wait before the next try."""
    asked = get(answering.headers, b"retry-after")
    try:
        return max(0.0, float(asked)) if asked else min(FIRST_PAUSE * 2**again, LONGEST_PAUSE)
    except ValueError:
        # A date; it is for times that nobody waits for.
        return LONGEST_PAUSE + 1


def _value(body: bytes) -> Any:
    try:
        return loads_quickly(body)
    except (ValueError, RecursionError):
        return None


class RoutedReader:
    """Reads the client's side of a routed call, for the record."""

    def __init__(self, inner: AnswerReader, routed: Routed) -> None:
        self._inner = inner
        self._routed = routed
        self.held_from: int | None = None

    def may_end(self, name: str) -> bool:
        return self._inner.may_end(name)

    def event(self, event: Event) -> bool:
        last = self._inner.event(event)
        self.held_from = self._inner.held_from
        return last

    def body(self, data: bytes) -> None:
        self._inner.body(data)

    def answer(self) -> Answer:
        return self._routed.answer(self._inner.answer())
