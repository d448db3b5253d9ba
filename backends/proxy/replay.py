"""A tape in the provider's place: the calls of a recorded run, each of which answers once.

Each subagent of the run that is answered has the tape of the recorded one with its generation and lane; a client that
is no subagent has all of the run. On a tape, a request is answered by the first call that has not answered yet and has
the same match key, so that what was tried again is answered as it was then, try for try.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from backends.proxy.answering import Answerer, Answering, Forward
from backends.proxy.headers import Headers
from backends.proxy.protocol import loads
from backends.proxy.upstream import UpstreamError
from store import blobs, tapes
from store.database import Store, StoreError
from store.domain import timing
from store.domain.difference import difference
from store.domain.ids import SubagentId
from store.domain.matching import DEFAULT, MatchPolicy, Names, Request, match_key, structural_key
from store.domain.replay import MISSED, SOFT, TAPE, OnMismatch, Replay, playable, used
from store.domain.tape import Call

log = logging.getLogger("multitrack.proxy")

TICK = 0.05
"""Seconds between two pieces of an answer whose own pace is not known."""

_BROKEN = (
    "the provider's answer broke off",
    "the provider's answer has the provider's own key in it",
    "the body ended before its length",
    "the answer is longer than",
    "a fault of the proxy's own",
)
"""How the errors of answers begin that came without their end."""
_STATUS = {"the provider did not answer in time": 504, "a header's value": 400, "a fault of the proxy's own": 500}
"""What was answered in place of an answer that never came, by how its error begins; else 502."""

Missed = Callable[[SubagentId | None, str], None]
"""Told whose request is refused, for it is not on the tape, and how it differs from what is."""


@dataclass
class _Recorded:
    """One call of a tape. Its request is rebuilt when it is first compared."""

    call: Call
    key: str = ""
    structure: str = ""


@dataclass
class _Track:
    """What is left of the tape of one subagent. `threads` says which of its child threads plays which recorded one."""

    left: list[_Recorded]
    threads: dict[str, str] = field(default_factory=lambda: {"": ""})

    def candidates(self, thread: str) -> Iterator[_Recorded]:
        """Those that may answer, in order; those of the thread's own counterpart first."""
        counterpart = self.threads.get(thread)
        if counterpart is not None:
            yield from [one for one in self.left if one.call.thread == counterpart]
        taken = set(self.threads.values())
        yield from [one for one in self.left if one.call.thread != counterpart and one.call.thread not in taken]

    def take(self, one: _Recorded, thread: str) -> None:
        """It has answered."""
        self.left.remove(one)
        self.threads.setdefault(thread, one.call.thread)


class Tape:
    """The tape of a recorded run, as it is played to another one."""

    def __init__(
        self,
        store: Store,
        replay: Replay,
        *,
        into: str,
        names: Callable[[SubagentId], Names] = lambda subagent: {},
        began: Callable[[SubagentId], float] = lambda subagent: 0.0,
        missed: Missed = lambda subagent, difference: None,
        policy: MatchPolicy = DEFAULT,
    ) -> None:
        """`into` is the run that is answered: what has answered it before is not played again. `names` says which words
        of a subagent's requests are other ones in another run, for those of both runs. `began` says when what counts
        of a recorded subagent's work began: what it did before it was started anew is not played."""
        self._store, self._replay, self._policy = store, replay, policy
        self._names, self._began, self._missed = names, began, missed
        self._used = used(tapes.calls(store, run=into))
        self._tracks: dict[SubagentId | None, _Track] = {}

    def over(self, subagent: SubagentId) -> bool:
        """Nothing is left of the subagent's tape."""
        return not self._track(subagent).left

    def rewind(self, subagent: SubagentId) -> None:
        """Play the subagent's tape from its beginning."""
        calls = tapes.calls(self._store, subagent=self._recorded(subagent))
        self._used.difference_update(call.id for call in calls)
        self._tracks.pop(subagent, None)

    def answerer(
        self, request: Request, subagent: SubagentId | None, thread: str, live: Callable[[Sequence[str]], Answerer]
    ) -> Answerer:
        """Who answers a request. `live` gives the provider, with notes for the record. A tape that can't be read has
        nothing on it."""
        try:
            return self._choose(request, subagent, thread, live)
        except (StoreError, KeyError, ValueError) as error:
            log.exception("the tape of run %s cannot be read", self._replay.run)
            said, why = f"{MISSED} of run {self._replay.run}, as far as that can be read", str(error)
            return _Missing(said, why, lambda: self._missed(subagent, why))

    def _choose(
        self, request: Request, subagent: SubagentId | None, thread: str, live: Callable[[Sequence[str]], Answerer]
    ) -> Answerer:
        track, names = self._track(subagent), self._now(subagent)
        key = match_key(request, self._policy, names)
        if (one := self._matching(track, thread, request, key)) is not None:
            track.take(one, thread)
            return _Playing(self._store, one.call, self._replay.paced)
        if self._replay.soft and (one := self._alike(track, thread, request)) is not None:
            track.take(one, thread)
            notes = (f"{SOFT}\n{self._difference(one, request, names)}",)
            return _Playing(self._store, one.call, self._replay.paced, notes)
        near = self._nearest(track, thread, request)
        said = f"{MISSED} of run {self._replay.run}"
        shown = self._difference(near, request, names) if near else "Nothing is left there that could be compared."
        if self._replay.on_mismatch is OnMismatch.LIVE:
            return live((f"Asked live, for {said}.\n{shown}",))
        return _Missing(said, shown, lambda: self._missed(subagent, shown))

    def _track(self, subagent: SubagentId | None) -> _Track:
        if subagent not in self._tracks:
            run = self._replay.run
            of = self._recorded(subagent)
            calls = tapes.calls(self._store, run=run) if of is None else tapes.calls(self._store, subagent=of)
            since = self._began(of) if of is not None else 0.0
            left = [_Recorded(call) for call in calls if self._plays(call, since)]
            self._tracks[subagent] = _Track(left)
        return self._tracks[subagent]

    def _plays(self, call: Call, since: float) -> bool:
        return call.started >= since and call.id not in self._used and playable(call)

    def _recorded(self, subagent: SubagentId | None) -> SubagentId | None:
        return None if subagent is None else SubagentId(self._replay.run, subagent.generation, subagent.lane)

    def _matching(self, track: _Track, thread: str, request: Request, key: str) -> _Recorded | None:
        for one in track.candidates(thread):
            if not _same_place(one.call, request):
                continue
            if not one.key:
                one.key = match_key(self._request(one.call), self._policy, self._then(one.call))
            if one.key == key:
                return one
        return None

    def _alike(self, track: _Track, thread: str, request: Request) -> _Recorded | None:
        structure = structural_key(request)
        for one in track.candidates(thread):
            if not one.structure:
                one.structure = structural_key(self._request(one.call))
            if one.structure == structure:
                return one
        return None

    def _nearest(self, track: _Track, thread: str, request: Request) -> _Recorded | None:
        """The call that would be next, to say how the request differs from it."""
        candidates = list(track.candidates(thread))
        return next((one for one in candidates if _same_place(one.call, request)), next(iter(candidates), None))

    def _difference(self, one: _Recorded, request: Request, names: Names) -> str:
        return difference(self._request(one.call), request, self._policy, (self._then(one.call), names))

    def _request(self, call: Call) -> Request:
        try:
            body = tapes.request(self._store, call)
        except ValueError:
            body = tapes.request_body(self._store, call)
        return Request(call.method, call.path, body)

    def _then(self, call: Call) -> Names:
        return {} if call.subagent is None else self._names(call.subagent)

    def _now(self, subagent: SubagentId | None) -> Names:
        return {} if subagent is None else self._names(subagent)


def requested(method: str, path: str, body: bytes) -> Request:
    """A request as it came, its body without content codings."""
    value: object = body or None
    if body:
        with suppress(ValueError, RecursionError):
            value = loads(body)
    return Request(method, path, value)


def _same_place(call: Call, request: Request) -> bool:
    return call.method == request.method and call.path.partition("?")[0] == request.path.partition("?")[0]


@dataclass(frozen=True)
class _Missing:
    """Answers what is not on the tape."""

    problem: str
    difference: str
    tell: Callable[[], None]
    source: str = ""

    @property
    def notes(self) -> Sequence[str]:
        return (self.difference,)

    async def ask(self, forward: Forward) -> Answering:
        # From here on nothing keeps the call from being recorded as what it is.
        self.tell()
        raise UpstreamError(self.problem, 400, final=True, detail=f"\n{self.difference}")


@dataclass(frozen=True)
class _Playing:
    """Answers with a recorded call."""

    store: Store
    call: Call
    paced: bool
    notes: Sequence[str] = ()

    @property
    def source(self) -> str:
        return f"{TAPE}{self.call.id}"

    async def ask(self, forward: Forward) -> Answering:
        call = self.call
        begun = asyncio.get_running_loop().time()
        if call.status is None:
            if self.paced:
                await asyncio.sleep(call.seconds or 0.0)
            raise UpstreamError(
                call.error, next((s for said, s in _STATUS.items() if call.error.startswith(said)), 502)
            )
        body = tapes.response(self.store, call)
        pieces = _paced(self.store, call, body) if self.paced else [(body, 0.0)] if body else []
        playing = _Answer(call, pieces, begun, at_once=not self.paced)
        await playing.begin()
        return playing


class _Answer:
    """A recorded answer, as it came."""

    def __init__(self, call: Call, pieces: list[tuple[bytes, float]], begun: float, *, at_once: bool) -> None:
        assert call.status is not None
        self.status = call.status
        self.headers: Headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in call.response_headers
        ]
        self._pieces, self._next, self._begun = pieces, 0, begun
        self._error = call.error if call.error.startswith(_BROKEN) else ""
        self._at_once = at_once and not self._error

    @property
    def whole(self) -> bool:
        return self._at_once

    async def begin(self) -> None:
        """Wait until the answer began to come."""
        if self._pieces:
            await self._wait(self._pieces[0][1])

    async def read(self) -> bytes:
        if self._next == len(self._pieces):
            if self._error:
                raise UpstreamError(self._error)
            return b""
        piece, at = self._pieces[self._next]
        await self._wait(at)
        self._next += 1
        return piece

    def left(self) -> bytes:
        left, self._next = self._pieces[self._next :], len(self._pieces)
        return b"".join(piece for piece, _ in left)

    def close(self) -> None:
        self._next = len(self._pieces)

    async def _wait(self, at: float) -> None:
        if (seconds := self._begun + at - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(seconds)


def _paced(store: Store, call: Call, body: bytes) -> list[tuple[bytes, float]]:
    """The pieces of an answer and when each came, in seconds from the request; evenly, where that was not kept."""
    came: timing.Timing = []
    if call.timing is not None:
        came = timing.decode(blobs.get(store, call.timing))
    if not came or came[-1][0] != len(body):
        came = _evenly(call, len(body))
    pieces, before = [], 0
    for size, at in came:
        if size > before:
            pieces.append((body[before:size], at))
        before = size
    return pieces


def _evenly(call: Call, size: int) -> timing.Timing:
    ended = call.seconds or 0.0
    first = min(call.first_byte - call.started if call.first_byte is not None else ended, ended)
    steps = max(1, min(size, round((ended - first) / TICK)))
    return [(size * step // steps, first + (ended - first) * (step - 1) / steps) for step in range(1, steps + 1)]
